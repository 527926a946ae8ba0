"""Every family of tests/cases in random training graphs through generated C: numpy's bits, bit for
bit, on this machine and on emulated cores, row by row and whole."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from microtune.ir.ops import OPS, Trait
from tests.cases import CASES
from tests.cases.case import OpCase
from tests.run.batches import run_on_core, run_on_host
from tests.run.training_cases import TrainingCase, draw, training_case

SEEDS = range(40)
CHIP_SEEDS = range(100, 116)
FEW = range(200, 206)


@cache
def built(case: OpCase, seeds: range) -> list[TrainingCase]:
    """The cases of these seeds; once for all builds, cores and questions."""
    return [training_case(seed, case) for seed in seeds]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_host_equals_numpy(case: OpCase, tmp_path: Path) -> None:
    cases = built(case, SEEDS)
    expected = [each.expected() for each in cases]
    for build, found in zip(
        ("portable", "avx2"), run_on_host(cases, tmp_path, ["portable", "avx2"]), strict=True
    ):
        for one, wanted, got in zip(cases, expected, found, strict=True):
            assert got == wanted, f"{case}, seed {one.seed} differs in build {build}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_graphs_have_all_of_it_also_streamed_and_frozen(case: OpCase) -> None:
    """Each tag of the case; its ops in segments of rows, frozen and whole, and on the way back."""
    tags: Counter[str] = Counter()
    for seed in SEEDS:
        tags.update(draw(seed, case).tags)
    for each in built(case, SEEDS):
        for node in each.graph.nodes:
            if node.op in case.torch:
                streamed = node.outputs[0] in each.graph.execution.segments
                tags["streamed" if streamed else "whole"] += 1
    wanted = {*case.tags, "whole"}
    if any(Trait.STREAMED in OPS[op].traits for op in case.torch):
        wanted.add("streamed")
    assert {tag: tags[tag] for tag in wanted if tags[tag] < 3} == {}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_clang_and_the_sanitizers_agree(case: OpCase, tmp_path: Path) -> None:
    cases = built(case, FEW)
    expected = [each.expected() for each in cases]
    assert run_on_host(cases, tmp_path, ["clang", "sanitize"]) == [expected] * 2


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55", "cortex-m0plus"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_chips_equal_numpy(case: OpCase, core: str, tmp_path: Path) -> None:
    cases = built(case, CHIP_SEEDS)
    assert run_on_core(cases, tmp_path, core) == [each.expected() for each in cases]
