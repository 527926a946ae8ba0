"""What to expect of many noisy gains: each drawn towards what its training loss tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from microtune.ir.graph import Array
from microtune.search.trials.gains import Gain

K = TypeVar("K", bound=Hashable)

# Gains from which the spread of the true ones can be told.
_ENOUGH = 4
_TINY = 1e-18


def expected(gains: Mapping[K, Gain], references: Mapping[K, Hashable]) -> dict[K, float]:
    """The nats to expect of each, so that the largest of many noisy ones is not believed as it
    stands: measured gains drawn towards what the training loss tells of them. What gains over the
    same reference have in common, whatever was learnt, is that one's luck; those that have no
    reference here have nothing in common."""
    return _expected({key: (g, g.nats, g.error) for key, g in gains.items()}, references)


def expected_points(gains: Mapping[K, Gain], references: Mapping[K, Hashable]) -> dict[K, float]:
    """The same of the accuracy, in percentage points."""
    values = {key: (g, g.points.mean, g.points_error) for key, g in gains.items()}
    return _expected(values, references)


def _expected(
    values: Mapping[K, tuple[Gain, float, float]], references: Mapping[K, Hashable]
) -> dict[K, float]:
    """Of (gain, value, standard error); a value without an error is left as it is."""
    line = _Line.through(
        [
            (gain.learnt, value, error, references.get(key))
            for key, (gain, value, error) in values.items() if gain.seeds and error
        ]
    )  # fmt: skip
    return {
        key: line.expected(gain.learnt, value, references.get(key)) if error else value
        for key, (gain, value, error) in values.items()
    }


@dataclass(frozen=True)
class _Line:
    """Values to expect: `slope` times what was learnt, and a `part` of what a measured value, less
    the `luck` of its reference, differs from that by."""

    slope: float
    luck: Mapping[Hashable, float]
    part: float

    @staticmethod
    def through(measured: Sequence[tuple[float, float, float, Hashable]]) -> _Line:
        """Of (learnt, value, standard error, reference): weighted least squares, the luck of each
        reference that enough values have (None: of none), a slope that does not fall, and the part
        of the residuals, in units of their error, that is more than noise (B. Efron and C. Morris,
        Data analysis using Stein's estimator, 1975). Of few values nothing can be told."""
        if len(measured) < _ENOUGH:
            return _Line(0.0, {}, 1.0)
        learnt, values, errors = np.array([row[:3] for row in measured]).T
        owners = [reference for *_, reference in measured]
        counts = Counter(owner for owner in owners if owner is not None)
        shared = [owner for owner, count in counts.items() if count >= _ENOUGH]
        ones = np.array([[float(owner == each) for each in shared] for owner in owners])
        ones = ones.reshape(len(owners), len(shared)) / errors[:, None]
        fitted = _least_squares(np.column_stack([learnt / errors, ones]), values / errors)
        slope = max(0.0, float(fitted[0]))
        left = (values - slope * learnt) / errors
        luck = _least_squares(ones, left)
        excess = float(((left - ones @ luck) ** 2).sum())
        freedom = max(0, len(measured) - 3 - len(shared))
        part = max(0.0, 1 - freedom / max(excess, _TINY))
        return _Line(slope, dict(zip(shared, luck.tolist(), strict=True)), part)

    def expected(self, learnt: float, value: float, reference: Hashable) -> float:
        """Of one that was measured as `value` over `reference`."""
        told = self.slope * learnt
        return told + self.part * (value - self.luck.get(reference, 0.0) - told)


def _least_squares(columns: Array, values: Array) -> Array:
    found: Array = np.linalg.lstsq(columns, values, rcond=None)[0]
    return found
