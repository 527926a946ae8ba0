"""Builds with one rule replaced (mt_study.h) equal the numpy meaning with the same one replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microtune import embedded
from microtune.codegen.project import Project
from microtune.datasets import Split
from microtune.importers import load_any
from microtune.ir import numerics
from microtune.ir.graph import Node
from microtune.ir.ops import int8_gradients
from microtune.simulate.runners import HostRunner, NumpyRunner
from tests.projects import compile_project, hashes, load_train

STEPS = 32
Patch = Callable[[pytest.MonkeyPatch], None]


def _towards_zero(v: Any, divisor: int) -> Any:
    return np.sign(v) * (np.abs(v) // divisor)


def weights(rounded: Callable[[Any], Any]) -> Patch:
    law = numerics.apply_step

    def apply_step(value: Any, d: Any, r16: Any, limit: int) -> Any:
        if limit != 127:
            return law(value, d, r16, limit)
        return np.clip(rounded(value * 65536 - d), -limit, limit)

    return lambda patch: patch.setattr(numerics, "apply_step", apply_step)


def gradients(rounded: Callable[[Any, int], Any]) -> Patch:
    return lambda patch: patch.setattr(
        numerics, "stochastic_round", lambda v, k, r8: rounded(v, k)
    )  # fmt: skip


def exponent(more: int, lowest: int, highest: int, step: int) -> Patch:
    def round_gradient(acc: Any, mask: Any, e_acc: int, wanted: int, key: int) -> Any:
        k = min(max(wanted + more - e_acc, 0), 30)
        index = np.arange(acc.size, dtype=np.int64).reshape(acc.shape)
        u = numerics.stochastic_round(acc, k, numerics.random8(key, index))
        u = u if mask is None else np.where(mask, u, 0)
        largest = int(np.abs(u).max(initial=0))
        change = step * ((largest > highest) - (0 < largest < lowest))
        return np.clip(u, -127, 127).astype(np.int8), e_acc + k, change

    return lambda patch: patch.setattr(numerics, "round_gradient", round_gradient)


def previous(patch: pytest.MonkeyPatch) -> None:
    def rounded(ctx: Any, acc: Any, e_acc: int, rule_inputs: list[Any]) -> list[Any]:
        _, offset, seed, step = (int(a.reshape(-1)[0]) for a in rule_inputs[:4])
        acc = acc.reshape(ctx.node.ints("shape"))
        key = numerics.random_key(seed, step, int8_gradients.site(ctx.node.outputs[0]))
        mask = rule_inputs[4].astype(bool) if len(rule_inputs) > 4 else None
        k = min(max(offset - e_acc, 0), 30)
        u = numerics.stochastic_round(
            acc, k, numerics.random8(key, np.arange(acc.size, dtype=np.int64).reshape(acc.shape))
        )
        u = u if mask is None else np.where(mask, u, 0)
        largest = int(np.abs(u).max(initial=0))
        needed = e_acc + numerics.shift_to_mantissa(largest << k)
        moved = min(max(needed if largest else offset, -64), 63)
        codes = np.clip(u, -127, 127).astype(np.int8)
        return [codes, np.array([e_acc + k], np.int32), np.array([moved], np.int8)]

    patch.setattr(int8_gradients, "_rounded", rounded)


def raw_codes(patch: pytest.MonkeyPatch) -> None:
    read = Node.int

    def without_zero(node: Node, name: str, default: int | None = None) -> int:
        if (node.op, name) == ("conv2d_weight_update", "x_zero"):
            return 0
        return read(node, name, default)

    patch.setattr(Node, "int", without_zero)


def lost_shortcuts(patch: pytest.MonkeyPatch) -> None:
    """Of a gradient sum only the second, the branch's, is left."""
    law = int8_gradients._aligned
    calls: list[None] = []

    def aligned(v: Any, d: int) -> Any:
        calls.append(None)
        return law(v * (len(calls) % 2 == 0), d)

    patch.setattr(int8_gradients, "_aligned", aligned)


def logit_gain(patch: pytest.MonkeyPatch) -> None:
    law = numerics.softmax_q15
    patch.setattr(numerics, "softmax_q15", lambda logits, label: law(logits * 6, label))


def head_of_8_bits(patch: pytest.MonkeyPatch) -> None:
    law = numerics.apply_step

    def apply_step(value: Any, d: Any, r16: Any, limit: int) -> Any:
        if limit != 32767 or value.ndim != 2:
            return law(value, d, r16, limit)
        return np.clip(((value << 16) - d + (r16 << 8)) >> 24, -127, 127) << 8

    patch.setattr(numerics, "apply_step", apply_step)


def exact_maximum(patch: pytest.MonkeyPatch) -> None:
    read = Node.str
    patch.setattr(Node, "str", lambda n, name: "exact" if name == "rule" else read(n, name))


RULES: dict[str, Patch] = {
    "MT_STUDY_WEIGHTS=MT_NEAREST": weights(lambda exact: (exact + 32768) >> 16),
    "MT_STUDY_WEIGHTS=MT_TOWARDS_ZERO": weights(lambda exact: _towards_zero(exact, 65536)),
    "MT_STUDY_GRADIENTS=MT_NEAREST": gradients(lambda v, k: (v + ((1 << k) >> 1)) >> k),
    "MT_STUDY_GRADIENTS=MT_TOWARDS_ZERO": gradients(lambda v, k: _towards_zero(v, 1 << k)),
    "MT_STUDY_EXPONENT=MT_FIXED_OFFSET": exponent(0, 0, 127, 0),
    "MT_STUDY_EXPONENT=MT_HEADROOM": exponent(1, 16, 63, 1),
    "MT_STUDY_EXPONENT=MT_PREVIOUS_SAMPLE": previous,
    "MT_STUDY_EXPONENT=MT_EXACT_MAXIMUM": exact_maximum,
    "MT_STUDY_INPUTS=MT_RAW_CODES": raw_codes,
    "MT_STUDY_SHORTCUTS=MT_LOST": lost_shortcuts,
    "MT_STUDY_LOGIT_GAIN=6": logit_gain,
    "MT_STUDY_HEAD_BITS=8": head_of_8_bits,
}  # fmt: skip


Law = tuple[Path, Project, Split, object]


@pytest.fixture(scope="module")
def law(tmp_path_factory: pytest.TempPathFactory) -> Law:
    """A project with dense and depthwise layers, a residual and the head, and what it learns."""
    folder, model = tmp_path_factory.mktemp("study") / "p", load_any(embedded.MODEL)
    tops = load_train(embedded.DATA, model)
    project = compile_project(folder, "last-10", model=model)
    return folder, project, tops, hashes(HostRunner(folder, 0), project, tops, STEPS)


@pytest.mark.parametrize("rule", RULES)
def test_one_rule_replaced(law: Law, monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """The same bits with portable and with AVX2 kernels and in numpy, and not those of the law."""
    folder, project, tops, lawful = law
    fast = ("-O1", "-march=native", f"-D{rule}")  # quickly compiled; the bits are the same
    found, portable = (
        hashes(HostRunner(folder, 0, flags=flags), project, tops, STEPS)
        for flags in (fast, (*fast, "-DMT_PORTABLE"))
    )
    assert found == portable
    RULES[rule](monkeypatch)
    assert hashes(NumpyRunner(folder, 0), project, tops, STEPS) == found
    assert found != lawful
