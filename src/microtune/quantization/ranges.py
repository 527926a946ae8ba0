"""Ranges of activations: the candidates of each tensor from its values on calibration samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from microtune.floats import Floats
from microtune.ir.graph import Quant
from microtune.quantization.post_training import choose_activation

RangeMethod = Literal["min-max", "percentile", "mse"]
METHODS: tuple[RangeMethod, ...] = ("min-max", "percentile", "mse")
PERCENTILE = 99.99
_KEPT = 1 << 17  # values of a tensor that are kept to choose its range
_SHRINKS = np.linspace(1.0, 0.3, 36)


@dataclass
class Observed:
    """What is seen of a tensor: its extremes, and a part of its values, evenly spread."""

    low: float = np.inf
    high: float = -np.inf
    values: Floats | None = None

    def see(self, batch: Floats, batches: int = 1) -> None:
        """Take in a batch, one of `batches`. Raises FloatingPointError for what is not finite."""
        low, high = float(batch.min()), float(batch.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise FloatingPointError
        self.low, self.high = min(self.low, low), max(self.high, high)
        flat = batch.reshape(-1)
        step = max(len(flat) * batches // _KEPT, 1)
        part = flat[::step].copy()
        self.values = part if self.values is None else np.concatenate([self.values, part])

    def candidates(self) -> dict[RangeMethod, Quant]:
        """A quantisation by each method."""
        assert self.values is not None
        low, high = np.percentile(self.values, [100 - PERCENTILE, PERCENTILE])
        return {
            "min-max": Quant(*choose_activation(self.low, self.high)),
            "percentile": Quant(*choose_activation(float(low), float(high))),
            "mse": self._least_error(),
        }

    def _least_error(self) -> Quant:
        """The range, shrunk from both ends alike, whose squared error of rounding is least."""
        assert self.values is not None
        values = self.values[:: max(len(self.values) // 16384, 1)].astype(np.float64)
        best, least = Quant(*choose_activation(self.low, self.high)), np.inf
        for shrink in _SHRINKS:
            quant = Quant(*choose_activation(self.low * shrink, self.high * shrink))
            scale = quant.scale or 1.0
            codes = np.clip(np.floor(values / scale + 0.5) + quant.zero_point, -128, 127)
            error = float(np.square((codes - quant.zero_point) * scale - values).sum())
            if error < least:
                best, least = quant, error
        return best
