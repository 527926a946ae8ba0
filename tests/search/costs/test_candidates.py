"""Bias depths and choices that a search measures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from microtune.importers import load_any
from microtune.search.costs.candidates import (
    affordable_candidates,
    affordable_choices,
    distinct_ratios,
)
from microtune.search.costs.lower_bounds import sram_lower_bound
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.problem import HEAD_ONLY, Choice, Selection
from microtune.search.selection.exact import NOISE_BYTES
from microtune.training.scheme import channel_count
from tests.search.small import ANYTHING, random_costs, request


def test_candidates_are_what_can_be_afforded(costs: SelectionCosts) -> None:
    limits = Limits(costs.sram(Selection(6, ())), ANYTHING.flash_bytes)
    depths, choices = affordable_candidates(costs, limits)
    assert depths == list(range(1, depths[-1] + 1)) and depths[-1] >= 6
    assert not costs.fits(Selection(depths[-1] + 1, ()), limits)
    count = len(costs.layers)
    assert {c.layer for c in choices} <= set(range(count - depths[-1], count))
    assert {costs.layers[c.layer] for c in choices} >= {"block6_depthwise", "block6_project"}
    for choice in choices:
        assert (
            sram_lower_bound(costs, Selection(count - choice.layer, (choice,))) <= limits.sram_bytes
        )


def test_a_whole_layer_may_fit_where_its_half_does_not(data_folder: Path) -> None:
    """The input of MCUNet's layer 6 is alive while its gradient is made; its half is a copy
    besides."""
    model = load_any(data_folder / "models/mit_tiny-training/mcunet-5fps.pkl")
    costs = SelectionCosts(model, request(10, "rows"))
    half, whole = (Choice(6, Fraction(1, part)) for part in (2, 1))
    least = {c: sram_lower_bound(costs, Selection(36, (c,))) for c in (half, whole)}
    assert least[whole] + NOISE_BYTES < least[half]
    ratios = distinct_ratios(model.graph, costs.layers[6])
    limits = Limits(least[half] - 1, ANYTHING.flash_bytes)
    kept = affordable_choices(costs, limits, [Choice(6, ratio) for ratio in ratios])
    assert whole in kept and half not in kept


def test_all_layers_on_request(costs: SelectionCosts) -> None:
    tight = Limits(costs.sram(HEAD_ONLY), ANYTHING.flash_bytes)
    depths, choices = affordable_candidates(costs, tight, all_layers=True)
    assert depths == list(range(1, 21))
    assert {c.layer for c in choices} == set(range(20))


def test_ratios_of_equal_channels_collapse(costs: SelectionCosts) -> None:
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
