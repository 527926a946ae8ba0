"""Bias depths and choices that a search measures: those that can be afforded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from microtune.ir.graph import Graph
from microtune.search.costs.lower_bounds import least_sram
from microtune.search.costs.planned import Costs, Limits, require_head
from microtune.search.problem import RATIOS, Choice, Selection
from microtune.training.apply_scheme import can_split
from microtune.training.scheme import channel_count


def candidates(
    costs: Costs, limits: Limits, all_layers: bool = False
) -> tuple[list[int], list[Choice]]:
    """(bias depths, choices) that a search measures: those that can be afforded.

    Depths go from 1 to the deepest at which biases alone fit, or to all layers. A choice is left
    out if with the biases down to its layer, the least scheme that has it, it cannot fit by the
    lower bounds; to plan each would take minutes. More depth or a larger part of a layer never
    costs less, so both limits are found by bisection; the whole layer may (`takes_no_less`) and is
    looked at for itself. Raises MicrotuneError if not even the head can be trained.
    """
    require_head(costs, limits)
    count = len(costs.layers)
    deepest = count
    if not all_layers:
        depths = [Selection(depth, ()) for depth in range(1, count + 1)]
        deepest = last_fitting(depths, lambda selection: costs.fits(selection, limits))
    choices: list[Choice] = []
    for layer in range(count - deepest, count):
        ratios = distinct_ratios(costs.model.graph, costs.layers[layer])
        own = [Choice(layer, ratio) for ratio in ratios]
        choices += own if all_layers else payable(costs, limits, own)
    return list(range(1, deepest + 1)), choices


def payable(costs: Costs, limits: Limits, own: Sequence[Choice]) -> list[Choice]:
    """Those of a layer's choices that may fit with the biases down to it."""
    depth = len(costs.layers) - own[0].layer
    alone = {choice: Selection(depth, (choice,)) for choice in own}
    parts = [choice for choice in own if choice.ratio < 1]
    count = last_fitting(
        [alone[choice] for choice in parts], lambda selection: may_fit(costs, selection, limits)
    )
    wholes = [c for c in own if c.ratio == 1 and may_fit(costs, alone[c], limits)]
    return parts[:count] + wholes


def may_fit(costs: Costs, selection: Selection, limits: Limits) -> bool:
    """False if the selection certainly breaks a limit; needs no plan of its own."""
    most = limits.step_instructions
    return (most is None or costs.instructions(selection) <= most) and least_sram(
        costs, selection
    ) <= limits.sram_bytes


def distinct_ratios(graph: Graph, layer: str) -> list[Fraction]:
    """The ratios of a layer that train different numbers of channels, ascending; 1 alone where its
    weights are trained whole or not at all."""
    if not can_split(graph, layer):
        return [Fraction(1)]
    channels = channel_count(graph, layer)
    counts: dict[int, Fraction] = {}
    for ratio in RATIOS:
        count = max(1, int(ratio * channels))
        counts.setdefault(count, Fraction(1) if count == channels else ratio)
    return list(counts.values())


def last_fitting(selections: list[Selection], fits: Callable[[Selection], bool]) -> int:
    """How many fit from the first on; those behind one that does not fit neither."""
    low, high = 0, len(selections)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(selections[middle - 1]) else (low, middle - 1)
    return low
