"""Contribution analysis: what biases of the last k layers, and each (layer, ratio), are worth.

Every gain is a paired difference of two schemes trained by the same seeds: of the log-loss of each
validation image, each network at its best temperature. Biases are compared with the head alone,
weights with biases alone, of the least of a few depths (`levels`) that covers their layer: of no
budget, so that what was measured serves every budget. All candidates are run with one seed; in each
further round at most half of them, those near a decision, with one seed more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from microtune.ir.graph import Array
from microtune.search.laboratory import Laboratory
from microtune.search.problem import HEAD_ONLY, Choice, Contributions, Selection
from microtune.search.trials import Outcome, Trial
from microtune.study.statistics import Difference, bootstrap
from microtune.training.scheme import backbone_layers

# Depths that are measured; between them gains are interpolated.
MEASURED_DEPTHS = 8
# Standard errors that a difference must be away from a decision.
SURE = 2.0
_RESAMPLES = 1000


@dataclass(frozen=True)
class Gain:
    """Decrease of the mean validation log-loss in nats with its standard error; the change of the
    accuracy in percentage points (None where interpolated); how many paired seeds (0:
    interpolated)."""

    nats: float
    error: float
    points: Difference | None
    seeds: int


@dataclass(frozen=True)
class Analysis:
    """Gains of bias depths over the head alone, of choices over biases alone."""

    biases: Mapping[int, Gain]
    weights: Mapping[Choice, Gain]

    @property
    def contributions(self) -> Contributions:
        """As the selection takes them."""
        return Contributions(
            {depth: gain.nats for depth, gain in self.biases.items()},
            {choice: gain.nats for choice, gain in self.weights.items()},
        )


@dataclass(frozen=True)
class Training:
    """How candidates are trained: learning rate, epochs, and at most so many paired seeds."""

    lr: float
    epochs: int
    seeds: int


def gain(ours: Sequence[Outcome], others: Sequence[Outcome], labels: Array) -> Gain:
    """What `ours` gain over `others`, seed by seed and image by image.

    The standard error is over images and, with several seeds, over seeds.
    """
    pairs = list(zip(ours, others, strict=True))
    losses = np.stack([b.log_loss - a.log_loss for a, b in pairs])
    seeds, images = losses.shape
    variance = float(losses.mean(axis=0).var(ddof=1)) / images
    if seeds > 1:
        variance += float(losses.mean(axis=1).var(ddof=1)) / seeds
    right = np.stack([
        (a.predicted == labels).astype(np.float64) - (b.predicted == labels) for a, b in pairs
    ])  # fmt: skip
    points = bootstrap(right, _RESAMPLES)
    return Gain(float(losses.mean()), math.sqrt(variance), points, seeds)


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
    gains = bench.halving(candidates)
    measured = _of_choices(gains)
    between = [bench.over_biases(c) for c in _disagreeing(choices, measured)]
    measured |= _of_choices(bench.halving(between))
    biases = {s.bias_layers: g for s, g in gains.items() if not s.choices}
    return Analysis(
        interpolated_depths(biases, range(1, depth + 1)), interpolated_ratios(measured, choices)
    )


def _of_choices(gains: Mapping[Selection, Gain]) -> dict[Choice, Gain]:
    return {s.choices[0]: g for s, g in gains.items() if s.choices}


def expected_trials(candidates: int, seeds: int) -> int:
    """How many trials the rounds take at most, with two references."""
    rounds = range(seeds)
    return sum(math.ceil(candidates / (1 << number)) for number in rounds) + 2 * seeds


class _Bench:
    """Candidates and the references that they are compared with."""

    def __init__(self, laboratory: Laboratory, training: Training) -> None:
        self._laboratory, self._training = laboratory, training
        self._layers = len(backbone_layers(laboratory.materials.model.graph))

    def over_biases(self, choice: Choice) -> Selection:
        """The choice with the biases that it is compared with."""
        return Selection(level(self._layers, self._layers - choice.layer), (choice,))

    def halving(self, candidates: Sequence[Selection]) -> dict[Selection, Gain]:
        """Gains of all: with one seed, with each more of those near a decision."""
        gains: dict[Selection, Gain] = {}
        left = list(candidates)
        for seeds in range(1, self._training.seeds + 1):
            gains |= self._measured(left, seeds)
            left = near_decision({c: gains[c] for c in left})
            if not left:
                break
        return gains

    def _measured(self, candidates: Sequence[Selection], seeds: int) -> dict[Selection, Gain]:
        trials = [self._trials(s, seeds) for c in candidates for s in (self._reference(c), c)]
        self._laboratory.outcomes([trial for part in trials for trial in part])
        labels = self._laboratory.materials.asked.labels
        return {
            c: gain(self._outcomes(c, seeds), self._outcomes(self._reference(c), seeds), labels)
            for c in candidates
        }

    def _reference(self, candidate: Selection) -> Selection:
        return Selection(candidate.bias_layers, ()) if candidate.choices else HEAD_ONLY

    def _trials(self, selection: Selection, seeds: int) -> list[Trial]:
        how = self._training
        return [Trial(selection, how.lr, seed, how.epochs) for seed in range(seeds)]

    def _outcomes(self, selection: Selection, seeds: int) -> list[Outcome]:
        return self._laboratory.outcomes(self._trials(selection, seeds))


def near_decision(gains: Mapping[Selection, Gain]) -> list[Selection]:
    """At most half of the candidates, those that promise most first: whose gain is not surely
    negative, and lies within SURE standard errors of 0 or of a neighbour in the ranking."""
    ranked = sorted(gains, key=lambda s: (-gains[s].nats, str(s)))
    unsure: list[Selection] = []
    for place, selection in enumerate(ranked):
        own = gains[selection]
        neighbours = ranked[max(place - 1, 0) : place] + ranked[place + 1 : place + 2]
        distances = [abs(own.nats), *(abs(own.nats - gains[n].nats) for n in neighbours)]
        if own.nats + SURE * own.error > 0 and min(distances) < SURE * own.error:
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


def _disagreeing(choices: Sequence[Choice], measured: Mapping[Choice, Gain]) -> list[Choice]:
    """Ratios between ends whose gains surely differ."""
    found: list[Choice] = []
    for of in _by_layer(choices).values():
        low, high = measured[of[0]], measured[of[-1]]
        if abs(high.nats - low.nats) > SURE * math.hypot(low.error, high.error):
            found += of[1:-1]
    return found


def _between(low: Gain, high: Gain, part: float) -> Gain:
    """Interpolated; as unsure as the less sure end."""
    nats = (1 - part) * low.nats + part * high.nats
    return Gain(nats, max(low.error, high.error), None, 0)


def interpolated_ratios(
    measured: Mapping[Choice, Gain], choices: Iterable[Choice]
) -> dict[Choice, Gain]:
    """Gains of all choices, linear in the ratio's logarithm between measured ends of the layer."""
    found: dict[Choice, Gain] = {}
    for of in _by_layer(choices).values():
        low, high = of[0], of[-1]
        for choice in of:
            if choice in measured:
                found[choice] = measured[choice]
            else:
                part = _log(choice.ratio / low.ratio) / _log(high.ratio / low.ratio)
                found[choice] = _between(measured[low], measured[high], part)
    return found


def _log(ratio: Fraction) -> float:
    return math.log(float(ratio))


def interpolated_depths(measured: Mapping[int, Gain], depths: Iterable[int]) -> dict[int, Gain]:
    """Gains of all depths, linear between those that were measured (depth 0 gains nothing)."""
    known = {0: Gain(0.0, 0.0, None, 0), **measured}
    found: dict[int, Gain] = {}
    for depth in sorted(depths):
        if depth in measured:
            found[depth] = measured[depth]
        else:
            low = max(k for k in known if k < depth)
            high = min(k for k in known if k > depth)
            found[depth] = _between(known[low], known[high], (depth - low) / (high - low))
    return found
