"""The gradient kernels equal the numpy meaning bit for bit."""

from __future__ import annotations

import ctypes

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from microtune.ir import convolution, numerics
from tests.runtime import runtime_native as native
from tests.runtime.runtime_cases import (
    Array,
    ConvCase,
    RoundCase,
    codes,
    conv_cases,
    round_case,
    step_state,
)
from tests.runtime.runtime_native import RoundParams, Struct, call, fill, pack_mask
from tests.runtime.test_forward_kernels import checks, lib, many_checks, seeds

__all__ = ["lib"]


def check_rounded(case: RoundCase, acc: Array, got: Array) -> None:
    """`got`, the exponent and the offset are those of rounding `acc`. Called after the kernel."""
    g, exponent, offset = case.expected(acc)
    assert (got.reshape(g.shape) == g).all()
    assert case.exponent[0] == exponent
    assert case.moved == offset


def run_rounded(
    lib: ctypes.CDLL, function: str, params: Struct, case: RoundCase, kind: type[Struct],
    **members: object,
) -> None:  # fmt: skip
    """Calls a rounding kernel without spoiling the offset that `expected` needs."""
    offset = case.offset.copy()
    call(lib, function, params, fill(kind, **members, round=case.io()))
    case.moved = int(case.offset[0])
    case.offset = offset


@many_checks
@given(case=conv_cases())
def test_conv2d_input_grad(lib: ctypes.CDLL, case: ConvCase) -> None:
    rng, (o, kh, kw, _) = case.rng, case.weight.shape
    g = case.codes(*case.out, o, low=-127)
    ratio = 2.0 ** rng.uniform(-6, 0, o)
    ratio[rng.integers(o)] = 1.0
    size, shift = case.size[:2], 0
    if case.depthwise:
        shift = numerics.depthwise_shift(kh * kw)
        m = np.floor(ratio * (2**31 - 1) + 0.5).astype(np.int64)
        total = convolution.input_gradient(g, case.weight, size, case.geometry)
        acc = numerics.high_multiply(total.astype(np.int64) << shift, m)
    else:
        limit = numerics.gradient_lane_limit(kh * kw, o // case.geometry.groups)
        m = numerics.lane_multipliers(ratio, limit)
        lanes = numerics.high_multiply(g.astype(np.int64) << 24, m)
        acc = convolution.input_gradient(lanes, case.weight, size, case.geometry).astype(np.int64)
    rounding = round_case(rng, acc.size, float(np.log2(np.abs(acc).max() + 1)))
    delta = int(rng.integers(-20, 20))
    params = fill(
        native.ConvGradParams, shape=case.shape(), multiplier=m.astype(np.int32),
        depthwise_shift=shift, round=RoundParams(rounding.site, delta), **case.ordered(),
    )  # fmt: skip
    count = native.scratch_bytes(lib, "mt_conv2d_input_grad_scratch_bytes", params)
    weight, trained = case.device_weights()
    dx = np.zeros(acc.shape, np.int8)
    run_rounded(
        lib, "mt_conv2d_input_grad", params, rounding, native.ConvGradIo, g=g,
        g_exponent=np.array([rounding.e_acc - delta], np.int32), weight=weight,
        trained_weight=trained, dx=dx, scratch=np.zeros(count, np.uint8),
    )  # fmt: skip
    native.check_macs(lib, g.size // o * case.weight.size)
    check_rounded(rounding, acc, dx)
    if case.depthwise and g.shape == dx.shape and case.geometry.stride == (1, 1):
        count = native.scratch_bytes(lib, "mt_conv2d_input_grad_scratch_bytes", params, in_place=1)
        both = g.copy()
        run_rounded(
            lib, "mt_conv2d_input_grad", params, rounding, native.ConvGradIo, g=both,
            g_exponent=np.array([rounding.e_acc - delta], np.int32), weight=weight,
            trained_weight=trained, dx=both, scratch=np.zeros(count, np.uint8),
        )  # fmt: skip
        assert (both == dx).all()


@checks
@given(seed=seeds, count=st.integers(1, 100), distance=st.integers(-40, 40))
def test_gradient_sum(lib: ctypes.CDLL, seed: int, count: int, distance: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = codes(rng, (count,), -127), codes(rng, (count,), -127)
    distance = distance // 4 if rng.integers(2) else distance
    m, e_a = int(rng.integers(2048, 8193)), int(rng.integers(-40, 10))
    e_b = e_a + distance
    lowest = max(min(e_a, e_b), max(e_a, e_b) - 8)
    acc = np.zeros(count, np.int64)
    for v, e in ((a.astype(np.int64) << 12, e_a), (b.astype(np.int64) * m, e_b)):
        d = e - lowest
        acc += v << d if d >= 0 else numerics.round_shift(v, min(-d, 30))
    rounding = round_case(rng, count, 20)
    rounding.base += lowest - 12 - rounding.e_acc
    rounding.e_acc = lowest - 12
    y = a.copy()
    params = native.SumParams(count, m, RoundParams(rounding.site, 0))
    run_rounded(
        lib, "mt_gradient_sum", params, rounding, native.SumIo, a=y,
        a_exponent=np.array([e_a], np.int32), b=b, b_exponent=np.array([e_b], np.int32), y=y,
    )  # fmt: skip
    check_rounded(rounding, acc, y)


@checks
@given(
    seed=seeds, kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)), channels=st.integers(1, 70),
)  # fmt: skip
def test_average_pool_grad(
    lib: ctypes.CDLL, seed: int, kernel: tuple[int, int], stride: tuple[int, int], channels: int
) -> None:
    rng = np.random.default_rng(seed)
    size = (kernel[0] + int(rng.integers(5)), kernel[1] + int(rng.integers(5)))
    out = [(s - k) // t + 1 for s, k, t in zip(size, kernel, stride, strict=True)]
    g = codes(rng, (*out, channels), -127)
    acc = np.zeros((*size, channels), np.int64)
    for i, j in np.ndindex(*out):
        top, left = i * stride[0], j * stride[1]
        acc[top : top + kernel[0], left : left + kernel[1]] += g[i, j]
    overlapping = kernel[0] > stride[0] or kernel[1] > stride[1]
    rounding, delta = round_case(rng, acc.size, 8), int(rng.integers(-9, 9))
    params = fill(
        native.PoolGradParams, pool=native.PoolParams(*size, channels, *out, *kernel, *stride),
        round=RoundParams(rounding.site, delta), overlapping=int(overlapping),
    )  # fmt: skip
    dx = np.zeros(acc.shape, np.int8)
    run_rounded(
        lib, "mt_average_pool_grad", params, rounding, native.PoolGradIo, g=g,
        g_exponent=np.array([rounding.e_acc - delta], np.int32), dx=dx,
    )  # fmt: skip
    if overlapping:
        check_rounded(rounding, acc, dx)
        return
    kept = acc if rounding.mask is None else np.where(rounding.mask.reshape(acc.shape), acc, 0)
    assert (dx == kept).all()
    assert rounding.exponent[0] == rounding.e_acc
    assert rounding.moved == rounding.offset[0]


@checks
@given(seed=seeds, count=st.integers(1, 100))
def test_apply_mask(lib: ctypes.CDLL, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    g, mask = codes(rng, (count,), -127), rng.integers(0, 2, count).astype(np.bool_)
    y = g.copy()
    io = fill(native.MaskIo, g=y, mask=pack_mask(mask), y=y)
    call(lib, "mt_apply_mask", native.MaskParams(count), io)
    assert (y == np.where(mask, g, 0)).all()


@checks
@given(seed=seeds, classes=st.integers(1, 12), features=st.integers(1, 70))
def test_head_input_grad_int16(lib: ctypes.CDLL, seed: int, classes: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    top = int(rng.integers(1, 32768))
    d = rng.integers(-top, top + 1, classes).astype(np.int16)
    wide = int(rng.choice([0, 2, 300, 32767]))
    w = rng.integers(-wide, wide + 1, (classes, features)).astype(np.int16)
    state, site, bits = step_state(rng), int(rng.integers(2**32)), int(rng.integers(9, 24))
    acc = w.astype(np.int64).T @ d.astype(np.int64)
    k = numerics.shift_to_mantissa(int(np.abs(acc).max()))
    r8 = numerics.random8(numerics.random_key(state.seed, state.step, site), np.arange(features))
    expected = numerics.stochastic_round(acc >> max(k - 22, 0), min(k, 22), r8)
    head = native.HeadParams(classes, features, 0, bits, 1.0)
    g, exponent = np.zeros(features, np.int8), np.zeros(1, np.int32)
    io = fill(native.HeadGradIo, d_logits=d, weight=w, g=g, exponent=exponent, state=state)
    call(lib, "mt_head_input_grad_int16", native.HeadGradParams(head, site, 0), io)
    native.check_macs(lib, w.size)
    assert (g == np.clip(expected, -127, 127)).all()
    assert exponent[0] == k - 15 - bits


@checks
@given(
    seed=seeds, classes=st.integers(1, 12), features=st.integers(1, 70), scale=st.integers(-130, 9)
)
def test_head_input_grad_float32(
    lib: ctypes.CDLL, seed: int, classes: int, features: int, scale: int
) -> None:
    rng = np.random.default_rng(seed)
    d = rng.normal(size=classes).astype(np.float32)
    w = (rng.normal(size=(classes, features)) ** 5 * 2.0**scale).astype(np.float32)
    state, site, delta = step_state(rng), int(rng.integers(2**32)), int(rng.integers(-9, 9))
    r8 = numerics.random8(numerics.random_key(state.seed, state.step, site), np.arange(features))
    v = numerics.ordered_dot32(lambda i: d[i] * w[i], classes, np.zeros(features, np.float32))
    expected, expected_exponent = np.zeros(features, np.int64), 0
    if np.abs(v).max() >= numerics.ENTERING_ZERO:
        k = int(np.frexp(np.abs(v).max())[1]) - 7
        t = np.floor(np.ldexp(v.astype(np.float64), 8 - k)).astype(np.int64)
        expected, expected_exponent = np.clip((t + r8) >> 8, -127, 127), k + delta
    head = native.HeadParams(classes, features, 0, 0, 1.0)
    g, exponent = np.zeros(features, np.int8), np.zeros(1, np.int32)
    io = fill(native.HeadGradIo, d_logits=d, weight=w, g=g, exponent=exponent, state=state)
    call(lib, "mt_head_input_grad_float32", native.HeadGradParams(head, site, delta), io)
    native.check_macs(lib, w.size)
    assert (g == expected).all()
    assert exponent[0] == expected_exponent
