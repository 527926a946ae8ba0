"""Contribution analysis by ablation: train the network with one more part, and see what it gains.

Candidates are bias depths, compared with the head alone, and choices of weights, compared with
biases alone. Each gain is paired by image and seed (`trials/gains.py`).

The biases that a choice is compared with do not depend on the budget: they have the smallest of a
few fixed depths (`reference_depths`) that reaches the choice's layer. So what was measured serves
every budget.

Seeds are spent by successive halving. The references have all seeds from the beginning, candidates
one. In each further round at most half of the candidates, those near a decision, have one more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from microtune.ir.graph import Array
from microtune.search.contributions.interpolation import (
    choices_by_layer,
    cumulative_gains,
    interpolated_depths,
    interpolated_ratios,
)
from microtune.search.contributions.shrinkage import expected_nats, expected_points
from microtune.search.problem import HEAD_ONLY, Choice, Contributions, Selection
from microtune.search.trials.gains import (
    Gain,
    Pair,
    SeedVarianceRatio,
    log_loss_decreases,
    paired_gain,
    seed_variance_ratio,
    standard_error,
)
from microtune.search.trials.runner import TrialRunner
from microtune.search.trials.trial import Trial, TrialResult, TrialSettings
from microtune.training.scheme import backbone_layers

# Depths that are measured; between them gains are interpolated.
MEASURED_DEPTHS = 8
# A difference of less than so many standard errors leaves a decision open.
DECIDED_ERRORS = 2.0


@dataclass(frozen=True)
class ContributionAnalysis:
    """Measured and interpolated gains of all bias depths and choices.

    `biases` has the gain of each bias depth over the head alone. `depth_increments` has the gain of
    each measured depth over the next shallower one, that of the shallowest over the head alone.
    `weights` has the gain of each choice over biases alone. `head_accuracy` is the accuracy of the
    head alone in percent, `layers` the number of layers of the backbone.
    """

    biases: Mapping[int, Gain]
    depth_increments: Mapping[int, Gain]
    weights: Mapping[Choice, Gain]
    head_accuracy: float
    layers: int

    @cached_property
    def contributions(self) -> Contributions:
        """Expected gains in nats, by which a selection is chosen.

        The gain of a bias depth is the sum of the expected increments down to it. All gains over
        the head alone share the error of the head's runs, which is larger than the differences
        between depths; increments do not.
        """
        depths = cumulative_gains(expected_nats(self.depth_increments, {}), self.biases)
        return Contributions(depths, expected_nats(self.weights, self._reference_depths))

    @cached_property
    def points(self) -> Contributions:
        """Expected gains in percentage points of accuracy, made as `contributions` are."""
        depths = cumulative_gains(expected_points(self.depth_increments, {}), self.biases)
        return Contributions(depths, expected_points(self.weights, self._reference_depths))

    @property
    def _reference_depths(self) -> dict[Choice, int]:
        """Choice -> depth of the biases that it is compared with."""
        return {
            choice: reference_depth(self.layers, self.layers - choice.layer)
            for choice in self.weights
        }


def reference_depths(layers: int) -> list[int]:
    """Depths of the biases that choices are compared with: half, three quarters, all layers."""
    return sorted({math.ceil(layers * part / 4) for part in (2, 3, 4)})


def reference_depth(layers: int, depth: int) -> int:
    """The smallest reference depth of a model with so many layers that is at least `depth`."""
    return next(known for known in reference_depths(layers) if known >= depth)


def measure_contributions(
    runner: TrialRunner, depth: int, choices: Sequence[Choice], settings: TrialSettings
) -> ContributionAnalysis:
    """Measure bias depths from 1 to `depth` and all choices, by training.

    The choices must lie within the last `depth` layers; their order does not matter. Equal input
    gives an equal answer. Raises what `run_trial` raises.
    """
    depths = evenly_spaced_depths(range(1, depth + 1))
    ends = [choice for pair in _smallest_and_largest(choices) for choice in dict.fromkeys(pair)]
    halving = _SuccessiveHalving(runner, settings)
    candidates = [Selection(k, ()) for k in depths] + [halving.with_biases(c) for c in ends]
    runner.expected = max_trials(len(candidates), settings.seeds)
    halving.run(candidates)
    halving.run([halving.with_biases(c) for c in _inner_ratios_to_measure(choices, halving)])
    gains = halving.gains()
    biases = {s.bias_layers: g for s, g in gains.items() if not s.choices}
    weights = {s.choices[0]: g for s, g in gains.items() if s.choices}
    return ContributionAnalysis(
        interpolated_depths(biases, range(1, depth + 1)), halving.depth_increments(),
        interpolated_ratios(weights, choices), halving.head_accuracy(), halving.layers,
    )  # fmt: skip


def max_trials(candidates: int, seeds: int) -> int:
    """The largest number of trials of one successive halving with two references."""
    rounds = range(seeds)
    return sum(math.ceil(candidates / (1 << number)) for number in rounds) + 2 * seeds


class _SuccessiveHalving:
    """Runs candidates and their references, with more seeds for those near a decision."""

    def __init__(self, runner: TrialRunner, settings: TrialSettings) -> None:
        self._runner, self._settings = runner, settings
        self.layers = len(backbone_layers(runner.setup.model.graph))
        # How many seeds each candidate has run. References run all.
        self._candidates: dict[Selection, int] = {}
        self._references = {HEAD_ONLY: None}
        self._seed_ratio = SeedVarianceRatio(0.0, 0.0)

    def with_biases(self, choice: Choice) -> Selection:
        """The choice with the biases that it is compared with."""
        return Selection(reference_depth(self.layers, self.layers - choice.layer), (choice,))

    def run(self, candidates: Sequence[Selection]) -> None:
        """Run all candidates with one seed, and those near a decision with more."""
        self._references |= dict.fromkeys(map(self._reference, candidates))
        remaining = list(candidates)
        for seeds in range(1, self._settings.seeds + 1):
            self._candidates |= dict.fromkeys(remaining, seeds)
            self._runner.results(
                [trial for s in self._all_selections() for trial in self._trials(s)]
            )
            compared = [self._pair(s) for s in self._all_selections() if s != HEAD_ONLY]
            self._seed_ratio = seed_variance_ratio(compared, self._labels)
            gains = self.gains()
            unfinished = {c: gains[c] for c in remaining if c not in self._references}
            remaining = undecided_candidates(unfinished, self.difference)
            if not remaining:
                break

    def gains(self) -> dict[Selection, Gain]:
        """The gain of each candidate over its reference."""
        return {
            c: paired_gain(*self._pair(c), self._labels, self._seed_ratio) for c in self._candidates
        }

    def depth_increments(self) -> dict[int, Gain]:
        """The gain of each measured bias depth over the next shallower one."""
        depths = sorted({0} | {c.bias_layers for c in self._candidates if not c.choices})
        runs = {depth: self._results(Selection(depth, ())) for depth in depths}
        return {
            high: paired_gain(runs[high], runs[low], self._labels, self._seed_ratio)
            for low, high in pairwise(depths)
        }

    def head_accuracy(self) -> float:
        """The mean accuracy of the head alone, in percent."""
        heads = self._results(HEAD_ONLY)
        return 100 * float(np.mean([head.predicted == self._labels for head in heads]))

    def difference(self, one: Selection, other: Selection) -> tuple[float, float]:
        """(gain of one candidate minus that of the other, its standard error), in nats.

        Over the seeds that both have run. Where both have the same reference, its runs cancel out.
        """
        ours = log_loss_decreases(*self._pair(one))
        theirs = log_loss_decreases(*self._pair(other))
        seeds = min(len(ours), len(theirs))
        more = ours[:seeds] - theirs[:seeds]
        return float(more.mean()), standard_error(more, self._seed_ratio.log_loss)

    @property
    def _labels(self) -> Array:
        """The labels of the evaluation images, int32 (N,)."""
        return self._runner.setup.evaluation_split.labels

    def _pair(self, candidate: Selection) -> Pair:
        """(results of a candidate, results of its reference)."""
        return self._results(candidate), self._results(self._reference(candidate))

    def _reference(self, candidate: Selection) -> Selection:
        """What a candidate is compared with: biases alone, or the head alone."""
        return Selection(candidate.bias_layers, ()) if candidate.choices else HEAD_ONLY

    def _all_selections(self) -> list[Selection]:
        """All references and candidates, each once."""
        return list(dict.fromkeys([*self._references, *self._candidates]))

    def _trials(self, selection: Selection) -> list[Trial]:
        """The trials of a selection: all seeds for a reference, else its seeds so far."""
        reference = selection in self._references
        return self._settings.trials(selection, None if reference else self._candidates[selection])

    def _results(self, selection: Selection) -> list[TrialResult]:
        """The results of all trials of a selection so far."""
        return self._runner.results(self._trials(selection))


def undecided_candidates(
    gains: Mapping[Selection, Gain],
    difference: Callable[[Selection, Selection], tuple[float, float]],
) -> list[Selection]:
    """The candidates near a decision, at most half of all, the most promising first.

    A candidate is near a decision if its gain lies within DECIDED_ERRORS standard errors of 0 or of
    a neighbour in the ranking, and is not surely negative. `difference` gives (difference of two
    gains, its standard error) in nats.
    """

    def close(one: Selection, other: Selection) -> bool:
        nats, error = difference(one, other)
        return abs(nats) < DECIDED_ERRORS * error

    ranked = sorted(gains, key=lambda s: (-gains[s].nats, str(s)))
    undecided: list[Selection] = []
    for place, selection in enumerate(ranked):
        own = gains[selection]
        margin = DECIDED_ERRORS * own.standard_error
        neighbours = ranked[max(place - 1, 0) : place] + ranked[place + 1 : place + 2]
        near = abs(own.nats) < margin or any(close(selection, n) for n in neighbours)
        if own.nats + margin > 0 and near:
            undecided.append(selection)
    undecided.sort(key=lambda s: -(gains[s].nats + DECIDED_ERRORS * gains[s].standard_error))
    return undecided[: len(gains) // 2]


def evenly_spaced_depths(depths: Sequence[int]) -> list[int]:
    """At most MEASURED_DEPTHS of ascending depths, with the first and the last among them."""
    if len(depths) <= MEASURED_DEPTHS:
        return list(depths)
    places = np.linspace(0, len(depths) - 1, MEASURED_DEPTHS).round().astype(int)
    return [depths[place] for place in places]


def _smallest_and_largest(choices: Iterable[Choice]) -> list[tuple[Choice, Choice]]:
    """The smallest and the largest ratio of each layer."""
    return [(own[0], own[-1]) for own in choices_by_layer(choices).values()]


def _inner_ratios_to_measure(
    choices: Sequence[Choice], halving: _SuccessiveHalving
) -> list[Choice]:
    """Ratios between the ends of a layer whose gains surely differ."""
    found: list[Choice] = []
    for own in choices_by_layer(choices).values():
        ends = halving.with_biases(own[-1]), halving.with_biases(own[0])
        nats, error = halving.difference(*ends)
        if len(own) > 2 and abs(nats) > DECIDED_ERRORS * error:
            found += own[1:-1]
    return found
