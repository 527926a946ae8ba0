"""Costs of selections: those of `compile`, worked out once, and what they leave to choose."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from microtune import pipeline
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.search.costs import (
    Costs,
    Limits,
    candidates,
    distinct_ratios,
    least_sram,
    nodes_instructions,
    payable,
)
from microtune.search.problem import HEAD_ONLY, Choice, Selection
from microtune.search.select import NOISE_BYTES
from microtune.targets import load_target
from microtune.training.build import Formats, build_training_graph
from microtune.training.scheme import channel_count, resolve_scheme
from tests.projects import compile_project
from tests.search.small import (
    ANYTHING,
    Remembered,
    embedded_model,
    random_costs,
    request,
)

SOME = Selection(6, (Choice(14, Fraction(1, 4)), Choice(17, Fraction(1))))
GOLDEN = Path(__file__).parents[1] / "golden/instructions.json"


@pytest.fixture(scope="module")
def costs() -> Costs:
    return Costs(embedded_model(), request(5))


def test_a_selection_is_the_scheme_of_its_file(costs: Costs, tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text('bias_layers = 6\n[weights]\n14 = "1/4"\n17 = "1"\n')
    graph = costs.model.graph
    assert costs.scheme(SOME).sha256() == resolve_scheme(str(file), graph, graph.name).sha256()
    for selection, name in ((HEAD_ONLY, "head-only"), (Selection(20, ()), "bias-only")):
        expected = resolve_scheme(name, graph, graph.name).sha256()
        assert costs.scheme(selection).sha256() == expected


def test_costs_are_those_of_compile(costs: Costs, tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text('bias_layers = 6\n[weights]\n14 = "1/4"\n17 = "1"\n')
    project = compile_project(tmp_path / "project", str(file), model=costs.model)
    assert costs.sram(SOME) == pipeline.planned_sram(project.graph, project.plan)
    assert costs.flash(SOME) == pipeline.constant_bytes(project.graph) + pipeline.CODE_BYTES


def test_costs_are_worked_out_once(costs: Costs) -> None:
    store = Remembered()
    first = Costs(costs.model, costs.request, store)
    found = first.sram(HEAD_ONLY), first.flash(HEAD_ONLY), first.instructions(HEAD_ONLY)
    first.sram(HEAD_ONLY)
    assert first.plans == 1
    again = Costs(costs.model, costs.request, store)
    assert found == (again.sram(HEAD_ONLY), again.flash(HEAD_ONLY), again.instructions(HEAD_ONLY))
    assert again.plans == 0
    other = Costs(costs.model, request(5, "rows"), store)
    assert other.sram(HEAD_ONLY) > 0 and other.plans == 1


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m4", "cortex-m55"])
def test_instructions_are_near_those_counted(core: str) -> None:
    """The model is none of those that the figures were fitted to, and its layers are small."""
    model = embedded_model()
    scheme = resolve_scheme("last-13", model.graph, model.graph.name)
    graph = build_training_graph(model.graph, 5, scheme, Formats(), calibrate=False)
    counted = json.loads(GOLDEN.read_text())["counts"][f"fashion5 last-13 {core}"]["total"]["train"]
    estimate = nodes_instructions(graph, graph.nodes, load_target(core))
    assert 0.75 < estimate / counted < 1.25


def test_candidates_are_what_can_be_afforded(costs: Costs) -> None:
    limits = Limits(costs.sram(Selection(6, ())), ANYTHING.flash_bytes)
    depths, choices = candidates(costs, limits)
    assert depths == list(range(1, depths[-1] + 1)) and depths[-1] >= 6
    assert not costs.fits(Selection(depths[-1] + 1, ()), limits)
    count = len(costs.layers)
    assert {c.layer for c in choices} <= set(range(count - depths[-1], count))
    assert {costs.layers[c.layer] for c in choices} >= {"block6_depthwise", "block6_project"}
    for choice in choices:
        assert least_sram(costs, Selection(count - choice.layer, (choice,))) <= limits.sram_bytes


def test_a_whole_layer_may_fit_where_its_half_does_not(data_folder: Path) -> None:
    """The input of MCUNet's layer 6 is alive while its gradient is made; its half is a copy
    besides."""
    model = load_any(data_folder / "models/mit_tiny-training/mcunet-5fps.pkl")
    costs = Costs(model, request(10, "rows"))
    half, whole = (Choice(6, Fraction(1, part)) for part in (2, 1))
    least = {c: least_sram(costs, Selection(36, (c,))) for c in (half, whole)}
    assert least[whole] + NOISE_BYTES < least[half]
    ratios = distinct_ratios(model.graph, costs.layers[6])
    limits = Limits(least[half] - 1, ANYTHING.flash_bytes)
    kept = payable(costs, limits, [Choice(6, ratio) for ratio in ratios])
    assert whole in kept and half not in kept


def test_all_layers_on_request(costs: Costs) -> None:
    tight = Limits(costs.sram(HEAD_ONLY), ANYTHING.flash_bytes)
    depths, choices = candidates(costs, tight, all_layers=True)
    assert depths == list(range(1, 21))
    assert {c.layer for c in choices} == set(range(20))


def test_ratios_of_equal_channels_collapse(costs: Costs) -> None:
    for layer in costs.layers:
        ratios = distinct_ratios(costs.model.graph, layer)
        channels = channel_count(costs.model.graph, layer)
        counts = [max(1, int(ratio * channels)) for ratio in ratios]
        assert len(set(counts)) == len(counts) and ratios[-1] == 1


def test_grouped_and_fully_connected_layers_are_trained_whole() -> None:
    seen = set()
    for seed in range(40):
        costs = random_costs(seed)
        for node in costs.model.graph.nodes:
            if node.outputs[0] not in costs.layers:
                continue
            channels = costs.model.graph.tensors[node.inputs[0]].shape[-1]
            grouped = node.op == "conv2d" and 1 < node.int("groups") < channels
            if grouped or node.op == "fully_connected":
                seen.add(node.op)
                assert distinct_ratios(costs.model.graph, node.outputs[0]) == [1]
    assert seen == {"conv2d", "fully_connected"}


def test_too_little_memory_names_the_smallest_plan(costs: Costs) -> None:
    least = costs.sram(HEAD_ONLY)
    with pytest.raises(MicrotuneError, match=f"head alone takes {least:,} bytes.*--input rows"):
        candidates(costs, Limits(least - 1, ANYTHING.flash_bytes))
