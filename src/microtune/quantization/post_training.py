"""Post-training quantisation in plain numpy, as docs/numerics.md defines the int8 graph.

real = scale·(code - zero_point); weights symmetric with a scale per output channel; biases int32
with the scale s_x·s_w[c]. All functions are pure.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

CODE_MIN, CODE_MAX = -128, 127
WEIGHT_MAX = 127
BIAS_MAX = 2**30
# Weights of a channel that batch norm scaled to nothing: a smaller scale would push the bias code
# out of int32 and the QAS factor 1/s_w² out of every range.
MIN_WEIGHT_SCALE = 1e-6
MIN_ACTIVATION_SCALE = 1e-8


def fold_batch_norm(
    weight: Floats, bias: Floats | None, gamma: Floats, beta: Floats, mean: Floats, var: Floats,
    eps: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:  # fmt: skip
    """(weight, bias) of the convolution that equals a convolution followed by batch norm.

    `weight` is (O, I, KH, KW), all others are (O,): y = gamma·(conv(x) + bias - mean)/sqrt(var +
    eps) + beta.
    """
    factor = gamma.astype(np.float64) / np.sqrt(var.astype(np.float64) + eps)
    before = 0.0 if bias is None else bias.astype(np.float64)
    folded = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    shifted = (before - mean.astype(np.float64)) * factor + beta
    return folded.astype(np.float32), shifted.astype(np.float32)


def quantize_weight(weight: Floats) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """(codes, scales) of a weight whose axis 0 is the output channel.

    Codes are int8 of the weight's shape within ±127, scales float32 (O,).
    """
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scales = np.maximum(largest / WEIGHT_MAX, MIN_WEIGHT_SCALE).astype(np.float32)
    codes = np.rint(weight / scales.reshape(-1, *[1] * (weight.ndim - 1)))
    return np.clip(codes, -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8), scales


def quantize_bias(bias: Floats, s_x: float, s_w: Floats) -> npt.NDArray[np.int32]:
    """The codes of a bias, int32 (O,), with scale s_x·s_w[c].

    They are saturated to ±2^30, so that accumulators fit in int32.
    """
    codes = np.rint(bias.astype(np.float64) / (s_x * s_w.astype(np.float64)))
    return np.clip(codes, -BIAS_MAX, BIAS_MAX).astype(np.int32)


def observed_range(values: Floats, percentile: float = 100.0) -> tuple[float, float]:
    """(minimum, maximum) of calibration values.

    With a percentile below 100 the rarest values on both sides are left out.
    """
    if not 50.0 < percentile <= 100.0:
        raise ValueError(f"percentile {percentile} is not in (50, 100]")
    low, high = np.percentile(values, [100.0 - percentile, percentile])
    return float(low), float(high)


def choose_activation(minimum: float, maximum: float) -> tuple[float, int]:
    """(scale, zero_point) that covers [minimum, maximum] and represents 0 exactly.

    A range without negative values (after ReLU) has zero_point -128. Raises ValueError if the range
    is not finite, or if the minimum is above the maximum.
    """
    if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum <= maximum):
        raise ValueError(f"[{minimum}, {maximum}] is not a finite range")
    low, high = min(minimum, 0.0), max(maximum, 0.0)
    scale = max((high - low) / (CODE_MAX - CODE_MIN), MIN_ACTIVATION_SCALE)
    zero_point = CODE_MIN + math.floor(-low / scale + 0.5)
    return float(np.float32(scale)), min(max(zero_point, CODE_MIN), CODE_MAX)
