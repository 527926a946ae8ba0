"""Activations that an operator has built in, as bounds of its codes."""

from __future__ import annotations

import math

import numpy as np
import tflite

from microtune.importers.tflite.translation import CannotError
from microtune.ir.graph import Quant

_KINDS = {
    value: name for name, value in vars(tflite.ActivationFunctionType).items()
    if isinstance(value, int)
}  # fmt: skip
REALS: dict[str, tuple[float | None, float | None]] = {
    "NONE": (None, None), "RELU": (0.0, None), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0),
}  # fmt: skip


def fused_bounds(number: int, quant: Quant) -> tuple[int, int]:
    """(lo, hi) of the codes of a result with this fused activation. Raises CannotError."""
    kind = _KINDS.get(number, f"activation {number}")
    if kind not in REALS:
        raise CannotError(f"a fused {kind}", "RELU, RELU6, RELU_N1_TO_1 or none")
    return code_bounds(kind, quant)


def code_bounds(kind: str, quant: Quant) -> tuple[int, int]:
    """(lo, hi) of the codes whose reals a ReLU of this kind lets through (REALS)."""
    lo, hi = (_code(real, quant) for real in REALS[kind])
    return max(lo if lo is not None else -128, -128), min(hi if hi is not None else 127, 127)


def _code(real: float | None, quant: Quant) -> int | None:
    """The code of a real as TensorFlow Lite rounds it: in float32, half away from zero."""
    if real is None:
        return None
    ratio = float(np.float32(real) / np.float32(quant.scale))
    return quant.zero_point + int(math.copysign(math.floor(abs(ratio) + 0.5), ratio))
