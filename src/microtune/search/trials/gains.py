"""What one scheme gains over another in paired trials, and how sure that is.

Trials are paired by image and by seed: both schemes are evaluated on the same images, and compared
over the seeds that both have run. A seed decides the order of images and the rounding of gradients
for both alike, so that schemes that differ by little have results that differ by little.

Two or three seeds of one pair say little about the variance between seeds. Its ratio to the
variance between images is therefore pooled over all pairs of a search (`SeedVarianceRatio`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from microtune.ir.graph import Array
from microtune.search.trials.trial import TrialResult
from microtune.stats import Difference

NORMAL_95 = 1.96


@dataclass(frozen=True)
class Gain:
    """What a scheme gains over another one, its reference.

    `nats` is the decrease of the mean log-loss of the evaluation images, with its standard error.
    `points` is the change of the accuracy in percentage points with its 95 % confidence interval.
    `seeds` counts the paired runs; 0 marks an interpolated gain. `training_nats` is the decrease of
    the mean training loss of the last epoch, in nats.
    """

    nats: float
    standard_error: float
    points: Difference
    seeds: int
    training_nats: float

    @property
    def points_standard_error(self) -> float:
        """Standard error of the change of the accuracy, in percentage points."""
        return (self.points.high - self.points.low) / (2 * NORMAL_95)


NO_GAIN = Gain(0.0, 0.0, Difference(0.0, 0.0, 0.0), 0, 0.0)


@dataclass(frozen=True)
class SeedVarianceRatio:
    """Variance between seeds of the mean difference of two schemes, over that between images.

    `log_loss` is the ratio for differences of the log-loss, `accuracy` for those of correctness.
    Both have no unit; 0 means that seeds do not matter.
    """

    log_loss: float
    accuracy: float


Pair = tuple[Sequence[TrialResult], Sequence[TrialResult]]


def seed_variance_ratio(pairs: Iterable[Pair], labels: Array) -> SeedVarianceRatio:
    """The ratio, pooled over all pairs (scheme, reference) that share at least two seeds.

    `labels` are integers (N,), one for each evaluation image. The ratio is 0 if no pair shares two
    seeds.
    """
    listed = list(pairs)
    return SeedVarianceRatio(
        _variance_ratio([log_loss_decreases(*pair) for pair in listed]),
        _variance_ratio([_correctness_differences(*pair, labels) for pair in listed]),
    )


def paired_gain(
    results: Sequence[TrialResult], reference: Sequence[TrialResult], labels: Array,
    seeds: SeedVarianceRatio,
) -> Gain:  # fmt: skip
    """What a scheme gains over its reference, in the seeds that both have run.

    Both lists begin with seed 0; the longer one is cut. `labels` are integers (N,), one for each
    evaluation image.
    """
    losses = log_loss_decreases(results, reference)
    correct = _correctness_differences(results, reference, labels)
    points, points_error = (
        100 * float(correct.mean()),
        100 * standard_error(correct, seeds.accuracy),
    )
    half = NORMAL_95 * points_error
    pairs = zip(results, reference, strict=False)
    return Gain(
        float(losses.mean()), standard_error(losses, seeds.log_loss),
        Difference(points, points - half, points + half), len(losses),
        float(np.mean([other.train_loss - own.train_loss for own, other in pairs])),
    )  # fmt: skip


def standard_error(differences: Array, seed_ratio: float) -> float:
    """Standard error of the mean of paired differences, in their unit.

    `differences` are float64 (S, N), by seed and image. `seed_ratio` is the variance between seeds
    over that between images, as `SeedVarianceRatio` has it.
    """
    images = differences.mean(axis=0).var(ddof=1) / differences.shape[1]
    seeds = seed_ratio * _variance_between_images(differences) / len(differences)
    return math.sqrt(float(images) + seeds)


def log_loss_decreases(results: Sequence[TrialResult], reference: Sequence[TrialResult]) -> Array:
    """Log-loss of the reference minus that of the scheme, in nats, float64 (S, N).

    S is the number of seeds that both have run, N that of evaluation images.
    """
    pairs = zip(results, reference, strict=False)
    return np.array([other.log_loss - own.log_loss for own, other in pairs])


def _correctness_differences(
    results: Sequence[TrialResult], reference: Sequence[TrialResult], labels: Array
) -> Array:
    """1 where only the scheme is right, -1 where only its reference is, else 0; float64 (S, N)."""
    pairs = zip(results, reference, strict=False)
    return np.array([(a.predicted == labels) - 1.0 * (b.predicted == labels) for a, b in pairs])


def _variance_between_images(differences: Array) -> float:
    """Sample variance over images, the mean over seeds, of differences (S, N)."""
    return float(differences.var(axis=1, ddof=1).mean())


def _variance_ratio(differences: Iterable[Array]) -> float:
    """Variance between seeds over that between images; the mean over pairs, 0 if negative.

    Each item has the differences (S, N) of one pair. Pairs are weighted by their degrees of
    freedom, S - 1; those with a single seed are left out.
    """
    several = [(d, _variance_between_images(d)) for d in differences if len(d) > 1]
    ratios = [_variance_between_seeds(d) / images for d, images in several if images]
    weights = [len(d) - 1 for d, images in several if images]
    return max(0.0, float(np.average(ratios, weights=weights))) if ratios else 0.0


def _variance_between_seeds(differences: Array) -> float:
    """Variance of the part of a difference that a seed adds to all images alike.

    From the variance of the S means over images, the share that comes from the interaction of seeds
    with single images is subtracted: `standard_error` counts it among the variance between images.
    The estimate may fall below 0 by chance.
    """
    means = float(differences.mean(axis=1).var(ddof=1))
    images = float(differences.var(axis=0, ddof=1).mean())
    return float(means - max(images - means, 0.0) / differences.shape[1])


def interpolated_gain(low: Gain, high: Gain, fraction: float) -> Gain:
    """The gain at `fraction` (0 to 1) of the way from `low` to `high`, linear; `seeds` is 0.

    Its standard errors are the larger ones of the two ends.
    """
    points = (1 - fraction) * low.points.mean + fraction * high.points.mean
    half = NORMAL_95 * max(low.points_standard_error, high.points_standard_error)
    return Gain(
        nats=(1 - fraction) * low.nats + fraction * high.nats,
        standard_error=max(low.standard_error, high.standard_error),
        points=Difference(points, points - half, points + half), seeds=0,
        training_nats=(1 - fraction) * low.training_nats + fraction * high.training_nats,
    )  # fmt: skip
