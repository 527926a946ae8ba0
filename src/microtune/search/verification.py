"""Verification: what was found is trained beside known schemes of the same budget, and asked."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from microtune.search.contributions.ablation import Training
from microtune.search.costs.candidates import last_fitting
from microtune.search.costs.planned import Costs, Limits
from microtune.search.known_schemes import last_selection, published_selections
from microtune.search.problem import HEAD_ONLY, Selection
from microtune.search.trials.gains import Gain, gain, spread
from microtune.search.trials.runner import Laboratory
from microtune.search.trials.trial import Asked, Materials, Outcome

FOUND = "found"


@dataclass(frozen=True)
class Verified:
    """A scheme trained by several seeds: mean log-loss in nats (each network at its best
    temperature) and accuracy in percent of the split, the accuracy's deviation between seeds, and
    what is gained over the head alone."""

    name: str
    selection: Selection
    split: Asked
    seeds: int
    epochs: int
    log_loss: float
    accuracy: float
    deviation: float
    gain: Gain


def contenders(found: Selection, costs: Costs, limits: Limits) -> dict[str, Selection]:
    """What is trained, all of it within the limits: the head alone, biases alone of the depth that
    was found, the published scheme and the last layers that fill the budget best (where any fit
    and are no others already), and what was found."""
    named = {"head-only": HEAD_ONLY, "bias-only": Selection(found.bias_layers, ())}
    published = published_selections(costs)
    fitting = [(costs.sram(s), name) for name, s in published.items() if costs.fits(s, limits)]
    if fitting:
        name = max(fitting)[1]
        named[f"published {name}"] = published[name]
    if depth := _deepest(costs, limits):
        named[f"last-{depth}"] = last_selection(costs, depth)
    once = {s: name for name, s in reversed(named.items()) if s != found}
    return {name: s for s, name in reversed(once.items())} | {FOUND: found}


def _deepest(costs: Costs, limits: Limits) -> int:
    """Of how many last layers everything can be trained; fewer layers take less, but for noise."""
    lasts = [last_selection(costs, count) for count in range(1, len(costs.layers) + 1)]
    return last_fitting(lasts, lambda selection: costs.fits(selection, limits))


def verify(
    laboratory: Laboratory, open_test: Callable[[], Materials],
    schemes: Mapping[str, Selection], training: Training,
) -> list[Verified]:  # fmt: skip
    """Every scheme on val, then once on test, where there is a test split."""
    laboratory.expected = laboratory.done + 2 * len(schemes) * training.seeds
    rows = trained(laboratory, schemes, "val", training)
    test = open_test()
    if len(test.asked.labels) < 2:
        return rows
    last = replace(laboratory, materials=test, ran=0, known={})
    rows += trained(last, schemes, "test", training)
    laboratory.ran += last.ran
    return rows


def best_on_val(rows: Sequence[Verified]) -> Verified:
    """The lowest mean log-loss of the images that were to choose; what was found if it is equal."""
    asked = [row for row in rows if row.split == "val"]
    return min(asked, key=lambda row: (row.log_loss, row.name != FOUND))


def trained(
    laboratory: Laboratory, schemes: Mapping[str, Selection], split: Asked, training: Training
) -> list[Verified]:
    """Every scheme, trained and asked on the split that the laboratory's materials have."""
    trials = training.trials
    laboratory.outcomes([trial for s in schemes.values() for trial in trials(s)])
    labels = laboratory.materials.asked.labels
    head = laboratory.outcomes(trials(HEAD_ONLY))
    seeds = spread([(laboratory.outcomes(trials(s)), head) for s in schemes.values()], labels)

    def row(name: str, selection: Selection, outcomes: list[Outcome]) -> Verified:
        rights = [100.0 * float((o.predicted == labels).mean()) for o in outcomes]
        return Verified(
            name, selection, split, training.seeds, training.epochs,
            float(np.mean([o.log_loss.mean() for o in outcomes])), statistics.mean(rights),
            statistics.stdev(rights), gain(outcomes, head, labels, seeds),
        )  # fmt: skip

    return [row(name, s, laboratory.outcomes(trials(s))) for name, s in schemes.items()]
