"""Random training graphs through generated C: every step equals numpy's, bit for bit.

`python -m tests.run.batches SEED [BUILD]` replays one seed.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.run.batches import run_on_core, run_on_host
from tests.run.training_cases import Step, TrainingCase, draw, training_case
from tests.training.graphs import TAGS

CHUNK = 55
CHUNKS = 4
SAMPLE = range(1000, 1012)
CHIP_SEEDS = range(2000, 2024)
# What must occur often, with what is drawn beside the model.
OFTEN = (
    "dead channel", "single channel", "grouped", "depthwise", "three consumers",
    "asymmetric padding", "odd size", "stride 2 on odd size", "wide", "scheme full", "scheme last",
    "scheme ratios", "scheme without head", "input rows", "input resident", "bias int16",
    "bias int32", "head int16", "head float32", "schedule layers", "schedule in-place",
    "schedule stream", "optimizer momentum", "task classify", "task binary", "task regress",
    "head new", "head keep", "head extend:2",
)  # fmt: skip


def check(cases: list[TrainingCase], expected: list[list[Step]], found: list[list[Step]],
          build: str) -> None:  # fmt: skip
    """Every step of every case is the same; says how to replay the first that is not."""
    for case, wanted, got in zip(cases, expected, found, strict=True):
        command = f"python -m tests.run.batches {case.seed} {build}"
        assert got == wanted, f"seed {case.seed} differs; replay: {command}"


@cache
def built(seeds: range) -> tuple[list[TrainingCase], list[list[Step]]]:
    """The cases, and their steps in numpy; once for all cores."""
    cases = [training_case(seed) for seed in seeds]
    return cases, [case.expected() for case in cases]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_host_equals_numpy(tmp_path: Path, chunk: int) -> None:
    """Parameters, offsets, logits and loss after every step, with portable and AVX2 kernels."""
    cases, expected = built(range(chunk * CHUNK, (chunk + 1) * CHUNK))
    builds = ["portable", "avx2"]
    for build, found in zip(builds, run_on_host(cases, tmp_path, builds), strict=True):
        check(cases, expected, found, build)


def test_every_kind_of_graph_occurs() -> None:
    """The seeds above are not all easy: each kind of layer, format, schedule and input."""
    tags = Counter(tag for seed in range(CHUNKS * CHUNK) for tag in draw(seed).tags)
    assert set(tags) >= TAGS
    assert {tag: tags[tag] for tag in OFTEN if tags[tag] < 15} == {}


def test_clang_and_the_sanitizers_agree(tmp_path: Path) -> None:
    """Other graphs, under Clang, and under AddressSanitizer and UndefinedBehaviorSanitizer."""
    cases, expected = built(SAMPLE)
    builds = ["clang", "sanitize", "sanitize-avx2"]
    for build, found in zip(builds, run_on_host(cases, tmp_path, builds), strict=True):
        check(cases, expected, found, build)


@pytest.mark.chip
@pytest.mark.parametrize(
    "core",
    [
        "cortex-m7", "cortex-m55", "cortex-m0plus",
        pytest.param("riscv32imc", marks=pytest.mark.riscv),
    ],
)  # fmt: skip
def test_chips_equal_numpy(tmp_path: Path, core: str) -> None:
    """All graphs in one firmware."""
    cases, expected = built(CHIP_SEEDS)
    check(cases, expected, run_on_core(cases, tmp_path, core), core)
