"""The forward kernels equal the numpy meaning bit for bit."""

from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtune.ir import convolution, numerics
from tests.runtime import runtime_native as native
from tests.runtime.runtime_cases import Array, ConvCase, codes, conv_cases
from tests.runtime.runtime_native import call, fill, library, pack_mask

BUILDS = os.environ.get("MICROTUNE_TEST_BUILDS", "gcc-O0 gcc-O3 clang-O2 debug").split()
seeds = st.integers(0, 2**32 - 1)
checks = settings(max_examples=60, deadline=None)
many_checks = settings(max_examples=250, deadline=None)


@pytest.fixture(scope="module", params=BUILDS)
def lib(request: pytest.FixtureRequest) -> ctypes.CDLL:
    return library(request.param)


def clamped(v: Array, lo: int, hi: int) -> tuple[Array, Array]:
    """Codes and packed mask."""
    return np.clip(v, lo, hi).astype(np.int8), pack_mask((v >= lo) & (v <= hi))


@many_checks
@given(case=conv_cases())
def test_conv2d(lib: ctypes.CDLL, case: ConvCase) -> None:
    rng, o = case.rng, case.weight.shape[0]
    x, zero, y_zero = case.codes(*case.size), int(rng.integers(-128, 128)), int(rng.integers(-9, 9))
    top = 2 ** int(rng.choice([1, 10, 14, 30]))
    bias = rng.integers(-top, top, o).astype(np.int32)
    acc = convolution.convolve(x.astype(np.int64) - zero, case.weight, case.geometry)
    total = acc.astype(np.int64) + bias
    # Most codes in range, so that an error of one accumulator is seen.
    real = 2.0 ** rng.uniform(-2, 1, o) * 64 / (np.abs(total).max(axis=(0, 1)) + 1)
    m, n = numerics.quantize_multipliers(real)
    lo, hi = sorted(int(v) for v in rng.choice([-128, 127, -40, 30], 2, replace=False))
    v = numerics.requantize(total, m, n, y_zero)
    expected, mask = clamped(v, lo, hi)
    params = fill(
        native.ConvParams, shape=case.shape(), multiplier=m.astype(np.int32),
        shift=n.astype(np.uint8), x_zero=zero, y_zero=y_zero, clamp_lo=lo, clamp_hi=hi,
        **case.ordered(),
    )  # fmt: skip
    scratch = np.zeros(native.scratch_bytes(lib, "mt_conv2d_scratch_bytes", params), np.uint8)
    y, got_mask = np.zeros(expected.shape, np.int8), np.full(mask.shape, 255, np.uint8)
    weight, trained = case.device_weights()
    members = {"x": x, "weight": weight, "trained_weight": trained, "bias": bias, "y": y}
    io = fill(native.ConvIo, **members, mask=got_mask, scratch=scratch)
    call(lib, "mt_conv2d", params, io)
    native.check_macs(lib, y.size // o * case.weight.size)
    assert (y == expected).all()
    assert (got_mask == mask).all()
    y.fill(0)
    call(lib, "mt_conv2d", params, fill(native.ConvIo, **members, mask=None, scratch=scratch))
    assert (y == expected).all()
    if case.depthwise and x.shape == y.shape and case.geometry.stride == (1, 1):
        count = native.scratch_bytes(lib, "mt_conv2d_scratch_bytes", params, in_place=1)
        both = x.copy()
        io = fill(native.ConvIo, **(members | {"x": both, "y": both}), mask=got_mask,
                  scratch=np.zeros(count, np.uint8))  # fmt: skip
        call(lib, "mt_conv2d", params, io)
        assert (both == expected).all()
        assert (got_mask == mask).all()


@checks
@given(seed=seeds, count=st.integers(1, 100))
def test_add_and_clamp(lib: ctypes.CDLL, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    x1, x2 = codes(rng, (count,)), codes(rng, (count,))
    z1, z2, zy = (int(v) for v in rng.integers(-128, 128, 3))
    a1, a2, k = numerics.add_constants(*(float(v) for v in 2.0 ** rng.uniform(-10, 2, 3)))
    kind = rng.integers(4)
    if kind == 0:
        a1, a2, k = 2**22 - 1, 2**22 - 1, 30
    elif kind == 1:  # sums that lie between two codes
        a1, a2, k = (int(v) for v in rng.integers((0, 0, 1), (9, 9, 5)))
    lo, hi = sorted(int(v) for v in rng.integers(-128, 128, 2))
    d1, d2 = x1.astype(np.int64) - z1, x2.astype(np.int64) - z2
    expected, mask = clamped(zy + ((d1 * a1 + d2 * a2 + (1 << (k - 1))) >> k), lo, hi)
    got_mask = np.full(mask.shape, 255, np.uint8)
    params = native.AddParams(count, z1, z2, a1, a2, k, zy, lo, hi)
    y = x1.copy()
    call(lib, "mt_add", params, fill(native.AddIo, x1=y, x2=x2, y=y, mask=got_mask))
    assert (y == expected).all()
    assert (got_mask == mask).all()
    expected, mask = clamped(x1.astype(np.int64), lo, hi)
    y, got_mask = x1.copy(), np.full(mask.shape, 255, np.uint8)
    params = native.ClampParams(count, lo, hi)
    call(lib, "mt_clamp", params, fill(native.ClampIo, x=y, y=y, mask=got_mask))
    assert (y == expected).all()
    assert (got_mask == mask).all()


@checks
@given(
    seed=seeds, kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)), channels=st.integers(1, 70),
)  # fmt: skip
def test_average_pool(
    lib: ctypes.CDLL, seed: int, kernel: tuple[int, int], stride: tuple[int, int], channels: int
) -> None:
    rng = np.random.default_rng(seed)
    size = (kernel[0] + int(rng.integers(4)), kernel[1] + int(rng.integers(4)))
    x = codes(rng, (*size, channels))
    out = [(s - k) // t + 1 for s, k, t in zip(size, kernel, stride, strict=True)]
    n, y = kernel[0] * kernel[1], np.zeros((out[0], out[1], channels), np.int8)
    expected = np.empty(y.shape, np.int64)
    for i, j in np.ndindex(*out):
        top, left = i * stride[0], j * stride[1]
        window = x[top : top + kernel[0], left : left + kernel[1]].astype(np.int64)
        expected[i, j] = (2 * (window + 128).sum(axis=(0, 1)) + n) // (2 * n) - 128
    params = native.PoolParams(*size, channels, *out, *kernel, *stride)
    call(lib, "mt_average_pool", params, fill(native.PoolIo, x=x, y=y))
    assert (y == expected).all()


@checks
@given(seed=seeds, pixels=st.integers(1, 9), channels=st.integers(1, 50))
def test_gather_and_bias_from_delta(
    lib: ctypes.CDLL, seed: int, pixels: int, channels: int
) -> None:
    rng = np.random.default_rng(seed)
    x, selected = codes(rng, (pixels, channels)), int(rng.integers(0, channels + 1))
    order = rng.permutation(channels).astype(np.uint16)
    y = np.zeros((pixels, selected), np.int8)
    params = fill(
        native.GatherParams, pixels=pixels, channels=channels, selected=selected, order=order
    )
    call(lib, "mt_gather_channels", params, fill(native.PoolIo, x=x, y=y))
    assert (y == x[:, order[:selected]]).all()
    base = rng.integers(-(2**29), 2**29, channels).astype(np.int32)
    delta = rng.integers(-32767, 32768, channels).astype(np.int16)
    shift, bias = int(rng.integers(0, 14)), np.zeros(channels, np.int32)
    params = fill(native.DeltaParams, count=channels, shift=shift, base=base)
    call(lib, "mt_bias_from_delta", params, fill(native.DeltaIo, delta=delta, bias=bias))
    assert (bias == base + (delta.astype(np.int64) << shift)).all()


@checks
@given(seed=seeds, classes=st.integers(1, 12), features=st.integers(1, 70), long=st.booleans())
def test_heads(lib: ctypes.CDLL, seed: int, classes: int, features: int, long: bool) -> None:
    rng = np.random.default_rng(seed)
    features += 600 if long else 0
    x, zero, bits = codes(rng, (features,)), int(rng.integers(-128, 128)), int(rng.integers(9, 24))
    centred = x.astype(np.int64) - zero
    w = rng.integers(-32767, 32768, (classes, features)).astype(np.int16)
    b = rng.integers(-(2**30), 2**30, classes).astype(np.int32)
    acc = w.astype(np.int64) @ centred + b
    drop = bits - 16
    logits = numerics.round_shift(acc, drop) if drop >= 0 else acc << -drop
    scale = float(np.float32(2.0 ** rng.uniform(-9, 0)))
    params, got = native.HeadParams(classes, features, zero, bits, scale), np.zeros(classes, "i4")
    call(lib, "mt_head_int16", params, fill(native.HeadIo, x=x, weight=w, bias=b, logits=got))
    native.check_macs(lib, w.size)
    assert (got == numerics.saturate_int32(logits)).all()
    wf, bf = rng.normal(size=w.shape).astype("f4"), rng.normal(size=classes).astype("f4")
    real, got_float = centred.astype("f4") * np.float32(scale), np.zeros(classes, "f4")
    expected = numerics.ordered_dot32(lambda j: real[j] * wf[:, j], features, bf)
    io = fill(native.HeadIo, x=x, weight=wf, bias=bf, logits=got_float)
    call(lib, "mt_head_float32", params, io)
    native.check_macs(lib, w.size)
    assert (got_float.view("u4") == expected.view("u4")).all()


@checks
@given(seed=seeds, classes=st.integers(1, 300), spread=st.floats(0, 31))
def test_losses(lib: ctypes.CDLL, seed: int, classes: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    label, loss = int(rng.integers(classes)), np.zeros(1, np.int32)
    logits = np.floor(rng.uniform(-(2**spread), 2**spread, classes)).astype(np.int32)
    d = np.zeros(classes, np.int16)
    io = fill(native.LossIo, logits=logits, label=label, d_logits=d, loss_q16=loss)
    call(lib, "mt_loss_int16", native.LossParams(classes), io)
    expected, expected_loss = numerics.softmax_q15(logits.astype(np.int64), label)
    assert (d == expected).all()
    assert loss[0] == expected_loss
    real = (logits / 65536).astype(np.float32)
    df = np.zeros(classes, np.float32)
    io = fill(native.LossIo, logits=real, label=label, d_logits=df, loss_q16=loss)
    call(lib, "mt_loss_float32", native.LossParams(classes), io)
    expected_float, real_loss = numerics.softmax_float32(real, label)
    assert (df.view("u4") == expected_float.view("u4")).all()
    assert loss[0] == int(np.clip(np.float64(real_loss * np.float32(65536)), 0, 2**31 - 1))


@checks
@given(logit=st.integers(-(2**31), 2**31 - 1), label=st.integers(0, 1), drop=st.integers(0, 24))
def test_the_loss_of_one_logit(lib: ctypes.CDLL, logit: int, label: int, drop: int) -> None:
    """It is that of a softmax of 0 and the logit, small ones too."""
    pair, loss = np.array([0, logit >> drop], np.int64), np.zeros(1, np.int32)
    d = np.zeros(1, np.int16)
    codes = pair[1:].astype(np.int32)
    io = fill(native.LossIo, logits=codes, label=label, d_logits=d, loss_q16=loss)
    call(lib, "mt_sigmoid_loss_int16", native.LossParams(2), io)
    expected, expected_loss = numerics.softmax_q15(pair, label)
    assert (d[0], loss[0]) == (expected[1], expected_loss)
    real, df = (pair / 65536).astype(np.float32), np.zeros(1, np.float32)
    io = fill(native.LossIo, logits=real[1:].copy(), label=label, d_logits=df, loss_q16=loss)
    call(lib, "mt_sigmoid_loss_float32", native.LossParams(2), io)
    expected_float, real_loss = numerics.softmax_float32(real, label)
    assert df.view("u4")[0] == expected_float.view("u4")[1]
    assert loss[0] == int(np.clip(np.float64(real_loss * np.float32(65536)), 0, 2**31 - 1))
