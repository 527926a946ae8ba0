"""Every primitive of mt_numerics.h equals its namesake in microtune.ir.numerics."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from microtune.ir import numerics
from tests.runtime import runtime_native as native
from tests.runtime.runtime_cases import Array, step_state

COUNT = 4000


@pytest.fixture(scope="module", params=["gcc-O0", "gcc-O3", "clang-O2"])
def lib(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = tmp_path_factory.mktemp("primitives") / "libprimitives.so"
    source = Path(__file__).with_name("primitives.c")
    build = request.param
    return native.link(path, native.compiler_of(build), native.BUILDS[build], (), source)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def wide(rng: np.random.Generator, bits: int, dtype: type = np.int64) -> Array:
    """Signed numbers of every length up to `bits` bits, with the extremes."""
    values = rng.integers(0, 2**bits, COUNT) >> rng.integers(0, bits, COUNT)
    values[:2] = 2**bits - 1
    return np.where(rng.integers(0, 2, COUNT), values, -values - 1).astype(dtype)


def run(lib: ctypes.CDLL, function: str, *arrays: Array) -> Array:
    """The function's int64 results."""
    y = np.zeros(COUNT, np.int64)
    pointers = [ctypes.c_void_p(native.address(a)) for a in (*arrays, y)]
    getattr(lib, function)(*pointers, ctypes.c_int32(COUNT))
    return y


def test_high_multiply(lib: ctypes.CDLL, rng: np.random.Generator) -> None:
    x, m = wide(rng, 31, np.int32), wide(rng, 31, np.int32)
    expected = [(int(a) * int(b) + 2**31) >> 32 for a, b in zip(x, m, strict=True)]
    assert (run(lib, "high_multiply", x, m) == expected).all()


def test_round_shift(lib: ctypes.CDLL, rng: np.random.Generator) -> None:
    t, s = wide(rng, 61), rng.integers(-5, 70, COUNT).astype(np.int32)
    assert (run(lib, "round_shift", t, s) == numerics.round_shift(t, s.astype(np.int64))).all()


def test_requantize(lib: ctypes.CDLL, rng: np.random.Generator) -> None:
    acc, m = wide(rng, 31, np.int32), np.abs(wide(rng, 30, np.int32))
    n = rng.integers(0, 32, COUNT).astype(np.int32)
    wide_m, wide_n = m.astype(np.int64), n.astype(np.int64)
    expected = numerics.requantize(acc.astype(np.int64), wide_m, wide_n, 0)
    assert (run(lib, "requantize", acc, m, n) == expected).all()


def test_stochastic_round(lib: ctypes.CDLL, rng: np.random.Generator) -> None:
    v, k = wide(rng, 30, np.int32), rng.integers(0, 31, COUNT).astype(np.int32)
    r8 = rng.integers(0, 256, COUNT).astype(np.int32)
    got = run(lib, "stochastic_round", v, k, r8)
    for i in range(COUNT):
        one = numerics.stochastic_round(np.int64(v[i]), int(k[i]), np.int64(r8[i]))  # type: ignore[arg-type]
        assert got[i] == one


def test_random_bits(lib: ctypes.CDLL, rng: np.random.Generator) -> None:
    for _ in range(20):
        state, site = step_state(rng), int(rng.integers(2**32))
        r8, r16 = np.zeros(COUNT, np.int64), np.zeros(COUNT, np.int64)
        lib.random_bits(
            ctypes.byref(state), ctypes.c_uint32(site), ctypes.c_void_p(native.address(r8)),
            ctypes.c_void_p(native.address(r16)), ctypes.c_int32(COUNT),
        )  # fmt: skip
        key, index = numerics.random_key(state.seed, state.step, site), np.arange(COUNT)
        assert (r8 == numerics.random8(key, index)).all()
        assert (r16 == numerics.random16(key, index)).all()


def test_step16(lib: ctypes.CDLL, rng: np.random.Generator) -> None:
    for _ in range(300):
        state, limit = step_state(rng), 2 ** int(rng.choice([24, 32, 46]))
        fm = int(rng.integers(2**30, 2**31))
        fe = int(rng.integers(-80, 20))
        balanced = -(fe + state.lr_exponent + 24 + 16)
        e = balanced + int(rng.integers(-70, 70))
        acc, y = wide(rng, 31), np.zeros(COUNT, np.int64)
        factor = np.array([fm, fe, e], np.int32)
        lib.step16(
            ctypes.c_void_p(native.address(acc)), ctypes.byref(state),
            ctypes.c_void_p(native.address(factor)), ctypes.c_int64(limit),
            ctypes.c_void_p(native.address(y)), ctypes.c_int32(COUNT),
        )  # fmt: skip
        pair = np.array(fm, np.int64), np.array(fe, np.int64)
        lr = (state.lr_mantissa, state.lr_exponent)
        assert (y == numerics.step16(acc, *pair, lr, e, limit)).all()


def test_apply_step(lib: ctypes.CDLL, rng: np.random.Generator) -> None:
    limit = rng.choice([127, 32767, 2**30], COUNT).astype(np.int32)
    v = (wide(rng, 31, np.int32) % (limit + 1)).astype(np.int32)
    d, r16 = wide(rng, 46), np.arange(COUNT) & 65535
    expected = [
        int(numerics.apply_step(np.int64(a), b, c, int(bound)))  # type: ignore[arg-type]
        for a, b, c, bound in zip(v, d, r16, limit, strict=True)
    ]
    assert (run(lib, "apply_step", v, d, limit) == expected).all()
