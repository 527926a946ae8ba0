"""Whole runs with one rule replaced (mt_study.h); what each rule does is in study/test_rules.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from microtune import embedded
from microtune.data import Split
from microtune.importers import load_any
from microtune.project.project import Project
from microtune.run.runners import HostRunner
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
    """A project with dense and depthwise layers, a residual and the head, and what it learns."""
    folder, model = tmp_path_factory.mktemp("study") / "p", load_any(embedded.MODEL)
    tops = load_train(embedded.DATA, model)
    project = compile_project(folder, "last-10", model=model)
    runner = HostRunner(folder, 0, flags=FAST)
    return folder, project, tops, hashes(runner, project, tops, STEPS)


@pytest.mark.parametrize("rule", RULES)
def test_a_replaced_rule_has_the_same_bits_in_all_kernels(reference: Reference, rule: str) -> None:
    """Portable and AVX2, over a whole run; and they are not those of the reference rule."""
    folder, project, tops, reference_hash = reference
    fast = (*FAST, f"-D{rule}")
    found, portable = (
        hashes(HostRunner(folder, 0, flags=flags), project, tops, STEPS)
        for flags in (fast, (*fast, "-DMT_PORTABLE"))
    )
    assert found == portable
    assert found != reference_hash
