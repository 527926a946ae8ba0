"""Instructions are a contract: counts must not grow by more than 1 % past what is recorded.

Recorded for one compiler, inference and training step of the embedded model and of the reference
step, in all and by class of kernel. `MICROTUNE_UPDATE_GOLDEN=1` records anew; a warning says when
something became so much faster that it should be. The code of the kernels has a budget too.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import pytest

from microtune import embedded
from microtune.importers import load_any
from microtune.measure.instruction_rows import layer_rows, rows_by_kind
from microtune.measure.profile import Build, Profile, profile_project
from microtune.targets import load_target
from microtune.tools.toolchain import find_arm_gcc
from tests.projects import compile_project

GOLDEN = Path(__file__).parent / "golden/instructions.json"
COMPILER = "12.2.1"
CORES = ("cortex-m7", "cortex-m4", "cortex-m55")
TOLERANCE = 0.01
SMALL = 2_000  # instructions: a change of so few is none of a kernel
TEXT_BUDGET = 48 * 1024

Figures = dict[str, dict[str, int]]


def counts(profile: Profile, build: Build) -> Figures:
    """Totals of both calls, and the training step by class of kernel."""
    rows = rows_by_kind(layer_rows(profile, profile.train, build))
    total = {"infer": profile.total(profile.infer), "train": profile.total(profile.train)}
    return {"total": total, "train": {row.kind: row.instructions for row in rows}}


def compare(name: str, found: Figures, recorded: Figures) -> tuple[list[str], list[str]]:
    """(what grew, what shrank) by more than the tolerance; an unknown class has grown."""
    grown: list[str] = []
    shrunk: list[str] = []
    for group, figures in found.items():
        for key, count in figures.items():
            before = recorded.get(group, {}).get(key, 0)
            text = f"{name} {group} {key}: {count:,} instructions, recorded {before:,}"
            if abs(count - before) > max(TOLERANCE * before, SMALL):
                (grown if count > before else shrunk).append(text)
    return grown, shrunk


def check(name: str, found: Figures) -> None:
    recorded: dict[str, Figures] = {}
    if GOLDEN.is_file():
        recorded = json.loads(GOLDEN.read_text())["counts"]
    if os.environ.get("MICROTUNE_UPDATE_GOLDEN"):
        recorded[name] = found
        golden = {"compiler": f"GCC {COMPILER} -O3", "counts": dict(sorted(recorded.items()))}
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
    grown, shrunk = compare(name, found, recorded[name])
    assert not grown, "\n".join(grown)
    if shrunk:
        words = "faster than recorded; record anew with MICROTUNE_UPDATE_GOLDEN=1:\n"
        warnings.warn(words + "\n".join(shrunk), stacklevel=2)


def require_compiler() -> None:
    if COMPILER not in find_arm_gcc().version:
        pytest.skip(f"recorded with GCC {COMPILER}, this is {find_arm_gcc().version}")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model, its last 13 layers trained, streamed."""
    folder = tmp_path_factory.mktemp("small") / "project"
    compile_project(folder, "last-13", model=load_any(embedded.MODEL))
    return folder


@pytest.fixture(scope="module")
def large(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference step."""
    folder = tmp_path_factory.mktemp("large") / "project"
    model = load_any(data_folder / "models/mit_tiny-training/mcunet-5fps.pkl")
    compile_project(folder, "49KB", model=model, classes=10)
    return folder


@pytest.mark.chip
@pytest.mark.parametrize("core", CORES)
def test_the_embedded_model_costs_no_more(small: Path, core: str) -> None:
    require_compiler()
    build = Build(load_target(core))
    check(f"fashion5 last-13 {core}", counts(profile_project(small, build), build))


@pytest.mark.chip
@pytest.mark.data
@pytest.mark.parametrize("core", CORES)
def test_the_reference_step_costs_no_more(large: Path, core: str) -> None:
    """And the code of its kernels fits its budget."""
    require_compiler()
    build = Build(load_target(core))
    profile = profile_project(large, build)
    assert profile.text_bytes <= TEXT_BUDGET
    check(f"mcunet-5fps 49KB {core}", counts(profile, build))


def test_growth_is_found_and_noise_is_not() -> None:
    recorded: Figures = {"train": {"conv 1x1": 1_000_000, "loss": 500}}
    same: Figures = {"train": {"conv 1x1": 1_009_000, "loss": 900}}
    assert compare("m", same, recorded) == ([], [])
    slower: Figures = {"train": {"conv 1x1": 1_011_000, "new": 5_000}}
    assert len(compare("m", slower, recorded)[0]) == 2
    faster: Figures = {"train": {"conv 1x1": 900_000}}
    grown, shrunk = compare("m", faster, recorded)
    assert not grown and "recorded 1,000,000" in shrunk[0]
