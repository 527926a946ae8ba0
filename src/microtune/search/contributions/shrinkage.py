"""Expected values of many noisy gains: shrinkage towards a line in the training loss.

The largest of many measured gains is most likely an overestimate. The training loss is measured
over many more images than the validation loss, so that its decrease tells much of a gain. Gains are
therefore shrunk towards a line through the origin, fitted over the decrease of the training loss
(B. Efron and C. Morris, Data analysis using Stein's estimator, 1975).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from microtune.ir.graph import Array
from microtune.search.trials.gains import Gain

K = TypeVar("K", bound=Hashable)

# Fewer measured gains, of all or over one reference, are taken as they are.
_LEAST_GAINS = 4
_TINY = 1e-18


def expected_nats(gains: Mapping[K, Gain], references: Mapping[K, Hashable]) -> dict[K, float]:
    """The expected decrease of the log-loss of each gain, in nats.

    `references` names what each gain was measured over. What gains over one reference have in
    common, whatever the training loss, comes from the noise of that reference's runs and is
    subtracted; gains without an entry have no such part. Fewer than four measured gains, and gains
    whose standard error is 0, are returned as they were measured.
    """
    values = {key: (g, g.nats, g.standard_error) for key, g in gains.items()}
    return _expected_values(values, references)


def expected_points(gains: Mapping[K, Gain], references: Mapping[K, Hashable]) -> dict[K, float]:
    """The expected change of the accuracy of each gain, in percentage points; as `expected_nats`.

    The line is fitted to changes of the accuracy, over the decrease of the training loss in nats.
    """
    values = {key: (g, g.points.mean, g.points_standard_error) for key, g in gains.items()}
    return _expected_values(values, references)


def _expected_values(
    values: Mapping[K, tuple[Gain, float, float]], references: Mapping[K, Hashable]
) -> dict[K, float]:
    """Shrunk values, where `values` has (gain, measured value, standard error)."""
    line = _ShrinkageLine.fitted(
        [
            (gain.training_nats, value, error, references.get(key))
            for key, (gain, value, error) in values.items() if gain.seeds and error
        ]
    )  # fmt: skip
    return {
        key: line.expected(gain.training_nats, value, references.get(key)) if error else value
        for key, (gain, value, error) in values.items()
    }


@dataclass(frozen=True)
class _ShrinkageLine:
    """A line through the origin, over the decrease of the training loss, with two corrections.

    `reference_effects` has the common part of all values over one reference. `residual_share`, from
    0 to 1, is the share of a value's distance from the line that counts.
    """

    slope: float
    reference_effects: Mapping[Hashable, float]
    residual_share: float

    @staticmethod
    def fitted(measured: Sequence[tuple[float, float, float, Hashable]]) -> _ShrinkageLine:
        """The line fitted to rows of (training nats, value, standard error, reference or None).

        Least squares weighted by the standard errors, with one effect for each reference that
        enough values have, and a slope that is not negative. The residual share is the James-Stein
        estimate: what the residuals, in units of their error, exceed noise by.
        """
        if len(measured) < _LEAST_GAINS:
            return _ShrinkageLine(0.0, {}, 1.0)
        nats, values, errors = np.array([row[:3] for row in measured]).T
        owners = [reference for *_, reference in measured]
        counts = Counter(owner for owner in owners if owner is not None)
        shared = [owner for owner, count in counts.items() if count >= _LEAST_GAINS]
        ones = np.array([[float(owner == each) for each in shared] for owner in owners])
        ones = ones.reshape(len(owners), len(shared)) / errors[:, None]
        fitted = _least_squares(np.column_stack([nats / errors, ones]), values / errors)
        slope = max(0.0, float(fitted[0]))
        residuals = (values - slope * nats) / errors
        effects = _least_squares(ones, residuals)
        squares = float(((residuals - ones @ effects) ** 2).sum())
        freedom = max(0, len(measured) - 3 - len(shared))
        share = max(0.0, 1 - freedom / max(squares, _TINY))
        return _ShrinkageLine(slope, dict(zip(shared, effects.tolist(), strict=True)), share)

    def expected(self, training_nats: float, value: float, reference: Hashable) -> float:
        """The expected value of a gain that was measured as `value` over `reference`."""
        predicted = self.slope * training_nats
        residual = value - self.reference_effects.get(reference, 0.0) - predicted
        return predicted + self.residual_share * residual


def _least_squares(columns: Array, values: Array) -> Array:
    """The least-squares solution x of `columns @ x = values`."""
    found: Array = np.linalg.lstsq(columns, values, rcond=None)[0]
    return found
