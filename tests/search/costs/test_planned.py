"""Costs of selections: those of `compile`, worked out once, and what they leave to choose."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from microtune import pipeline
from microtune.errors import MicrotuneError
from microtune.search.costs.candidates import affordable_candidates
from microtune.search.costs.planned import Limits, SelectionCosts, estimated_instructions
from microtune.search.problem import HEAD_ONLY, Choice, Selection
from microtune.targets import load_target
from microtune.training.build import Formats, build_training_graph
from microtune.training.scheme import resolve_scheme
from tests.projects import compile_project
from tests.search.small import ANYTHING, Remembered, embedded_model, request

SOME = Selection(6, (Choice(14, Fraction(1, 4)), Choice(17, Fraction(1))))
GOLDEN = Path(__file__).parents[2] / "golden/instructions.json"


def test_a_selection_is_the_scheme_of_its_file(costs: SelectionCosts, tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text('bias_layers = 6\n[weights]\n14 = "1/4"\n17 = "1"\n')
    graph = costs.model.graph
    assert costs.scheme(SOME).sha256() == resolve_scheme(str(file), graph, graph.name).sha256()
    for selection, name in ((HEAD_ONLY, "head-only"), (Selection(20, ()), "bias-only")):
        expected = resolve_scheme(name, graph, graph.name).sha256()
        assert costs.scheme(selection).sha256() == expected


def test_costs_are_those_of_compile(costs: SelectionCosts, tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text('bias_layers = 6\n[weights]\n14 = "1/4"\n17 = "1"\n')
    project = compile_project(tmp_path / "project", str(file), model=costs.model)
    assert costs.sram(SOME) == pipeline.planned_sram(project.graph, project.plan)
    assert costs.flash(SOME) == pipeline.constant_bytes(project.graph) + pipeline.CODE_BYTES


def test_costs_are_worked_out_once(costs: SelectionCosts) -> None:
    store = Remembered()
    first = SelectionCosts(costs.model, costs.request, store)
    found = first.sram(HEAD_ONLY), first.flash(HEAD_ONLY), first.instructions(HEAD_ONLY)
    first.sram(HEAD_ONLY)
    assert first.plans == 1
    again = SelectionCosts(costs.model, costs.request, store)
    assert found == (again.sram(HEAD_ONLY), again.flash(HEAD_ONLY), again.instructions(HEAD_ONLY))
    assert again.plans == 0
    other = SelectionCosts(costs.model, request(5, "rows"), store)
    assert other.sram(HEAD_ONLY) > 0 and other.plans == 1


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m4", "cortex-m55"])
def test_instructions_are_near_those_counted(core: str) -> None:
    """The model is none of those that the figures were fitted to, and its layers are small."""
    model = embedded_model()
    scheme = resolve_scheme("last-13", model.graph, model.graph.name)
    graph = build_training_graph(model.graph, 5, scheme, Formats(), calibrate=False)
    counted = json.loads(GOLDEN.read_text())["counts"][f"fashion5 last-13 {core}"]["total"]["train"]
    estimate = estimated_instructions(graph, graph.nodes, load_target(core))
    assert 0.75 < estimate / counted < 1.25


def test_too_little_memory_names_the_smallest_plan(costs: SelectionCosts) -> None:
    least = costs.sram(HEAD_ONLY)
    with pytest.raises(MicrotuneError, match=f"head alone takes {least:,} bytes.*--input rows"):
        affordable_candidates(costs, Limits(least - 1, ANYTHING.flash_bytes))
