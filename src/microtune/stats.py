"""Means, deviations, and confidence intervals of differences between two methods."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microtune.ir.graph import Array

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Difference:
    """A mean difference of accuracy in percentage points and its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"


def bootstrap(table: Array, resamples: int = _RESAMPLES) -> Difference:
    """Mean of `table` and its 95 % percentile bootstrap interval, in percentage points.

    `table` is float64 (seeds, images): a difference of two paired methods for each image, -1 to 1.
    Seeds and images are both drawn with replacement. The generator's seed is fixed.
    """
    random = np.random.default_rng(0)
    seeds, images = table.shape
    means = np.empty(resamples)
    for i in range(resamples):
        rows = table[random.integers(0, seeds, seeds)].mean(axis=0)
        means[i] = rows[random.integers(0, images, images)].mean()
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(100 * float(table.mean()), 100 * float(low), 100 * float(high))


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; the deviation of a single value is 0."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
