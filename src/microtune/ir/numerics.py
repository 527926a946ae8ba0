"""The arithmetic of `docs/numerics.md` in numpy: the meaning that every kernel equals with `==`.

All integer functions take and return int64 arrays (values in the ranges named there); random words
are uint32. Nothing here knows of graphs.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

NUMERICS_VERSION = 2

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

INT32_MAX = 2**31 - 1
GRADIENT_MAX = 127
BIAS_MAX = 2**30
WEIGHT_STEP_LIMIT = 2**24
BIAS_STEP_LIMIT = 2**46
INT16_STEP_LIMIT = 2**32
ENTERING_ZERO = np.float32(2.0**-100)


# -- primitives ---------------------------------------------------------------------------------


def saturate_int32(v: Ints) -> Ints:
    """The values, int64 of any shape, clamped to the range of int32."""
    return np.clip(v, -(2**31), INT32_MAX)


def high_multiply(x: Ints, m: Ints | int) -> Ints:
    """(x·m + 2^31) >> 32: one multiply and one rounding, SMMULR on DSP cores."""
    return (x * np.int64(m) + np.int64(2**31)) >> np.int64(32)


def round_shift(t: Ints, s: int | Ints) -> Ints:
    """floor(t/2^s + 1/2) for 1 <= s <= 62, t for s <= 0, 0 for s >= 63."""
    shift = np.asarray(s, dtype=np.int64)
    inner = np.clip(shift, 1, 62)
    rounded = (t + (np.int64(1) << (inner - 1))) >> inner
    result: Ints = np.where(shift <= 0, t, np.where(shift >= 63, 0, rounded))
    return result


def quantize_multipliers(real: Array) -> tuple[Ints, Ints]:
    """(m, n), each int64 in the shape of `real`, with real ~ m·2^(n-32): the smallest n >= 0 for
    which m fits in int32. Raises ValueError for what is negative or not finite."""
    real = np.asarray(real, np.float64)
    m, n = _quantized(real.tobytes())  # the same for every step of a run
    return m.reshape(real.shape), n.reshape(real.shape)


@lru_cache(maxsize=4096)
def _quantized(values: bytes) -> tuple[Ints, Ints]:
    real = np.frombuffer(values, np.float64)
    wrong = ~(np.isfinite(real) & (real >= 0))
    if wrong.any():
        raise ValueError(f"multiplier {real[wrong][0]} is not a finite non-negative number")
    # real < 2^exponent, so m < 2^31 but for what rounds up to it.
    n = np.where(real > 0, np.maximum(np.frexp(real)[1] + 1, 0), 0).astype(np.int64)
    n += np.floor(np.ldexp(real, 32 - n) + 0.5) > INT32_MAX
    m = np.floor(np.ldexp(real, 32 - n) + 0.5).astype(np.int64)
    m.flags.writeable = n.flags.writeable = False
    return m, n


def requantize(acc: Ints, m: Ints, n: Ints, zero_point: int) -> Ints:
    """Device mode: z + high(sat32(acc << n), m), not clamped. Channels are the last axis."""
    return zero_point + high_multiply(saturate_int32(acc << n), m)


def requantize_float32(acc: Ints, scale: Floats, zero_point: int) -> Ints:
    """Mode `mcunet`: float32 multiply, round half to even, then the zero point, not clamped."""
    product = acc.astype(np.float32) * scale.astype(np.float32)
    bounded = np.clip(np.rint(product), -(2.0**40), 2.0**40)
    return bounded.astype(np.int64) + zero_point


def add_constants(s1: float, s2: float, sy: float) -> tuple[int, int, int]:
    """(a1, a2, k) of the residual add: the largest k <= 30 with both a below 2^22."""
    for k in range(30, 0, -1):
        a1, a2 = (math.floor(math.ldexp(s / sy, k) + 0.5) for s in (s1, s2))
        if max(a1, a2) < 2**22:
            return a1, a2, k
    raise ValueError(f"residual add with scales {s1}, {s2} -> {sy} cannot be represented")


# -- random bits --------------------------------------------------------------------------------


Word = TypeVar("Word", int, npt.NDArray[np.uint32])


def fmix(h: Word) -> Word:
    """The 32-bit finaliser of docs/numerics.md (xor, shift and wrapping multiply only), of a number
    or of an array."""
    word: Any = h
    word = word ^ (word >> 16)
    word = word * 0x7FEB352D & 0xFFFFFFFF
    word = word ^ (word >> 15)
    word = word * 0x846CA68B & 0xFFFFFFFF
    mixed: Word = word ^ (word >> 16)
    return mixed


def random_site(name: str) -> int:
    """The number that tells the random bits of one tensor from those of others: CRC-32 of what it
    is called when the training graph is made. From then on the graph has the number."""
    return zlib.crc32(name.encode())


def random_key(seed: int, step: int, site: int) -> int:
    """The key (32 bits) of one tensor, by its `site`, in one step of a run with this seed."""
    a = fmix((int(seed) ^ 0x9E3779B9) & 0xFFFFFFFF)
    b = fmix((a + int(step)) & 0xFFFFFFFF)
    return fmix((b ^ int(site)) & 0xFFFFFFFF)


def random_word(key: int, index: Ints) -> npt.NDArray[np.uint32]:
    """The words of these positions: fmix(key + i·0x9e3779b9), uint32 in the shape of `index`."""
    words = index.astype(np.uint32) * np.uint32(0x9E3779B9) + np.uint32(key)
    return fmix(words)


def random8(key: int, index: Ints) -> Ints:
    """Eight random bits, 0 to 255, for each gradient element; four elements share a word."""
    word = random_word(key, index >> 2)
    return ((word >> (8 * (index & 3)).astype(np.uint32)) & np.uint32(255)).astype(np.int64)


def random16(key: int, index: Ints) -> Ints:
    """Sixteen random bits, 0 to 65535, for each parameter; two elements share a word."""
    word = random_word(key, index >> 1)
    return ((word >> (16 * (index & 1)).astype(np.uint32)) & np.uint32(65535)).astype(np.int64)


def stochastic_round(v: Ints, k: int, r8: Ints) -> Ints:
    """(v + noise) >> k, unbiased at 256 levels; |v| < 2^30, 0 <= k <= 30."""
    if k >= 9:
        return (v + (r8 << (k - 8)) + (1 << (k - 9))) >> k
    return (v + (r8 >> (8 - k))) >> k


# -- gradients ----------------------------------------------------------------------------------


def normalize_factor(real: float) -> tuple[float, int]:
    """(c, D) with real = c·2^D and 1 <= c < 2."""
    mantissa, exponent = math.frexp(real)
    return mantissa * 2, exponent - 1


def gradient_lane_limit(kernel_elements: int, outputs_per_group: int) -> int:
    """G: the bound of the int16 lanes so that the accumulator stays below 2^30."""
    return min(32767, (2**30 - 1) // (127 * kernel_elements * outputs_per_group))


def lane_multipliers(ratio: npt.NDArray[np.float64], limit: int) -> Ints:
    """The factors from mantissas << 24 to int16 lanes, int64 (O,).

    m[o] = floor(r·G/127·2^8 + 1/2), where r is `ratio` (O,) and G is `limit`.
    """
    return np.floor(ratio * (limit * 256.0 / 127.0) + 0.5).astype(np.int64)


def depthwise_shift(taps: int) -> int:
    """The largest n with (127·127·taps) << n <= 2^30."""
    n = 0
    while (127 * 127 * taps) << (n + 1) <= 2**30:
        n += 1
    return n


def round_gradient(
    acc: Ints, mask: npt.NDArray[np.bool_] | None, e_acc: int, wanted: int, key: int
) -> tuple[npt.NDArray[np.int8], int, int]:
    """One-pass rounding of a gradient tensor.

    Returns (mantissas int8, exponent, change of the offset in {-1, 0, 1}).
    """
    k = min(max(wanted - e_acc, 0), 30)
    index = np.arange(acc.size, dtype=np.int64).reshape(acc.shape)
    u = stochastic_round(acc, k, random8(key, index))
    if mask is not None:
        u = np.where(mask, u, 0)
    largest = int(np.abs(u).max(initial=0))
    change = 1 if largest > GRADIENT_MAX else -1 if 0 < largest < 32 else 0
    return np.clip(u, -GRADIENT_MAX, GRADIENT_MAX).astype(np.int8), e_acc + k, change


def exact_exponent(acc: Ints, mask: npt.NDArray[np.bool_] | None, e_acc: int) -> int:
    """The exponent of a gradient by the exact rule: the smallest at which no unmasked |acc| exceeds
    127. The accumulators are in units of 2^e_acc."""
    kept = acc if mask is None else np.where(mask, acc, 0)
    return e_acc + shift_to_mantissa(int(np.abs(kept).max(initial=0)))


def shift_to_mantissa(largest: int) -> int:
    """The smallest k >= 0 with largest >> k <= 127."""
    return max(0, largest.bit_length() - 7)


# -- update -------------------------------------------------------------------------------------


def split_float32(value: float) -> tuple[int, int]:
    """(lm, le): value = lm·2^le with 2^23 <= lm < 2^24, or (0, 0) for zero."""
    v = float(np.float32(value))
    if v == 0.0:
        return 0, 0
    mantissa, exponent = math.frexp(v)
    return int(math.ldexp(mantissa, 24)), exponent - 24


def split_factor(value: float) -> tuple[int, int]:
    """(fm, fe): value ~ fm·2^fe with 2^30 <= fm < 2^31, rounded half up."""
    if value == 0:
        return 0, 0
    mantissa, exponent = math.frexp(value)
    fm = math.floor(math.ldexp(mantissa, 31) + 0.5)
    if fm == 2**31:
        fm, exponent = 2**30, exponent + 1
    return fm, exponent - 31


def inverse_multiplier(m: Ints, n: Ints, scale: tuple[int, int]) -> tuple[Ints, Ints]:
    """(fm, fe): scale/M with M = m·2^(n-32) and scale = (mantissa, exponent); 0 where m is 0.

    1/M has 16 bits. Its exponent is at most 6 above that of the median channel (QAS's bound for
    channels that are tiny but not dead), which `exponent_cap` gives.
    """
    live = m > 0
    e = _inverse_exponent(m, n)
    top = np.where(live, (m << np.where(live, e + n, 0)) >> 15, 1)
    inverse = np.int64(2**32 - 1) // top
    fm: Ints = np.where(live, (np.int64(scale[0]) * inverse) >> 17, 0)
    fe: Ints = np.where(live, scale[1] + 2 + np.minimum(e, exponent_cap(m, n)), 0)
    return fm, fe


def _inverse_exponent(m: Ints, n: Ints) -> Ints:
    """k - n with 2^30 <= m << k < 2^31."""
    k: Ints = 31 - np.frexp(m.astype(np.float64))[1].astype(np.int64)
    return k - n


def exponent_cap(m: Ints, n: Ints) -> int:
    """The largest exponent of 1/M that a live channel may have: 6 above the median channel's."""
    live = m > 0
    return int(np.median(_inverse_exponent(m[live], n[live]))) + 6 if live.any() else 0


def is_tiny(m: Ints, n: Ints) -> npt.NDArray[np.bool_]:
    """Which channels have a factor that `exponent_cap` bounds, bool (O,)."""
    bounded: npt.NDArray[np.bool_] = _inverse_exponent(m, n) > exponent_cap(m, n)
    return bounded


def step16(acc: Ints, fm: Ints, fe: Ints, lr: tuple[int, int], exponent: int, limit: int) -> Ints:
    """The update in 2^-16 quanta: acc · factor · lr · 2^exponent · 2^16, clamped to ±limit."""
    lm, le = lr
    m = (fm * np.int64(lm) + np.int64(2**23)) >> np.int64(24)
    s = -(fe + le + 24 + exponent + 16)
    product = acc * m
    right = np.clip(round_shift(product, s), -limit, limit)
    left = np.clip(-s, 0, 62)
    fits = np.abs(product) <= (np.int64(limit) >> left)
    shifted = np.where(fits, product << np.where(fits, left, 0), np.sign(product) * limit)
    result: Ints = np.where(s < 0, shifted, right)
    return result


def apply_step(value: Ints, d: Ints, r16: Ints, limit: int) -> Ints:
    """clamp(((value << 16) - d + r16) >> 16, ±limit): stochastic rounding, saturation."""
    moved: Ints = np.clip(((value << 16) - d + r16) >> 16, -limit, limit)
    return moved


def bias_delta_shift(multipliers: npt.NDArray[np.float64]) -> int:
    """The per-tensor shift of the int16 bias delta: ±32767 << shift covers 256 output codes."""
    live = multipliers[multipliers > 0]
    return max(0, math.ceil(math.log2(256 / (float(np.median(live)) * 32767)))) if live.size else 0


# -- heads --------------------------------------------------------------------------------------


def head_fraction_bits(feature_scale: float) -> int:
    """F: accumulators of the int16 head are in units of 2^-F; weights reach about ±4."""
    return math.floor(math.log2(32767 / (4 * feature_scale)))


def pow2_q20(f: Ints) -> Ints:
    """2^(f/65536) in Q20 for 0 <= f < 65536 (cubic, error below 2e-4)."""
    p = ((5183 * f) >> 16) + 14742
    p = ((p * f) >> 16) + 45611
    return (1 << 20) + ((p * f) >> 12)


def log2_q16(s: int) -> int:
    """floor(log2(s)·65536) bit by bit, 1 <= s < 2^32."""
    whole = s.bit_length() - 1
    x = s << (31 - whole)
    fraction = 0
    for _ in range(16):
        x = (x * x) >> 31
        fraction <<= 1
        if x >= 2**32:
            x >>= 1
            fraction |= 1
    return (whole << 16) | fraction


def softmax_q15(logits: Ints, label: int) -> tuple[Ints, int]:
    """Integer softmax cross-entropy.

    `logits` (N,) in Q16. Returns (p - onehot in Q15 clamped to ±32767, loss in Q16).
    """
    t = np.maximum(logits - logits.max(), -(2**22))
    y = (t * 94548 + 2**15) >> 16
    e = pow2_q20(y & 65535) >> np.minimum(-(y >> 16), 31)
    total = int(e.sum())
    d = ((e << 15) + total // 2) // total
    d[label] -= 32768
    bits = log2_q16(total) - (20 << 16) - int(y[label])
    return np.clip(d, -32767, 32767), max(0, (bits * 45426 + 2**15) >> 16)


def exp32(x: Floats) -> Floats:
    """The exponential of float32 x <= 0, equal on every machine, float32.

    Made of +, · and the bits of the exponent (Cephes' polynomial).
    """
    f = np.float32
    x = np.maximum(x, f(-87.0))
    n = np.trunc(x * f(1.44269504) - f(0.5)).astype(np.int32)
    nf = n.astype(np.float32)
    r = x - nf * f(0.693359375)
    r = r - nf * f(-2.12194440e-4)
    z = f(1.9875691500e-4) * r + f(1.3981999507e-3)
    for c in (8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        z = z * r + f(c)
    z = z * (r * r) + r
    z = z + f(1.0)
    power: Floats = ((n + 127) << 23).astype(np.int32).view(np.float32)
    result: Floats = z * power
    return result


def log32(x: np.float32) -> np.float32:
    """Natural logarithm of float32 x >= 1 (Cephes' polynomial)."""
    f = np.float32
    bits = int(np.asarray(x, dtype=np.float32).view(np.int32))
    e = (bits >> 23) - 127
    m = np.asarray((bits & 0x7FFFFF) | 0x3F800000, dtype=np.int32).view(np.float32)[()]
    if m > f(1.41421356):
        m, e = m * f(0.5), e + 1
    r = m - f(1.0)
    z = r * r
    y = f(7.0376836292e-2) * r + f(-1.1514610310e-1)
    for c in (
        1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
        2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    ):  # fmt: skip
        y = y * r + f(c)
    y = y * r
    y = y * z
    ef = f(e)
    y = y + ef * f(-2.12194440e-4)
    y = y - f(0.5) * z
    result = r + y
    return f(result + ef * f(0.693359375))


def softmax_float32(logits: Floats, label: int) -> tuple[Floats, np.float32]:
    """Softmax cross-entropy in float32, sums in ascending order. Returns (p - onehot, loss)."""
    shifted = logits - logits.max()
    e = exp32(shifted)
    total = np.add.accumulate(e, dtype=np.float32)[-1]
    d = e / total
    d[label] = d[label] - np.float32(1.0)
    return d, np.float32(log32(total) - shifted[label])


def ordered_dot32(rows: Callable[[int], Floats], count: int, start: Floats) -> Floats:
    """The sum start + rows(0) + rows(1) + ... in float32, with one rounding for each sum."""
    acc: Floats = start.astype(np.float32)
    for j in range(count):
        acc = acc + rows(j)
    return acc
