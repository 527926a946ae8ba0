"""Contribution analysis: what biases of the last k layers, and each (layer, ratio), are worth.

Every gain is a difference of two schemes (`gains.py`): of the log-loss of each validation image,
each network at its best temperature. Biases are compared with the head alone, weights with biases
alone, of the least of a few depths (`levels`) that covers their layer: of no budget, so that what
was measured serves every budget. What others are compared with has all seeds from the beginning:
its error would be that of all. All candidates are run with one seed; in each further round at most
half of them, those near a decision, with one seed more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from microtune.ir.graph import Array
from microtune.search.gains import (
    NO_GAIN,
    Gain,
    Pair,
    Spread,
    between,
    expected,
    expected_points,
    gain,
    less,
    spread,
    standard_error,
)
from microtune.search.laboratory import Laboratory
from microtune.search.problem import HEAD_ONLY, Choice, Contributions, Selection
from microtune.search.trials import Outcome, Trial
from microtune.training.scheme import backbone_layers

# Depths that are measured; between them gains are interpolated.
MEASURED_DEPTHS = 8
# Standard errors that a difference must be away from a decision.
SURE = 2.0


@dataclass(frozen=True)
class Analysis:
    """Gains of bias depths over the head alone, of choices over biases alone; `head_accuracy`: of
    the head alone, in percent."""

    biases: Mapping[int, Gain]
    weights: Mapping[Choice, Gain]
    head_accuracy: float

    @property
    def contributions(self) -> Contributions:
        """As the selection takes them, in nats: what is to be expected of depths and choices."""
        return Contributions(expected(self.biases), expected(self.weights))

    @property
    def points(self) -> Contributions:
        """The same in percentage points of accuracy."""
        return Contributions(expected_points(self.biases), expected_points(self.weights))


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
        interpolated_depths(biases, range(1, depth + 1)), interpolated_ratios(weights, choices),
        bench.head_accuracy(),
    )  # fmt: skip


def expected_trials(candidates: int, seeds: int) -> int:
    """How many trials the rounds take at most, with two references."""
    rounds = range(seeds)
    return sum(math.ceil(candidates / (1 << number)) for number in rounds) + 2 * seeds


class _Bench:
    """Candidates, what they are compared with, and how many runs each has had."""

    def __init__(self, laboratory: Laboratory, training: Training) -> None:
        self._laboratory, self._training = laboratory, training
        self._layers = len(backbone_layers(laboratory.materials.model.graph))
        self._candidates: dict[Selection, int] = {}
        self._references = {HEAD_ONLY: None}

    def over_biases(self, choice: Choice) -> Selection:
        """The choice with the biases that it is compared with."""
        return Selection(level(self._layers, self._layers - choice.layer), (choice,))

    def halving(self, candidates: Sequence[Selection]) -> None:
        """Run all: with one seed, with each more of those near a decision."""
        self._references |= dict.fromkeys(map(self._reference, candidates))
        left = list(candidates)
        for seeds in range(1, self._training.seeds + 1):
            self._candidates |= dict.fromkeys(left, seeds)
            self._laboratory.outcomes([trial for s in self._runs() for trial in self._trials(s)])
            gains = self.gains()
            left = near_decision({c: gains[c] for c in left}, self.error_between)
            if not left:
                break

    def gains(self) -> dict[Selection, Gain]:
        """Of all candidates, over what each is compared with."""
        seeds = self._spread()
        return {c: gain(*self._pair(c), self._labels, seeds) for c in self._candidates}

    def head_accuracy(self) -> float:
        """Of the head alone, in percent."""
        heads = self._outcomes(HEAD_ONLY)
        return 100 * float(np.mean([head.predicted == self._labels for head in heads]))

    def error_between(self, one: Selection, other: Selection) -> float:
        """Standard error of the difference of two candidates' gains in nats: where both are
        compared with the same runs, theirs do not matter."""
        ours, others = less(*self._pair(one)), less(*self._pair(other))
        seeds = min(len(ours), len(others))
        return standard_error(ours[:seeds] - others[:seeds], self._spread().log_loss)

    @property
    def _labels(self) -> Array:
        return self._laboratory.materials.asked.labels

    def _spread(self) -> Spread:
        compared = [s for s in self._runs() if s != HEAD_ONLY]
        return spread([self._pair(s) for s in compared], self._labels)

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
    gains: Mapping[Selection, Gain], error_between: Callable[[Selection, Selection], float]
) -> list[Selection]:
    """At most half of the candidates, those that promise most first: whose gain is not surely
    negative, and lies within SURE standard errors of 0 or of a neighbour in the ranking."""
    ranked = sorted(gains, key=lambda s: (-gains[s].nats, str(s)))
    unsure: list[Selection] = []
    for place, selection in enumerate(ranked):
        own = gains[selection]
        neighbours = ranked[max(place - 1, 0) : place] + ranked[place + 1 : place + 2]
        near = abs(own.nats) < SURE * own.error or any(
            abs(own.nats - gains[other].nats) < SURE * error_between(selection, other)
            for other in neighbours
        )
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


def _by_layer(choices: Iterable[Choice]) -> dict[int, list[Choice]]:
    found: dict[int, list[Choice]] = {}
    for choice in sorted(choices):
        found.setdefault(choice.layer, []).append(choice)
    return found


def _ends(choices: Iterable[Choice]) -> list[tuple[Choice, Choice]]:
    """The smallest and the largest ratio of each layer."""
    return [(of[0], of[-1]) for of in _by_layer(choices).values()]


def _disagreeing(choices: Sequence[Choice], bench: _Bench) -> list[Choice]:
    """Ratios between ends whose gains surely differ."""
    gains = bench.gains()
    found: list[Choice] = []
    for of in _by_layer(choices).values():
        low, high = bench.over_biases(of[0]), bench.over_biases(of[-1])
        difference = abs(gains[high].nats - gains[low].nats)
        if len(of) > 2 and difference > SURE * bench.error_between(low, high):
            found += of[1:-1]
    return found


def interpolated_ratios(
    measured: Mapping[Choice, Gain], choices: Iterable[Choice]
) -> dict[Choice, Gain]:
    """Gains of all choices, between measured ends of the layer as `_part_between` says."""
    found: dict[Choice, Gain] = {}
    for of in _by_layer(choices).values():
        low, high = of[0], of[-1]
        for choice in of:
            if choice in measured:
                found[choice] = measured[choice]
            else:
                doublings = _log(choice.ratio / low.ratio) / _log(high.ratio / low.ratio)
                part = _part_between(measured[low], measured[high], doublings)
                found[choice] = between(measured[low], measured[high], part)
    return found


def _part_between(low: Gain, high: Gain, doublings: float) -> float:
    """How far a gain has come from a small ratio's to a large one's after this part of the
    doublings: as far as a power law of the ratio says of the training loss, or linearly in the
    doublings where that has none."""
    if not 0 < low.learnt < high.learnt:
        return doublings
    growth = high.learnt / low.learnt
    return float((growth**doublings - 1) / (growth - 1))


def _log(ratio: Fraction) -> float:
    return math.log(float(ratio))


def interpolated_depths(measured: Mapping[int, Gain], depths: Iterable[int]) -> dict[int, Gain]:
    """Gains of all depths, linear between those that were measured (depth 0 gains nothing)."""
    known = {0: NO_GAIN, **measured}
    found: dict[int, Gain] = {}
    for depth in sorted(depths):
        if depth in measured:
            found[depth] = measured[depth]
        else:
            low = max(k for k in known if k < depth)
            high = min(k for k in known if k > depth)
            found[depth] = between(known[low], known[high], (depth - low) / (high - low))
    return found
