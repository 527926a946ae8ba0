"""Quantisation functions against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtune.quantization import (
    choose_activation,
    fold_batch_norm,
    observed_range,
    quantize_bias,
    quantize_weight,
)


def test_folding_equals_convolution_then_batch_norm() -> None:
    rng = np.random.default_rng(0)
    weight, x = rng.normal(size=(5, 3, 1, 1)), rng.normal(size=(3, 20))
    bias, gamma, beta, mean = rng.normal(size=(4, 5))
    var, eps = rng.uniform(0.1, 2, 5), 1e-3
    plain = weight[:, :, 0, 0] @ x + bias[:, None]
    expected = (plain - mean[:, None]) / np.sqrt(var + eps)[:, None] * gamma[:, None]
    folded, shift = fold_batch_norm(weight, bias, gamma, beta, mean, var, eps)
    result = folded[:, :, 0, 0] @ x + shift[:, None]
    np.testing.assert_allclose(result, expected + beta[:, None], rtol=1e-5, atol=1e-5)


def test_weights_use_the_whole_range_of_each_channel() -> None:
    weight = np.random.default_rng(1).normal(size=(6, 4, 3, 3)) * 10.0 ** np.arange(-3, 3).reshape(
        6, 1, 1, 1
    )
    codes, scales = quantize_weight(weight)
    assert (np.abs(codes).reshape(6, -1).max(1) == 127).all() and codes.dtype == np.int8
    error = np.abs(codes * scales.reshape(6, 1, 1, 1) - weight).reshape(6, -1).max(1)
    assert (error <= scales * 0.5001).all()


def test_a_channel_of_zeros_keeps_a_finite_bias() -> None:
    codes, scales = quantize_weight(np.zeros((2, 3)))
    assert not codes.any() and (scales > 0).all()
    assert quantize_bias(np.array([1e6, -1e6]), 0.01, scales).tolist() == [2**30, -(2**30)]


def test_bias_scale_is_input_times_weight_scale() -> None:
    codes = quantize_bias(np.array([0.5, -0.25]), 0.5, np.array([0.01, 0.1], np.float32))
    assert codes.tolist() == [100, -5]


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_activation_codes_cover_the_range_and_hold_zero(a: float, b: float) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    scale, zero_point = choose_activation(min(a, b), max(a, b))
    assert -128 <= zero_point <= 127
    assert zero_point == -128 or low < 0
    assert scale * (127 - zero_point) >= high - scale * 0.501
    assert scale * (-128 - zero_point) <= low + scale * 0.501


def test_impossible_ranges_are_refused() -> None:
    for low, high in ((1.0, 0.0), (0.0, float("inf")), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="range"):
            choose_activation(low, high)
    with pytest.raises(ValueError, match="percentile"):
        observed_range(np.zeros(3), 20.0)


def test_percentile_cuts_outliers_on_both_sides() -> None:
    values = np.concatenate([np.linspace(-1, 1, 9999), [50.0, -50.0]])
    assert observed_range(values) == (-50.0, 50.0)
    low, high = observed_range(values, 99.9)
    assert -1.1 < low < -0.9 and 0.9 < high < 1.1
