"""What one scheme gains over another: how much, how sure, and what to expect of many such gains.

Images are paired: both schemes are asked the same ones. Their runs have the same seeds as far as
both have run. Errors do not count on runs of the same seed to be alike. The deviation between seeds
is pooled over all schemes: two or three runs of one say little about it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from microtune.ir.graph import Array
from microtune.search.trials import Outcome
from microtune.study.statistics import Difference

K = TypeVar("K", bound=Hashable)

NORMAL_95 = 1.96
# Gains from which the spread of the true ones can be told.
_ENOUGH = 4
_TINY = 1e-18


@dataclass(frozen=True)
class Gain:
    """Decrease of the mean log-loss in nats with its standard error; the change of the accuracy in
    percentage points with its 95 % interval; runs of the scheme (0: interpolated)."""

    nats: float
    error: float
    points: Difference
    seeds: int

    @property
    def points_error(self) -> float:
        """Standard error of the points."""
        return (self.points.high - self.points.low) / (2 * NORMAL_95)


NO_GAIN = Gain(0.0, 0.0, Difference(0.0, 0.0, 0.0), 0)


@dataclass(frozen=True)
class Spread:
    """Variances between runs of one scheme that differ by their seed: of the mean log-loss in nats,
    of the accuracy as a part of 1."""

    log_loss: float
    accuracy: float


@dataclass(frozen=True)
class Answers:
    """Means over the runs of one scheme, image by image: log-loss in nats and whether the answer
    was right, float64 (N,); and how many runs."""

    log_loss: Array
    right: Array
    runs: int

    @staticmethod
    def of(outcomes: Sequence[Outcome], labels: Array) -> Answers:
        """Of at least one run."""
        return Answers(
            np.mean([o.log_loss for o in outcomes], axis=0),
            np.mean([o.predicted == labels for o in outcomes], axis=0), len(outcomes),
        )  # fmt: skip


def spread(schemes: Iterable[Sequence[Outcome]], labels: Array) -> Spread:
    """Pooled over the runs of each scheme; 0 where none has two."""
    losses: list[float] = []
    rights: list[float] = []
    freedom = 0
    for runs in schemes:
        loss = np.array([o.log_loss.mean() for o in runs])
        right = np.array([(o.predicted == labels).mean() for o in runs])
        losses += ((loss - loss.mean()) ** 2).tolist()
        rights += ((right - right.mean()) ** 2).tolist()
        freedom += len(runs) - 1
    return Spread(sum(losses) / max(freedom, 1), sum(rights) / max(freedom, 1))


def gain(ours: Sequence[Outcome], others: Sequence[Outcome], labels: Array, seeds: Spread) -> Gain:
    """What a scheme gains over another; nothing, and that surely, over the same runs."""
    if all(a is b for a, b in zip(ours, others, strict=False)) and len(ours) == len(others):
        return Gain(0.0, 0.0, NO_GAIN.points, len(ours))
    mine, theirs = Answers.of(ours, labels), Answers.of(others, labels)
    runs = 1 / mine.runs + 1 / theirs.runs
    right = mine.right - theirs.right
    mean, error = 100 * float(right.mean()), 100 * standard_error(right, runs * seeds.accuracy)
    losses = theirs.log_loss - mine.log_loss
    return Gain(
        float(losses.mean()), standard_error(losses, runs * seeds.log_loss),
        Difference(mean, mean - NORMAL_95 * error, mean + NORMAL_95 * error), mine.runs,
    )  # fmt: skip


def standard_error(differences: Array, seeds: float) -> float:
    """Of the mean of differences by image (N,), with the variance that the seeds add."""
    return math.sqrt(float(differences.var(ddof=1)) / len(differences) + seeds)


def between(low: Gain, high: Gain, part: float) -> Gain:
    """Interpolated; as unsure as the less sure end."""
    mean = (1 - part) * low.points.mean + part * high.points.mean
    half = NORMAL_95 * max(low.points_error, high.points_error)
    nats = (1 - part) * low.nats + part * high.nats
    points = Difference(mean, mean - half, mean + half)
    return Gain(nats, max(low.error, high.error), points, 0)


def expected(gains: Mapping[K, Gain]) -> dict[K, float]:
    """The nats to expect of each: measured gains drawn towards nothing, the more the less sure they
    are, so that the largest of many noisy ones is not believed as it stands."""
    kept = [(g.nats, g.error) for g in gains.values() if g.seeds]
    part = _true_variance(kept)
    return {key: _shrunken(g.nats, g.error, part) for key, g in gains.items()}


def expected_points(gains: Mapping[K, Gain]) -> dict[K, float]:
    """The same of the accuracy, in percentage points."""
    kept = [(g.points.mean, g.points_error) for g in gains.values() if g.seeds]
    part = _true_variance(kept)
    return {key: _shrunken(g.points.mean, g.points_error, part) for key, g in gains.items()}


def _true_variance(measured: Sequence[tuple[float, float]]) -> float:
    """Of true values about 0, given (value, standard error) of each: the moment estimate of R.
    DerSimonian and N. Laird (Meta-analysis in clinical trials, 1986), with a known centre. Of few
    values nothing can be told."""
    if len(measured) < _ENOUGH:
        return math.inf
    weights = [1 / (error**2 + _TINY) for _, error in measured]
    excess = sum(w * value**2 for w, (value, _) in zip(weights, measured, strict=True))
    return max(0.0, (excess - len(measured)) / sum(weights))


def _shrunken(value: float, error: float, true: float) -> float:
    """The mean of a true value, normal about 0 with the variance `true`, that was seen as `value`
    with a standard error."""
    return value / (1 + error**2 / (true + _TINY))
