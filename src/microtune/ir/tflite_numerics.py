"""The arithmetic of TensorFlow Lite's reference kernels (docs/numerics.md, "Mode tflite").

Most ops round twice: a product to its high half, then a shift. All functions take and return int64
arrays of values in int32. Source: `tensorflow/lite/kernels/internal/common.h` and gemmlowp's
`fixedpoint.h`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float32]

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
ADD_LEFT_SHIFT = 20


def quantize_multiplier(real: float) -> tuple[int, int]:
    """(m, shift) with real ~ m·2^(shift − 31) and 2^30 <= m < 2^31; (0, 0) below 2^-32.

    Raises ValueError for what is negative, not finite or far too large.
    """
    if not (math.isfinite(real) and 0 <= real < 2**30):
        raise ValueError(f"multiplier {real} is not a finite number from 0 to 2^30")
    mantissa, shift = math.frexp(real)
    m = math.floor(mantissa * 2**31 + 0.5)
    if m == 2**31:
        m, shift = m // 2, shift + 1
    return (m, shift) if shift >= -31 else (0, 0)


def doubling_high_multiply(a: Ints, m: int | Ints) -> Ints:
    """round(a·m / 2^31), half away from zero (gemmlowp's SaturatingRoundingDoublingHighMul)."""
    product = a * np.int64(m)
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    # C divides towards zero.
    quotient = np.where(nudged >= 0, nudged >> 31, -(-nudged >> 31))
    return np.minimum(quotient, INT32_MAX)


def rounding_shift(x: Ints, exponent: int | Ints) -> Ints:
    """round(x / 2^exponent), half away from zero (gemmlowp's RoundingDivideByPOT)."""
    mask = (np.int64(1) << exponent) - 1
    above = (x & mask) > (mask >> 1) + (x < 0)
    result: Ints = (x >> exponent) + above
    return result


def multiply_by_multiplier(x: Ints, m: int | Ints, shift: int | Ints) -> Ints:
    """The product x·m·2^(shift − 31), rounded twice (MultiplyByQuantizedMultiplier).

    `m` and `shift` are one number, or one for each channel (the last axis).
    """
    left, right = np.maximum(shift, 0), np.maximum(-np.asarray(shift), 0)
    widened = np.clip(x << left, INT32_MIN, INT32_MAX)
    return rounding_shift(doubling_high_multiply(widened, m), right)


def multiply_rounding_once(x: Ints, m: Ints, shift: Ints) -> Ints:
    """floor(x·m·2^(shift − 31) + 1/2): fully connected layers."""
    total = 31 - shift
    result: Ints = (x * m + (np.int64(1) << (total - 1))) >> total
    return result


def layer_multipliers(
    s_x: float, s_w: npt.NDArray[np.float64], s_y: float, *, single: bool
) -> tuple[Ints, Ints]:
    """(m, shift) of each output channel, int64 (O,), of s_x·s_w/s_y.

    Layers on int8 take the product of the scales in float64, those on uint8 (`single`) in float32.
    """
    product = s_x * s_w
    if single:
        product = (np.float32(s_x) * s_w.astype(np.float32)).astype(np.float64)
    pairs = [quantize_multiplier(float(real)) for real in product / s_y]
    return np.array([m for m, _ in pairs]), np.array([shift for _, shift in pairs])


def add(d1: Ints, d2: Ints, s1: float, s2: float, s_y: float) -> Ints:
    """The sum of two tensors without zero points, in codes of the result without its zero point."""
    return _sum(d1, d2, s1, s2, s_y, 1)


def _sum(d1: Ints, d2: Ints, s1: float, s2: float, s_y: float, sign: int) -> Ints:
    twice = 2.0 * max(s1, s2)
    (m1, n1), (m2, n2) = (quantize_multiplier(s / twice) for s in (s1, s2))
    total = multiply_by_multiplier(d1 << ADD_LEFT_SHIFT, m1, n1)
    total = total + multiply_by_multiplier(d2 << ADD_LEFT_SHIFT, sign * m2, n2)
    real = twice / (2.0**ADD_LEFT_SHIFT * s_y)
    return multiply_by_multiplier(total, *quantize_multiplier(real))


def subtract(d1: Ints, d2: Ints, s1: float, s2: float, s_y: float) -> Ints:
    """The difference of two tensors: the sum with the second multiplier negative."""
    return _sum(d1, d2, s1, s2, s_y, -1)


def average(total: Ints, count: int) -> Ints:
    """The quotient total/count, half away from zero (AVERAGE_POOL_2D)."""
    half = count // 2
    return np.where(total > 0, (total + half) // count, -((half - total) // count))


def mean(total: Ints, count: int) -> Ints:
    """The quotient total/count of sums without zero points, by a multiplier that holds 1/count.

    MEAN, with one scale for operand and result.
    """
    m, shift = quantize_multiplier(1.0)
    left = min(count.bit_length() - 1, 32, 31 + shift)
    return multiply_by_multiplier(total, (m << left) // count, shift - left)


def requantize_codes(s_x: float, z_x: int, s_y: float, z_y: int) -> npt.NDArray[np.int8]:
    """The table, int8 (256,), from codes of one scale and zero point to another (QUANTIZE)."""
    codes = np.arange(-128, 128, dtype=np.int64) - z_x
    moved = multiply_by_multiplier(codes, *quantize_multiplier(s_x / s_y)) + z_y
    return np.clip(moved, -128, 127).astype(np.int8)


def product(d1: Ints, d2: Ints, s1: float, s2: float, s_y: float) -> Ints:
    """The product of two tensors without zero points, in codes of the result without its zero
    point."""
    real = np.float32(s1) * np.float32(s2) / np.float32(s_y)
    return multiply_by_multiplier(d1 * d2, *quantize_multiplier(float(real)))


def leaky_codes(
    alphas: Ints, s_alpha: float, s_x: float, z_x: int, s_y: float, z_y: int
) -> npt.NDArray[np.int8]:
    """The tables, int8 (C, 256), of ReLUs with slopes alphas·s_alpha (LEAKY_RELU, PRELU)."""
    codes = np.arange(-128, 128, dtype=np.int64) - z_x
    single = np.float32(s_x) / np.float32(s_y)
    slope = np.float32(s_x) * np.float32(s_alpha) / np.float32(s_y)
    above = multiply_by_multiplier(codes, *quantize_multiplier(float(single)))
    below = multiply_by_multiplier(
        codes * alphas.reshape(-1, 1), *quantize_multiplier(float(slope))
    )
    moved = np.where(codes >= 0, above, below) + z_y
    result: npt.NDArray[np.int8] = np.clip(moved, -128, 127).astype(np.int8)
    return result


def hard_swish_codes(s_x: float, z_x: int, s_y: float, z_y: int) -> npt.NDArray[np.int8]:
    """The table, int8 (256,), of HARD_SWISH: products of 16 bits."""
    fine = np.float32(1 / 128) * np.float32(s_x)
    m_y, e_y = _multiplier16(float(fine / np.float32(s_y)))
    m_r, e_r = _multiplier16(float(fine / (np.float32(3) / np.float32(32768))))
    x = (np.arange(-128, 128, dtype=np.int64) - z_x) << 7
    gate = x
    if e_r > 0:
        gate = _int16(gate << (e_r - 1))
    gate = _high16(gate, m_r)
    if e_r > 0:
        gate = _int16(gate << 1)
    elif e_r < 0:
        gate = rounding_shift(gate, -e_r)
    gate = (gate + (1 << 15)) >> 1
    product = gate * _high16(x, m_y)
    halved = np.where(product >= 0, product >> 15, -(-product >> 15))
    scaled = rounding_shift(halved, -e_y) if e_y <= 0 else _int16(halved << e_y)
    result: npt.NDArray[np.int8] = np.clip(scaled + z_y, -128, 127).astype(np.int8)
    return result


def _multiplier16(real: float) -> tuple[int, int]:
    """A multiplier of 16 bits and its shift."""
    m, shift = quantize_multiplier(real)
    return min((m + (1 << 15)) >> 16, 2**15 - 1), shift


def _int16(x: Ints) -> Ints:
    return np.clip(x, -(2**15), 2**15 - 1)


def _high16(a: Ints, m: int) -> Ints:
    """round(a·m / 2^15), half away from zero."""
    product = a * m
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return np.minimum(np.where(nudged >= 0, nudged >> 15, -(-nudged >> 15)), 2**15 - 1)


def function_codes(
    function: Callable[[Reals], Reals], s_x: float, z_x: int, s_y: float, z_y: int
) -> npt.NDArray[np.int8]:
    """The table, int8 (256,), of a function of float32 arrays (LOGISTIC, TANH): computed in
    float32, rounded half away from zero."""
    codes = np.arange(-128, 128, dtype=np.int64) - z_x
    real = np.float32(s_x) * codes.astype(np.float32)
    scaled = function(real) * (np.float32(1) / np.float32(s_y))
    rounded = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled).astype(np.int64)
    result: npt.NDArray[np.int8] = np.clip(rounded + z_y, -128, 127).astype(np.int8)
    return result
