"""Schemes that a search is compared with: published ones, the last layers, biases, the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from microtune.search.costs.planned import Costs
from microtune.search.problem import HEAD_ONLY, Choice, Selection
from microtune.training.scheme import published_schemes

LAST = (3, 6, 12)


def known_selections(costs: Costs, last: Sequence[int] = LAST) -> dict[str, Selection]:
    """Those schemes as selections, by the names that `compile --scheme` takes."""
    count = len(costs.layers)
    deep = {f"last-{k}": last_selection(costs, k) for k in last if k <= count}
    others = {"bias-only": Selection(count, ()), "head-only": HEAD_ONLY}
    return published_selections(costs) | deep | others


def published_selections(costs: Costs) -> dict[str, Selection]:
    """The published schemes of the model by their names; none of a model that has none."""
    return {
        name: Selection(int(entry["bias_layers"]), _choices(entry["weights"]))
        for name, entry in published_schemes(costs.model.graph.name).items()
    }


def last_selection(costs: Costs, depth: int) -> Selection:
    """Everything in the last `depth` layers."""
    count = len(costs.layers)
    whole = (Choice(layer, Fraction(1)) for layer in range(count - depth, count))
    return Selection(depth, tuple(whole))


def _choices(weights: Mapping[str, Any]) -> tuple[Choice, ...]:
    return tuple(sorted(Choice(int(layer), Fraction(ratio)) for layer, ratio in weights.items()))
