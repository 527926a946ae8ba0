"""The rounding of TensorFlow Lite, beside the same steps in Python's own integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtune.ir import tflite_numerics as tn

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)


def towards_zero(a: int, b: int) -> int:
    return abs(a) // b * (1 if a >= 0 else -1)


def in_c(x: int, m: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier as C writes it."""
    x = min(max(x << max(shift, 0), tn.INT32_MIN), tn.INT32_MAX)
    product = x * m
    high = towards_zero(product + (2**30 if product >= 0 else 1 - 2**30), 2**31)
    right = max(-shift, 0)
    below = high & ((1 << right) - 1)
    return (high >> right) + (below > ((1 << right) - 1 >> 1) + (high < 0))


@given(st.lists(INT32, min_size=1, max_size=20), st.floats(2.0**-31, 4.0))
def test_a_multiplication_rounds_twice_as_c_does(values: list[int], real: float) -> None:
    m, shift = tn.quantize_multiplier(real)
    found = tn.multiply_by_multiplier(np.array(values, np.int64), m, shift)
    assert found.tolist() == [in_c(x, m, shift) for x in values]


@given(st.floats(2.0**-30, 2.0**20))
def test_a_multiplier_is_within_half_a_step(real: float) -> None:
    m, shift = tn.quantize_multiplier(real)
    assert 2**30 <= m < 2**31
    assert abs(m * 2.0 ** (shift - 31) - real) <= 2.0 ** (shift - 32)


@pytest.mark.parametrize("real", [-1.0, float("nan"), float("inf"), 2.0**31])
def test_a_multiplier_that_is_no_number_is_refused(real: float) -> None:
    with pytest.raises(ValueError, match="multiplier"):
        tn.quantize_multiplier(real)


def test_multiplying_by_one_changes_nothing() -> None:
    codes = np.arange(-300, 300, dtype=np.int64)
    assert np.array_equal(tn.multiply_by_multiplier(codes, *tn.quantize_multiplier(1.0)), codes)


@given(st.integers(-(2**15), 2**15), st.integers(1, 400))
def test_an_average_rounds_half_away_from_zero(total: int, count: int) -> None:
    found = int(tn.average(np.array([total]), count)[0])
    sign = 1 if total > 0 else -1
    assert found == sign * ((abs(total) + count // 2) // count)
