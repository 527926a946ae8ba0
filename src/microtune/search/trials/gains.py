"""What one scheme gains over another: how much, how sure, and what to expect of many such gains.

Images and seeds are paired: both schemes are asked the same images, and are compared as far as both
have run with the same seeds. A seed orders the images and rounds the gradients of both alike, so
that schemes that differ by little differ by little. How much seeds change a difference is a part of
how much images do, pooled over all pairs: two or three runs of one pair say little about it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from microtune.ir.graph import Array
from microtune.search.trials.trial import Outcome
from microtune.stats import Difference

K = TypeVar("K", bound=Hashable)

NORMAL_95 = 1.96
# Gains from which the spread of the true ones can be told.
_ENOUGH = 4
_TINY = 1e-18


@dataclass(frozen=True)
class Gain:
    """Decrease of the mean log-loss in nats with its standard error; the change of the accuracy in
    percentage points with its 95 % interval; runs of the scheme (0: interpolated). `learnt` is the
    decrease of the mean training loss of the last epoch in nats."""

    nats: float
    error: float
    points: Difference
    seeds: int
    learnt: float

    @property
    def points_error(self) -> float:
        """Standard error of the points."""
        return (self.points.high - self.points.low) / (2 * NORMAL_95)


NO_GAIN = Gain(0.0, 0.0, Difference(0.0, 0.0, 0.0), 0, 0.0)


@dataclass(frozen=True)
class Spread:
    """What the variance between seeds, of the mean difference of two schemes, is of the variance
    between images: for the log-loss and for the answers that are right."""

    log_loss: float
    accuracy: float


Pair = tuple[Sequence[Outcome], Sequence[Outcome]]


def spread(pairs: Iterable[Pair], labels: Array) -> Spread:
    """Pooled over pairs that share two seeds at least; 0 where none does."""
    listed = list(pairs)
    return Spread(
        _part([less(*pair) for pair in listed]), _part([_rights(*pair, labels) for pair in listed])
    )


def gain(ours: Sequence[Outcome], others: Sequence[Outcome], labels: Array, seeds: Spread) -> Gain:
    """What a scheme gains over another, of the seeds that both have."""
    losses, rights = less(ours, others), _rights(ours, others, labels)
    mean, error = 100 * float(rights.mean()), 100 * standard_error(rights, seeds.accuracy)
    learnt = np.mean([b.train_loss - a.train_loss for a, b in zip(ours, others, strict=False)])
    return Gain(
        float(losses.mean()), standard_error(losses, seeds.log_loss),
        Difference(mean, mean - NORMAL_95 * error, mean + NORMAL_95 * error), len(losses),
        float(learnt),
    )  # fmt: skip


def standard_error(differences: Array, seeds: float) -> float:
    """Of the mean of differences by seed and image (S, N); `seeds` as `Spread` has it."""
    images = differences.mean(axis=0).var(ddof=1) / differences.shape[1]
    return math.sqrt(float(images) + seeds * _between_images(differences) / len(differences))


def less(ours: Sequence[Outcome], others: Sequence[Outcome]) -> Array:
    """By how much the log-loss is less, float64 (S, N), of the seeds that both have."""
    return np.array([b.log_loss - a.log_loss for a, b in zip(ours, others, strict=False)])


def _rights(ours: Sequence[Outcome], others: Sequence[Outcome], labels: Array) -> Array:
    """1 where only ours is right, -1 where only the other is, float64 (S, N)."""
    pairs = zip(ours, others, strict=False)
    return np.array([(a.predicted == labels) - 1.0 * (b.predicted == labels) for a, b in pairs])


def _between_images(differences: Array) -> float:
    """Variance, the mean over seeds."""
    return float(differences.var(axis=1, ddof=1).mean())


def _part(differences: Iterable[Array]) -> float:
    """The variance of a pair's mean between seeds as a part of that between images, without what
    the images' own differences between seeds add to it: they are among those between images. The
    mean over pairs, weighted by how many seeds tell."""
    several = [(d, _between_images(d)) for d in differences if len(d) > 1]
    parts = [_between_seeds(d) / images for d, images in several if images]
    weights = [len(d) - 1 for d, images in several if images]
    return max(0.0, float(np.average(parts, weights=weights))) if parts else 0.0


def _between_seeds(differences: Array) -> float:
    """Variance of what a seed adds to all images alike; below 0 by chance."""
    means = float(differences.mean(axis=1).var(ddof=1))
    images = float(differences.var(axis=0, ddof=1).mean())
    return float(means - max(images - means, 0.0) / differences.shape[1])


def between(low: Gain, high: Gain, part: float) -> Gain:
    """Interpolated; as unsure as the less sure end."""
    mean = (1 - part) * low.points.mean + part * high.points.mean
    half = NORMAL_95 * max(low.points_error, high.points_error)
    nats = (1 - part) * low.nats + part * high.nats
    points = Difference(mean, mean - half, mean + half)
    learnt = (1 - part) * low.learnt + part * high.learnt
    return Gain(nats, max(low.error, high.error), points, 0, learnt)
