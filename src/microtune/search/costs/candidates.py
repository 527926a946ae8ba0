"""Candidates of a search: bias depths and choices that may fit within the limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from microtune.ir.graph import Graph
from microtune.search.costs.lower_bounds import sram_lower_bound
from microtune.search.costs.planned import Limits, SelectionCosts, require_head_fits
from microtune.search.problem import RATIOS, Choice, Selection
from microtune.training.apply_scheme import can_split
from microtune.training.scheme import channel_count


def affordable_candidates(
    costs: SelectionCosts, limits: Limits, all_layers: bool = False
) -> tuple[list[int], list[Choice]]:
    """(bias depths, choices) of the selections that may fit within the limits.

    Depths go from 1 to the deepest at which biases alone fit; with `all_layers`, to all layers and
    with all their choices. The smallest selection with a choice has the biases down to its layer. A
    choice is left out if the lower bounds of that selection exceed a limit: to plan each selection
    would take minutes. Raises MicrotuneError if not even the head alone fits.

    Costs rise with the depth and with the ratio, so that both are found by bisection. A whole layer
    may cost less than a half (`needs_no_less_memory`) and is checked by itself.
    """
    require_head_fits(costs, limits)
    count = len(costs.layers)
    deepest = count
    if not all_layers:
        depths = [Selection(depth, ()) for depth in range(1, count + 1)]
        deepest = count_fitting(depths, lambda selection: costs.fits(selection, limits))
    choices: list[Choice] = []
    for layer in range(count - deepest, count):
        ratios = distinct_ratios(costs.model.graph, costs.layers[layer])
        own = [Choice(layer, ratio) for ratio in ratios]
        choices += own if all_layers else affordable_choices(costs, limits, own)
    return list(range(1, deepest + 1)), choices


def affordable_choices(
    costs: SelectionCosts, limits: Limits, own: Sequence[Choice]
) -> list[Choice]:
    """Those choices that may fit together with the biases down to their layer.

    `own` are the choices of one layer, by ascending ratio.
    """
    depth = len(costs.layers) - own[0].layer
    alone = {choice: Selection(depth, (choice,)) for choice in own}
    parts = [choice for choice in own if choice.ratio < 1]
    count = count_fitting(
        [alone[choice] for choice in parts], lambda selection: may_fit(costs, selection, limits)
    )
    wholes = [c for c in own if c.ratio == 1 and may_fit(costs, alone[c], limits)]
    return parts[:count] + wholes


def may_fit(costs: SelectionCosts, selection: Selection, limits: Limits) -> bool:
    """Whether the lower bounds of a selection are within all limits; needs no plan of its own."""
    most = limits.step_instructions
    return (most is None or costs.instructions(selection) <= most) and sram_lower_bound(
        costs, selection
    ) <= limits.sram_bytes


def distinct_ratios(graph: Graph, layer: str) -> list[Fraction]:
    """The ratios of a layer that train different numbers of channels, ascending.

    Only 1 for a layer whose weights can be trained as a whole only. `layer` is the layer's name.
    """
    if not can_split(graph, layer):
        return [Fraction(1)]
    channels = channel_count(graph, layer)
    counts: dict[int, Fraction] = {}
    for ratio in RATIOS:
        count = max(1, int(ratio * channels))
        counts.setdefault(count, Fraction(1) if count == channels else ratio)
    return list(counts.values())


def count_fitting(selections: list[Selection], fits: Callable[[Selection], bool]) -> int:
    """The number of selections at the beginning of the list that fit, by bisection.

    The list is in the order of costs: if one does not fit, none behind it does.
    """
    low, high = 0, len(selections)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(selections[middle - 1]) else (low, middle - 1)
    return low
