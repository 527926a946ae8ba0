"""Small models for the search's tests, and a store of costs."""

from __future__ import annotations

from itertools import product

from microtune import embedded, pipeline
from microtune.importers import load_any
from microtune.ir.modelfile import ModelFile
from microtune.search.costs.candidates import distinct_ratios
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.problem import Choice, Selection
from microtune.targets import load_target
from tests.training.graphs import random_graph

FREE = 1 << 26
ANYTHING = Limits(FREE, FREE)


def request(classes: int, mode: pipeline.InputMode = "resident") -> pipeline.Request:
    """For the Cortex-M7, without a budget."""
    return pipeline.Request(classes, "none", load_target("cortex-m7"), FREE, FREE, input=mode)


def embedded_model() -> ModelFile:
    """20 layers."""
    return load_any(embedded.MODEL)


def random_costs(seed: int) -> SelectionCosts:
    """Of a random graph with up to ten layers."""
    case = random_graph(seed)
    return SelectionCosts(ModelFile(case.graph, {}, ""), request(case.classes))


def some_space(costs: SelectionCosts, layer_count: int = 2) -> tuple[list[int], list[Choice]]:
    """Three depths, and the smallest and largest ratio of a few of the last layers."""
    count = len(costs.layers)
    depths = sorted({1, (count + 1) // 2, count})
    choices = []
    for layer in range(count - 1, -1, -max(count // layer_count, 1)):
        ratios = distinct_ratios(costs.model.graph, costs.layers[layer])
        choices += [Choice(layer, ratio) for ratio in sorted({ratios[0], ratios[-1]})]
    return depths, sorted(choices)


def all_selections(
    costs: SelectionCosts, depths: list[int], choices: list[Choice]
) -> list[Selection]:
    """Every selection of these depths, and of the head alone, and choices."""
    layers = sorted({c.layer for c in choices})
    ways = [[None, *(c for c in choices if c.layer == layer)] for layer in layers]
    found = []
    for depth in (0, *depths):
        for chosen in product(*ways):
            kept = tuple(c for c in chosen if c is not None)
            if all(c.layer >= len(costs.layers) - depth for c in kept):
                found.append(Selection(depth, kept))
    return found


class Remembered(dict[str, int]):
    """A store of costs in memory."""

    def put(self, key: str, value: int) -> None:
        self[key] = value
