"""Verification: the found scheme and known ones of the same budget, trained and evaluated."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from microtune.search.costs.candidates import count_fitting
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.known_schemes import last_layers, published_selections
from microtune.search.problem import HEAD_ONLY, Selection
from microtune.search.trials.gains import Gain, paired_gain, seed_variance_ratio
from microtune.search.trials.runner import TrialRunner
from microtune.search.trials.trial import EvaluationSplit, TrialResult, TrialSettings, TrialSetup

FOUND = "found"


@dataclass(frozen=True)
class VerifiedScheme:
    """A scheme trained with several seeds and evaluated on one split.

    `log_loss` is the mean in nats, each network at its best temperature. `accuracy` is the mean in
    percent, `deviation` its standard deviation between seeds in percentage points. `gain` is the
    gain over the head alone.
    """

    name: str
    selection: Selection
    split: EvaluationSplit
    seeds: int
    epochs: int
    log_loss: float
    accuracy: float
    deviation: float
    gain: Gain


def schemes_to_verify(
    found: Selection, costs: SelectionCosts, limits: Limits
) -> dict[str, Selection]:
    """The schemes that the verification trains, by name, all within the limits.

    The head alone; biases alone of the found depth; the published scheme and the number of last
    layers that use most of the budget, if any fit; and the found selection, which is last. A
    selection that has several names comes once.
    """
    named = {"head-only": HEAD_ONLY, "bias-only": Selection(found.bias_layers, ())}
    published = published_selections(costs)
    fitting = [(costs.sram(s), name) for name, s in published.items() if costs.fits(s, limits)]
    if fitting:
        name = max(fitting)[1]
        named[f"published {name}"] = published[name]
    if depth := _max_last_layers(costs, limits):
        named[f"last-{depth}"] = last_layers(costs, depth)
    once = {s: name for name, s in reversed(named.items()) if s != found}
    return {name: s for s, name in reversed(once.items())} | {FOUND: found}


def _max_last_layers(costs: SelectionCosts, limits: Limits) -> int:
    """The largest number of last layers that fit as a whole, found by bisection; 0 if none."""
    lasts = [last_layers(costs, count) for count in range(1, len(costs.layers) + 1)]
    return count_fitting(lasts, lambda selection: costs.fits(selection, limits))


def verify_schemes(
    runner: TrialRunner, open_test: Callable[[], TrialSetup],
    schemes: Mapping[str, Selection], settings: TrialSettings,
) -> list[VerifiedScheme]:  # fmt: skip
    """Train all schemes and evaluate them on val, then on test if there is a test split.

    The runner's setup must evaluate on val. `open_test` is called after that, so that the test
    split is not opened before; for it the networks are trained again, on all of train. Raises
    MicrotuneError for data that cannot be used.
    """
    runner.expected = runner.finished + 2 * len(schemes) * settings.seeds
    rows = train_and_evaluate(runner, schemes, "val", settings)
    test = open_test()
    if len(test.evaluation_split.labels) < 2:
        return rows
    last = replace(runner, setup=test, trained=0, known_results={})
    rows += train_and_evaluate(last, schemes, "test", settings)
    runner.trained += last.trained
    return rows


def best_on_val(rows: Sequence[VerifiedScheme]) -> VerifiedScheme:
    """The scheme with the lowest mean log-loss on val; of equal ones the found scheme."""
    on_val = [row for row in rows if row.split == "val"]
    return min(on_val, key=lambda row: (row.log_loss, row.name != FOUND))


def train_and_evaluate(
    runner: TrialRunner,
    schemes: Mapping[str, Selection],
    split: EvaluationSplit,
    settings: TrialSettings,
) -> list[VerifiedScheme]:
    """Train every scheme with all seeds and evaluate it on the evaluation split of the runner.

    `split` says which split that is. Raises what `run_trial` raises.
    """
    trials = settings.trials
    runner.results([trial for s in schemes.values() for trial in trials(s)])
    labels = runner.setup.evaluation_split.labels
    head = runner.results(trials(HEAD_ONLY))
    seeds = seed_variance_ratio(
        [(runner.results(trials(s)), head) for s in schemes.values()], labels
    )

    def row(name: str, selection: Selection, results: list[TrialResult]) -> VerifiedScheme:
        accuracies = [100.0 * float((r.predicted == labels).mean()) for r in results]
        return VerifiedScheme(
            name, selection, split, settings.seeds, settings.epochs,
            float(np.mean([r.log_loss.mean() for r in results])), statistics.mean(accuracies),
            statistics.stdev(accuracies), paired_gain(results, head, labels, seeds),
        )  # fmt: skip

    return [row(name, s, runner.results(trials(s))) for name, s in schemes.items()]
