"""Contribution analysis: what biases of the last k layers, and each (layer, ratio), are worth.

Every gain is a difference of two schemes (`gains.py`): of the log-loss of each validation image,
each network at its best temperature. Biases are compared with the head alone, weights with biases
alone, of the least of a few depths (`levels`) that covers their layer: of no budget, so that what
was measured serves every budget. What others are compared with has all seeds from the beginning.
All candidates are run with one seed; in each further round at most half of them, those near a
decision by their gains as they were measured, with one seed more.
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
    by_layer,
    interpolated_depths,
    interpolated_ratios,
    summed_depths,
)
from microtune.search.contributions.shrinkage import expected, expected_points
from microtune.search.problem import HEAD_ONLY, Choice, Contributions, Selection
from microtune.search.trials.gains import Gain, Pair, Spread, gain, less, spread, standard_error
from microtune.search.trials.runner import Laboratory
from microtune.search.trials.trial import Outcome, Trial
from microtune.training.scheme import backbone_layers

# Depths that are measured; between them gains are interpolated.
MEASURED_DEPTHS = 8
# Standard errors that a difference must be away from a decision.
SURE = 2.0


@dataclass(frozen=True)
class Analysis:
    """Gains of bias depths over the head alone, of choices over biases alone; `steps`: of each
    depth that was measured, over the one before it (over the head alone the first);
    `head_accuracy`: of the head alone, in percent; `layers`: how many the model has."""

    biases: Mapping[int, Gain]
    steps: Mapping[int, Gain]
    weights: Mapping[Choice, Gain]
    head_accuracy: float
    layers: int

    @cached_property
    def contributions(self) -> Contributions:
        """As the selection takes them, in nats: what is to be expected of depths and choices. Of
        depths the steps are expected and added: all gains over the head alone share its error and
        that of the depths below, so that they are far less sure than what sets them apart."""
        depths = summed_depths(expected(self.steps, {}), self.biases)
        return Contributions(depths, expected(self.weights, self._levels))

    @cached_property
    def points(self) -> Contributions:
        """The same in percentage points of accuracy."""
        depths = summed_depths(expected_points(self.steps, {}), self.biases)
        return Contributions(depths, expected_points(self.weights, self._levels))

    @property
    def _levels(self) -> dict[Choice, int]:
        """How deep the biases are that each choice is compared with."""
        return {choice: level(self.layers, self.layers - choice.layer) for choice in self.weights}


@dataclass(frozen=True)
class Training:
    """How candidates are trained: learning rate, epochs, and at most so many paired seeds."""

    lr: float
    epochs: int
    seeds: int

    def trials(self, selection: Selection, seeds: int | None = None) -> list[Trial]:
        """Of the first seeds (None: all)."""
        count = self.seeds if seeds is None else seeds
        return [Trial(selection, self.lr, seed, self.epochs) for seed in range(count)]


def levels(layers: int) -> list[int]:
    """Depths of the biases that weights are compared with: half, three quarters, all layers."""
    return sorted({math.ceil(layers * part / 4) for part in (2, 3, 4)})


def level(layers: int, depth: int) -> int:
    """The least level that is as deep as `depth`."""
    return next(known for known in levels(layers) if known >= depth)


def analyse(
    laboratory: Laboratory, depth: int, choices: Sequence[Choice], training: Training
) -> Analysis:
    """Measure bias depths from 1 to `depth` and all choices, which lie within the last `depth`
    layers. The order of choices does not matter; equal input, equal answer."""
    rungs = spread_depths(range(1, depth + 1))
    ends = [choice for pair in _ends(choices) for choice in dict.fromkeys(pair)]
    bench = _Bench(laboratory, training)
    candidates = [Selection(k, ()) for k in rungs] + [bench.over_biases(c) for c in ends]
    laboratory.expected = expected_trials(len(candidates), training.seeds)
    bench.halving(candidates)
    bench.halving([bench.over_biases(c) for c in _disagreeing(choices, bench)])
    gains = bench.gains()
    biases = {s.bias_layers: g for s, g in gains.items() if not s.choices}
    weights = {s.choices[0]: g for s, g in gains.items() if s.choices}
    return Analysis(
        interpolated_depths(biases, range(1, depth + 1)), bench.steps(),
        interpolated_ratios(weights, choices), bench.head_accuracy(), bench.layers,
    )  # fmt: skip


def expected_trials(candidates: int, seeds: int) -> int:
    """How many trials the rounds take at most, with two references."""
    rounds = range(seeds)
    return sum(math.ceil(candidates / (1 << number)) for number in rounds) + 2 * seeds


class _Bench:
    """Candidates, what they are compared with, and how many runs each has had."""

    def __init__(self, laboratory: Laboratory, training: Training) -> None:
        self._laboratory, self._training = laboratory, training
        self.layers = len(backbone_layers(laboratory.materials.model.graph))
        self._candidates: dict[Selection, int] = {}
        self._references = {HEAD_ONLY: None}
        self._seeds = Spread(0.0, 0.0)

    def over_biases(self, choice: Choice) -> Selection:
        """The choice with the biases that it is compared with."""
        return Selection(level(self.layers, self.layers - choice.layer), (choice,))

    def halving(self, candidates: Sequence[Selection]) -> None:
        """Run all: with one seed, with each more of those near a decision."""
        self._references |= dict.fromkeys(map(self._reference, candidates))
        left = list(candidates)
        for seeds in range(1, self._training.seeds + 1):
            self._candidates |= dict.fromkeys(left, seeds)
            self._laboratory.outcomes([trial for s in self._runs() for trial in self._trials(s)])
            compared = [self._pair(s) for s in self._runs() if s != HEAD_ONLY]
            self._seeds = spread(compared, self._labels)
            gains = self.gains()
            unfinished = {c: gains[c] for c in left if c not in self._references}
            left = near_decision(unfinished, self.difference)
            if not left:
                break

    def gains(self) -> dict[Selection, Gain]:
        """Of all candidates, over what each is compared with."""
        return {c: gain(*self._pair(c), self._labels, self._seeds) for c in self._candidates}

    def steps(self) -> dict[int, Gain]:
        """Of each depth of biases among the candidates, over the one before it."""
        depths = sorted({0} | {c.bias_layers for c in self._candidates if not c.choices})
        runs = {depth: self._outcomes(Selection(depth, ())) for depth in depths}
        return {
            high: gain(runs[high], runs[low], self._labels, self._seeds)
            for low, high in pairwise(depths)
        }

    def head_accuracy(self) -> float:
        """Of the head alone, in percent."""
        heads = self._outcomes(HEAD_ONLY)
        return 100 * float(np.mean([head.predicted == self._labels for head in heads]))

    def difference(self, one: Selection, other: Selection) -> tuple[float, float]:
        """(by how much one candidate gains more than the other, its standard error) in nats, over
        the seeds that both have: where both are compared with the same runs, theirs do not
        matter."""
        ours, others = less(*self._pair(one)), less(*self._pair(other))
        seeds = min(len(ours), len(others))
        more = ours[:seeds] - others[:seeds]
        return float(more.mean()), standard_error(more, self._seeds.log_loss)

    @property
    def _labels(self) -> Array:
        return self._laboratory.materials.asked.labels

    def _pair(self, candidate: Selection) -> Pair:
        return self._outcomes(candidate), self._outcomes(self._reference(candidate))

    def _reference(self, candidate: Selection) -> Selection:
        return Selection(candidate.bias_layers, ()) if candidate.choices else HEAD_ONLY

    def _runs(self) -> list[Selection]:
        return list(dict.fromkeys([*self._references, *self._candidates]))

    def _trials(self, selection: Selection) -> list[Trial]:
        compared = selection in self._references
        return self._training.trials(selection, None if compared else self._candidates[selection])

    def _outcomes(self, selection: Selection) -> list[Outcome]:
        return self._laboratory.outcomes(self._trials(selection))


def near_decision(
    gains: Mapping[Selection, Gain],
    difference: Callable[[Selection, Selection], tuple[float, float]],
) -> list[Selection]:
    """At most half of the candidates, those that promise most first: whose gain is not surely
    negative, and lies within SURE standard errors of 0 or of a neighbour in the ranking.
    `difference` of two gains: nats and standard error."""

    def alike(one: Selection, other: Selection) -> bool:
        nats, error = difference(one, other)
        return abs(nats) < SURE * error

    ranked = sorted(gains, key=lambda s: (-gains[s].nats, str(s)))
    unsure: list[Selection] = []
    for place, selection in enumerate(ranked):
        own = gains[selection]
        neighbours = ranked[max(place - 1, 0) : place] + ranked[place + 1 : place + 2]
        near = abs(own.nats) < SURE * own.error or any(alike(selection, n) for n in neighbours)
        if own.nats + SURE * own.error > 0 and near:
            unsure.append(selection)
    unsure.sort(key=lambda s: -(gains[s].nats + SURE * gains[s].error))
    return unsure[: len(gains) // 2]


def spread_depths(depths: Sequence[int]) -> list[int]:
    """At most MEASURED_DEPTHS of ascending depths, evenly spread, the first and last among them."""
    if len(depths) <= MEASURED_DEPTHS:
        return list(depths)
    places = np.linspace(0, len(depths) - 1, MEASURED_DEPTHS).round().astype(int)
    return [depths[place] for place in places]


def _ends(choices: Iterable[Choice]) -> list[tuple[Choice, Choice]]:
    """The smallest and the largest ratio of each layer."""
    return [(of[0], of[-1]) for of in by_layer(choices).values()]


def _disagreeing(choices: Sequence[Choice], bench: _Bench) -> list[Choice]:
    """Ratios between ends whose gains surely differ."""
    found: list[Choice] = []
    for of in by_layer(choices).values():
        nats, error = bench.difference(bench.over_biases(of[-1]), bench.over_biases(of[0]))
        if len(of) > 2 and abs(nats) > SURE * error:
            found += of[1:-1]
    return found
