"""Means over the seeds of a study, and paired differences between two methods."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from microtune.stats import Difference, bootstrap
from microtune_studies.runs import Result


def mean_and_deviation(results: Sequence[Result]) -> tuple[float, float]:
    """Mean and standard deviation of the accuracies in percent; the deviation of one run is 0."""
    values = [result.accuracy for result in results]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def paired_difference(ours: Sequence[Result], others: Sequence[Result]) -> Difference:
    """The accuracy of `ours` minus that of `others`, paired by run and by image.

    The interval is a bootstrap's over seeds and images, both drawn with replacement, the same ones
    for both methods.
    """
    for a, b in zip(ours, others, strict=True):
        if (a.run.seed, a.labels) != (b.run.seed, b.labels):
            raise ValueError(f"{a.run} and {b.run} are not a pair")
    table = np.array([
        a.correct.astype(np.float64) - b.correct for a, b in zip(ours, others, strict=True)
    ])  # fmt: skip
    return bootstrap(table)
