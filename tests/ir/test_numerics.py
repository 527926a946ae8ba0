"""The primitives against plain Python integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtune.ir import numerics


def array(*values: int) -> numerics.Ints:
    return np.array(values, np.int64)


def half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


@given(st.integers(-(2**62) + 1, 2**62 - 1), st.integers(-5, 70))
def test_round_shift(t: int, s: int) -> None:
    wanted = t if s <= 0 else 0 if s >= 63 else (t + (1 << (s - 1))) >> s
    assert int(numerics.round_shift(array(t), s)[0]) == wanted


@given(
    st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**31 - 1), st.integers(0, 8),
    st.integers(-128, 127),
)  # fmt: skip
def test_requantize(acc: int, m: int, n: int, zero: int) -> None:
    saturated = min(max(acc << n, -(2**31)), 2**31 - 1)
    wanted = zero + ((saturated * m + 2**31) >> 32)
    assert int(numerics.requantize(array(acc), array(m), array(n), zero)[0]) == wanted


def below_a_power_of_two(exponent: int, steps: int) -> float:
    """Where m may round up to 2^31: some doubles below 2^exponent."""
    return math.ldexp(2**53 - steps, exponent - 53)


near_powers = st.builds(below_a_power_of_two, st.integers(-30, 7), st.integers(-2, 2**22))


@given(st.lists(st.one_of(st.floats(0, 100, allow_subnormal=False), near_powers), min_size=1))
def test_quantize_multipliers(reals: list[float]) -> None:
    mantissas, exponents = numerics.quantize_multipliers(np.array(reals))
    for real, m, n in zip(reals, mantissas.tolist(), exponents.tolist(), strict=True):
        assert 0 <= m < 2**31
        assert m == half_up(Fraction(real) * Fraction(2) ** (32 - n))
        assert n == 0 or half_up(Fraction(real) * Fraction(2) ** (33 - n)) >= 2**31


@pytest.mark.parametrize("real", [-1.0, math.nan, math.inf])
def test_a_multiplier_must_be_finite(real: float) -> None:
    with pytest.raises(ValueError, match="not a finite"):
        numerics.quantize_multipliers(np.array([1.0, real]))


@given(st.integers(-(2**29), 2**29), st.integers(0, 30))
def test_stochastic_round_is_unbiased(v: int, k: int) -> None:
    """Over all 256 noise values: exact up to the 256-level grid, which is centred."""
    rounded = numerics.stochastic_round(np.full(256, v, np.int64), k, np.arange(256))
    mean, real = Fraction(int(rounded.sum()), 256), Fraction(v, 2**k)
    assert abs(mean - real) <= (0 if k <= 8 else Fraction(1, 512))


@given(st.floats(2.0**-60, 2.0**60))
def test_split_factor(value: float) -> None:
    fm, fe = numerics.split_factor(value)
    assert 2**30 <= fm < 2**31
    assert abs(fm * Fraction(2) ** fe / Fraction(value) - 1) <= Fraction(1, 2**31)


@given(
    st.integers(-(2**27), 2**27), st.floats(2.0**-40, 2.0**40), st.floats(2.0**-30, 2.0**5),
    st.integers(-40, 20),
)  # fmt: skip
def test_step16(acc: int, factor: float, lr: float, exponent: int) -> None:
    """The step equals the real one to rounding and the precision of the folded multiplier."""
    fm, fe = numerics.split_factor(factor)
    rate = numerics.split_float32(lr)
    limit = 2**24
    got = int(numerics.step16(array(acc), array(fm), array(fe), rate, exponent, limit)[0])
    real = acc * Fraction(factor) * Fraction(float(np.float32(lr))) * Fraction(2) ** (exponent + 16)
    wanted = min(max(real, Fraction(-limit)), Fraction(limit))
    assert abs(got - wanted) <= Fraction(1, 2) + abs(wanted) / 2**28


def test_random_words_are_what_they_were() -> None:
    """The recipe of docs/numerics.md in plain integers, and an even spread of bits."""

    def fmix(h: int) -> int:
        h ^= h >> 16
        h = h * 0x7FEB352D & 0xFFFFFFFF
        h ^= h >> 15
        h = h * 0x846CA68B & 0xFFFFFFFF
        return h ^ h >> 16

    mask = 0xFFFFFFFF
    key = fmix(fmix(fmix(7 ^ 0x9E3779B9) + 3 & mask) ^ 0xDEADBEEF)
    assert numerics.random_key(7, 3, 0xDEADBEEF) == key
    words = [fmix(key + i * 0x9E3779B9 & mask) for i in range(64)]
    index = np.arange(128, dtype=np.int64)
    assert numerics.random8(key, index).tolist() == [
        words[i >> 2] >> 8 * (i & 3) & 255 for i in range(128)
    ]
    assert numerics.random16(key, index).tolist() == [
        words[i >> 1] >> 16 * (i & 1) & 65535 for i in range(128)
    ]
    bits = numerics.random8(key, np.arange(2**16, dtype=np.int64))
    counts = np.bincount(bits, minlength=256)
    assert ((counts - 256.0) ** 2 / 256).sum() < 360


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=20), st.integers(0, 19))
def test_integer_softmax(logits: list[float], label: int) -> None:
    label %= len(logits)
    codes = np.round(np.array(logits) * 65536).astype(np.int64)
    d, loss = numerics.softmax_q15(codes, label)
    real = codes / 65536 - codes.max() / 65536
    p = np.exp(real) / np.exp(real).sum()
    wanted = p - np.eye(len(logits))[label]
    assert np.abs(d / 32768 - wanted).max() < 4e-4
    assert abs(loss / 65536 + math.log(p[label])) < 2e-3


def test_exp32_and_log32() -> None:
    x = np.linspace(-86, 0, 20001).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(numerics.exp32(x) - exact) / exact).max() < 2 * 2.0**-23
    for v in np.geomspace(1, 2048, 3001).astype(np.float32):
        exact_log = math.log(float(v))
        assert abs(float(numerics.log32(v)) - exact_log) <= 2 * 2.0**-23 * max(exact_log, 1e-3)
