"""The update kernels equal the numpy meaning bit for bit."""

from __future__ import annotations

import ctypes

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from microtune.ir import convolution, numerics
from microtune.ir.ops.parameter_update import FactorTable
from tests.runtime import runtime_native as native
from tests.runtime.runtime_cases import Array, ConvCase, codes, conv_cases, factors, step_state
from tests.runtime.runtime_native import Struct, call, fill
from tests.runtime.test_forward_kernels import checks, lib, many_checks, seeds

__all__ = ["lib"]


def learning_rate(state: Struct) -> tuple[int, int]:
    return state.lr_mantissa, state.lr_exponent


def random16(state: Struct, site: int, shape: tuple[int, ...]) -> Array:
    key = numerics.random_key(state.seed, state.step, site)
    return numerics.random16(key, np.arange(int(np.prod(shape)), dtype=np.int64)).reshape(shape)


def near_exponent(rng: np.random.Generator, fe: Array, state: Struct) -> int:
    """A gradient exponent for which most steps are neither 0 nor saturated, or any."""
    balanced = -int(np.median(fe)) - state.lr_exponent - 24 - 16 - 40
    return balanced + int(rng.integers(-12, 13)) if rng.integers(4) else int(rng.integers(-90, 40))


def factor_params(table: FactorTable, rng: np.random.Generator) -> Struct:
    """The table as the kernels take it: the forward pass has multipliers of dead channels too."""
    dead = table.multiplier == 0
    forward = np.where(dead, rng.integers(0, 2**31, dead.size) * rng.integers(2), table.multiplier)
    return fill(
        native.FactorParams, multiplier=forward.astype(np.int32),
        shift=table.shift.astype(np.uint8), mantissa=table.scale[0], exponent=table.scale[1],
        cap=table.cap, dead=np.packbits(dead, bitorder="little") if forward[dead].any() else None,
    )  # fmt: skip


@many_checks
@given(case=conv_cases())
def test_conv2d_weight_update(lib: ctypes.CDLL, case: ConvCase) -> None:
    rng, (o, kh, kw, _) = case.rng, case.weight.shape
    g, x = case.codes(*case.out, o, low=-127), case.codes(*case.size)
    zero, state, site = int(rng.integers(-128, 128)), step_state(rng), int(rng.integers(2**32))
    table = factors(rng, o)
    fm, fe = table.factors()
    e = near_exponent(rng, fe, state)
    acc = convolution.weight_gradient(x.astype(np.int64) - zero, g, (kh, kw), case.geometry)
    column = (slice(None), None, None, None)
    d = numerics.step16(
        acc.astype(np.int64), fm.astype(np.int64)[column], fe.astype(np.int64)[column],
        learning_rate(state), e, numerics.WEIGHT_STEP_LIMIT,
    )  # fmt: skip
    r16 = random16(state, site, case.weight.shape)
    moved = numerics.apply_step(case.weight.astype(np.int64), d, r16, 127)
    weight, trained = case.device_weights()
    ordered = case.ordered()
    if case.order is None:
        target = weight if weight is not None else trained
    else:
        chosen = case.order[: case.trained]
        target, moved, x = trained, case.select(moved, chosen), np.ascontiguousarray(x[..., chosen])
    if target is None:
        target = np.zeros(0, np.int8)
    params = fill(
        native.WeightUpdateParams, shape=case.shape(), x_zero=zero,
        factor=factor_params(table, rng), site=site, **ordered,
    )  # fmt: skip
    count = native.scratch_bytes(lib, "mt_conv2d_weight_update_scratch_bytes", params)
    io = fill(
        native.WeightUpdateIo, g=g, g_exponent=np.array([e], np.int32), x=x, weight=target,
        state=state, scratch=np.zeros(count // 8, np.int64),
    )  # fmt: skip
    call(lib, "mt_conv2d_weight_update", params, io)
    native.check_macs(lib, g.size // o * target.size)
    assert (target.reshape(-1) == case.lay_out(moved).reshape(-1)).all()


@checks
@given(seed=seeds, pixels=st.integers(1, 9), channels=st.integers(1, 70), narrow=st.booleans())
def test_bias_update(lib: ctypes.CDLL, seed: int, pixels: int, channels: int, narrow: bool) -> None:
    rng = np.random.default_rng(seed)
    g, state, site = codes(rng, (pixels, channels), -127), step_state(rng), int(rng.integers(2**32))
    table = factors(rng, channels)
    fm, fe = table.factors()
    bound = 32767 if narrow else numerics.BIAS_MAX
    limit = numerics.INT16_STEP_LIMIT if narrow else numerics.BIAS_STEP_LIMIT
    value = rng.integers(-bound, bound + 1, channels).astype(np.int16 if narrow else np.int32)
    e = near_exponent(rng, fe, state)
    acc = g.astype(np.int64).sum(axis=0)
    wide = fm.astype(np.int64), fe.astype(np.int64)
    d = numerics.step16(acc, *wide, learning_rate(state), e, limit)
    r16 = random16(state, site, (channels,))
    expected = numerics.apply_step(value.astype(np.int64), d, r16, bound)
    params = fill(
        native.BiasUpdateParams, pixels=pixels, channels=channels,
        factor=factor_params(table, rng), site=site,
    )  # fmt: skip
    exponent = np.array([e], np.int32)
    io = fill(native.BiasUpdateIo, g=g, g_exponent=exponent, value=value, state=state)
    call(lib, "mt_bias_update_int16" if narrow else "mt_bias_update_int32", params, io)
    assert (value == expected).all()


@checks
@given(seed=seeds, classes=st.integers(1, 9), features=st.integers(1, 70))
def test_head_update_int16(lib: ctypes.CDLL, seed: int, classes: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    x, zero, state = codes(rng, (features,)), int(rng.integers(-128, 128)), step_state(rng)
    d = rng.integers(-32767, 32768, classes).astype(np.int16)
    w = rng.integers(-32767, 32768, (classes, features)).astype(np.int16)
    b = rng.integers(-(2**30), 2**30 + 1, classes).astype(np.int32)
    scale = 2.0 ** rng.uniform(-9, 1)
    bits = numerics.head_fraction_bits(scale)
    weight = numerics.split_factor(scale**2 * 2.0 ** (bits - 15))
    bias = numerics.split_factor(2.0 ** (bits - 15))
    sites = [int(v) for v in rng.integers(0, 2**32, 2)]
    wide, expected = d.astype(np.int64), []
    for value, acc, pair, limit, bound, site in (
        (w, np.outer(wide, x.astype(np.int64) - zero), weight, 2**32, 32767, sites[0]),
        (b, wide, bias, 2**46, 2**30, sites[1]),
    ):
        fm, fe = (np.array(v, np.int64) for v in pair)
        step = numerics.step16(acc, fm, fe, learning_rate(state), 0, limit)
        r16 = random16(state, site, value.shape)
        expected.append(numerics.apply_step(value.astype(np.int64), step, r16, bound))
    head = native.HeadParams(classes, features, zero, bits, scale)
    params = native.HeadUpdateParams(head, *weight, *bias, *sites)
    io = fill(native.HeadUpdateIo, x=x, d_logits=d, weight=w, bias=b, state=state)
    call(lib, "mt_head_update_int16", params, io)
    native.check_macs(lib, w.size)
    assert (w == expected[0]).all()
    assert (b == expected[1]).all()


@checks
@given(seed=seeds, classes=st.integers(1, 9), features=st.integers(1, 70))
def test_head_update_float32(lib: ctypes.CDLL, seed: int, classes: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    x, zero, state = codes(rng, (features,)), int(rng.integers(-128, 128)), step_state(rng)
    d = rng.normal(size=classes).astype(np.float32)
    w, b = rng.normal(size=(classes, features)).astype("f4"), rng.normal(size=classes).astype("f4")
    scale = np.float32(0.0371)
    real = (x.astype(np.int64) - zero).astype(np.float32) * scale
    t = np.float32(state.lr) * d
    expected_w, expected_b = w - t[:, None] * real[None, :], b - t
    head = native.HeadParams(classes, features, zero, 0, scale)
    params = native.HeadUpdateParams(head, 0, 0, 0, 0, 0, 0)
    io = fill(native.HeadUpdateIo, x=x, d_logits=d, weight=w, bias=b, state=state)
    call(lib, "mt_head_update_float32", params, io)
    native.check_macs(lib, w.size)
    assert (w.view("u4") == expected_w.view("u4")).all()
    assert (b.view("u4") == expected_b.view("u4")).all()
