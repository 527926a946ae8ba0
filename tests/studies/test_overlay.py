"""Whole runs with one rule replaced by the overlay; what each rule does is in test_rules.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from microtune_studies.overlay import lay_over, rule_flags

from microtune import embedded
from microtune.data import Split
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.project.project import Project
from microtune.run.runners import HostRunner
from microtune.runtime.files import RUNTIME
from tests.projects import compile_project, hashes, load_train

STEPS = 32
FAST = ("-O0", "-march=native")  # each rule compiles everything; the bits are the same
RULES = (
    "MT_STUDY_WEIGHTS=MT_NEAREST", "MT_STUDY_WEIGHTS=MT_TOWARDS_ZERO",
    "MT_STUDY_GRADIENTS=MT_NEAREST", "MT_STUDY_GRADIENTS=MT_TOWARDS_ZERO",
    "MT_STUDY_EXPONENT=MT_FIXED_OFFSET", "MT_STUDY_EXPONENT=MT_HEADROOM",
    "MT_STUDY_EXPONENT=MT_PREVIOUS_SAMPLE", "MT_STUDY_EXPONENT=MT_EXACT_MAXIMUM",
    "MT_STUDY_INPUTS=MT_RAW_CODES", "MT_STUDY_SHORTCUTS=MT_LOST", "MT_STUDY_LOGIT_GAIN=6",
    "MT_STUDY_HEAD_BITS=8",
)  # fmt: skip


Reference = tuple[Path, Project, Split, object]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A project with dense and depthwise layers, a residual and the head, overlaid; and what it
    learns without the overlay."""
    folder, model = tmp_path_factory.mktemp("study") / "p", load_any(embedded.MODEL)
    tops = load_train(embedded.DATA, model)
    project = compile_project(folder, "last-10", model=model)
    expected = hashes(HostRunner(folder, 0, flags=FAST), project, tops, STEPS)
    lay_over(folder / "src")
    return folder, project, tops, expected


@pytest.mark.parametrize("rule", RULES)
def test_a_replaced_rule_has_the_same_bits_in_all_kernels(reference: Reference, rule: str) -> None:
    """Portable and AVX2, over a whole run; and they are not those of the reference rule."""
    folder, project, tops, expected = reference
    found, portable = (
        hashes(HostRunner(folder, 0, flags=(*FAST, *more)), project, tops, STEPS)
        for more in (rule_flags(rule), (*rule_flags(rule), "-DMT_PORTABLE"))
    )
    assert found == portable
    assert found != expected


def test_the_overlay_without_a_rule_has_the_shipped_bits(reference: Reference) -> None:
    folder, project, tops, expected = reference
    assert hashes(HostRunner(folder, 0, flags=FAST), project, tops, STEPS) == expected


def test_an_edit_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    shutil.copytree(RUNTIME, tmp_path / "src")
    loss = tmp_path / "src/portable/mt_loss.c"
    loss.write_text(loss.read_text().replace("(int64_t)logit - max;", "(int64_t)(logit - max);"))
    with pytest.raises(MicrotuneError, match=r"mt_loss\.c: .* there 0 times"):
        lay_over(tmp_path / "src")
