"""Schemes that a search is compared with: published, last-K, bias-only and head-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from microtune.search.costs.planned import SelectionCosts
from microtune.search.problem import HEAD_ONLY, Choice, Selection
from microtune.training.scheme import published_schemes

LAST_LAYERS = (3, 6, 12)


def known_schemes(costs: SelectionCosts, last: Sequence[int] = LAST_LAYERS) -> dict[str, Selection]:
    """The known schemes of the model by the names that `compile --scheme` takes.

    The published schemes, last-K for each K of `last` that the model has layers for, bias-only and
    head-only.
    """
    count = len(costs.layers)
    deep = {f"last-{k}": last_layers(costs, k) for k in last if k <= count}
    others = {"bias-only": Selection(count, ()), "head-only": HEAD_ONLY}
    return published_selections(costs) | deep | others


def published_selections(costs: SelectionCosts) -> dict[str, Selection]:
    """The published schemes of the model by name, such as 49KB; empty if there are none."""
    return {
        name: Selection(int(entry["bias_layers"]), _choices(entry["weights"]))
        for name, entry in published_schemes(costs.model.graph.name).items()
    }


def last_layers(costs: SelectionCosts, depth: int) -> Selection:
    """The selection of all biases and all weights in the last `depth` layers."""
    count = len(costs.layers)
    whole = (Choice(layer, Fraction(1)) for layer in range(count - depth, count))
    return Selection(depth, tuple(whole))


def _choices(weights: Mapping[str, Any]) -> tuple[Choice, ...]:
    """The choices of a scheme table, in which each layer's number has a ratio as text."""
    return tuple(sorted(Choice(int(layer), Fraction(ratio)) for layer, ratio in weights.items()))
