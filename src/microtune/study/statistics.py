"""Means over paired seeds, and how sure a difference is."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microtune.ir.graph import Array
from microtune.study.runs import Result

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Difference:
    """In percentage points: the mean over seeds and images, and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"


def mean_and_deviation(results: Sequence[Result]) -> tuple[float, float]:
    """Of the accuracies, in percent; the deviation of one run is 0."""
    values = [result.accuracy for result in results]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def paired_difference(ours: Sequence[Result], others: Sequence[Result]) -> Difference:
    """ours - others, run by run and image by image. The interval is a bootstrap's over seeds and
    images: both are drawn anew each time, the same ones for both methods."""
    for a, b in zip(ours, others, strict=True):
        if (a.run.seed, a.labels) != (b.run.seed, b.labels):
            raise ValueError(f"{a.run} and {b.run} are not a pair")
    table = np.array([
        a.correct.astype(np.float64) - b.correct for a, b in zip(ours, others, strict=True)
    ])  # fmt: skip
    return bootstrap(table)


def bootstrap(table: Array, resamples: int = _RESAMPLES) -> Difference:
    """The mean of (seeds, images) differences in percentage points, with the interval over both."""
    random = np.random.default_rng(0)
    seeds, images = table.shape
    means = np.empty(resamples)
    for i in range(resamples):
        rows = table[random.integers(0, seeds, seeds)].mean(axis=0)
        means[i] = rows[random.integers(0, images, images)].mean()
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(100 * float(table.mean()), 100 * float(low), 100 * float(high))
