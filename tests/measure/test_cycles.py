"""The model of cycles on programs of a few instructions, computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from microtune.measure.codemap import CodeMap, Instruction
from microtune.measure.cycles import CORTEX_M7, CycleModel, InstructionKind, kind_of, model_cycles

IDEAL = replace(CORTEX_M7, wait_states=0, taken_branch=0, load_use=0)


def program(*lines: str) -> CodeMap:
    found = {}
    for number, line in enumerate(lines):
        op, _, operands = line.partition(" ")
        found[2 * number] = Instruction(2 * number, op, operands, 2 * number + 2)
    return CodeMap((), found, {})


def cycles(model: CycleModel, counts: list[int], *lines: str) -> float:
    return model_cycles(
        program(*lines), {2 * i: n for i, n in enumerate(counts) if n}, model
    ).cycles


def test_independent_neighbours_pair_and_each_only_once() -> None:
    assert cycles(IDEAL, [10, 10], "adds r0, r1", "adds r2, r3") == 10
    assert cycles(IDEAL, [10, 10, 10], "adds r0, r1", "adds r2, r3", "adds r4, r5") == 20
    assert cycles(IDEAL, [10, 10, 10, 10], *["adds r0, r1", "adds r2, r3"] * 2) == 20


@pytest.mark.parametrize(
    "pair",
    [
        ("adds r0, r1", "adds r2, r0"),  # needs the result
        ("ldr r0, [r1]", "str r2, [r3]"),  # one memory port
        ("smlad r0, r1, r2, r0", "smlad r3, r1, r2, r3"),  # one multiplier
        ("b.n 4", "adds r0, r1"),
    ],
)
def test_what_cannot_pair(pair: tuple[str, str]) -> None:
    assert cycles(IDEAL, [10, 10], *pair) == 20


def test_neighbours_that_run_differently_often_do_not_pair() -> None:
    assert cycles(IDEAL, [10, 7], "adds r0, r1", "adds r2, r3") == 17


def test_single_issue_pairs_nothing() -> None:
    model = replace(IDEAL, dual_issue=False)
    assert cycles(model, [10, 10], "adds r0, r1", "adds r2, r3") == 20


def test_load_use_stalls_only_who_needs_the_value() -> None:
    model = replace(IDEAL, load_use=2)
    assert cycles(model, [10, 10], "ldr r0, [r1]", "adds r2, r0") == 40
    assert cycles(model, [10, 10], "ldr r0, [r1]", "adds r2, r3") == 10


def test_taken_branches_are_those_that_do_not_fall_through() -> None:
    model = replace(IDEAL, taken_branch=3)
    assert cycles(model, [10, 4], "bne.n 0", "adds r2, r3") == 14 + 3 * 6


def test_divide_and_flash() -> None:
    assert cycles(replace(IDEAL, divide=5), [3], "udiv r0, r1, r2") == 15
    model = replace(IDEAL, wait_states=4, constant_load_share=0.5, line_words=2)
    assert cycles(model, [10], "ldr r0, [r1]") == 10 + 10 * 0.5 * 4 / 2


def test_classes() -> None:
    load, store, multiply = InstructionKind.LOAD, InstructionKind.STORE, InstructionKind.MULTIPLY
    branch, other = InstructionKind.BRANCH, InstructionKind.OTHER
    kinds = {
        "ldrd": load, "vldrb.8": load, "strb.w": store, "push": store, "smlad": multiply,
        "vmladava.s8": multiply, "udiv": InstructionKind.DIVIDE, "bne.n": branch, "bics.w": other,
        "bfi": other, "le": branch, "ssat": other,
    }  # fmt: skip
    for op, kind in kinds.items():
        assert kind_of(Instruction(0, op, "", 2)) is kind, op
