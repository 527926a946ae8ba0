"""Builds with one rule replaced by the overlay: each kernel does what the rule's name says.

What is expected is written out here from the rule's words, or is the reference rule's own kernel
with other operands; nothing of the product is patched. Whole runs with replaced rules are in
test_overlay.py.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from microtune_studies.overlay import lay_over, rule_flags

from microtune.ir import convolution, numerics
from microtune.runtime.files import RUNTIME, RUNTIME_INCLUDES, kernel_sources
from microtune.tools.compilers import run_tool
from microtune.tools.objects import Compilation, object_store
from microtune.tools.toolchain import find_host_gcc
from tests.runtime import runtime_native as native
from tests.runtime.runtime_cases import Array, RoundCase, codes, factors, random_case, round_case
from tests.runtime.runtime_native import RoundParams, Struct, fill
from tests.runtime.test_update_kernels import (
    factor_params,
    learning_rate,
    near_exponent,
    random16,
)

SEEDS = range(60)
REFERENCE = "MT_PORTABLE"


@functools.cache
def overlaid_runtime() -> Path:
    """A copy of the runtime with the overlay."""
    copy = Path(tempfile.mkdtemp(prefix="microtune-overlay-")) / "runtime"
    shutil.copytree(RUNTIME, copy)
    lay_over(copy)
    return copy


@functools.cache
def library(rule: str) -> ctypes.CDLL:
    """The portable kernels with a rule replaced."""
    folder, runtime = Path(tempfile.mkdtemp(prefix="microtune-rules-")), overlaid_runtime()
    macros = () if rule == REFERENCE else rule_flags(rule)
    flags = (*native.COMMON, "-O0", f"-D{REFERENCE}", *macros, *RUNTIME_INCLUDES)
    kept = Compilation(find_host_gcc(), flags, runtime, folder, object_store())
    objects, path = kept.objects(kernel_sources(runtime)), folder / "library.so"
    run_tool(["gcc", "-shared", *map(str, objects), "-o", str(path)], "building the rules")
    return ctypes.CDLL(str(path))


# -- gradients: how they are rounded, and where their exponent comes from --------------------------

Result = tuple[Array, int, int]  # codes, exponent, next offset
Rounding = Callable[[RoundCase, Array], Result]


def random8(case: RoundCase, acc: Array) -> Array:
    key = numerics.random_key(case.state.seed, case.state.step, case.site)
    return numerics.random8(key, np.arange(acc.size, dtype=np.int64))


def masked(case: RoundCase, u: Array) -> Array:
    return u if case.mask is None else np.where(case.mask, u, 0)


def shift_of(case: RoundCase, wanted: int) -> int:
    return min(max(wanted - case.e_acc, 0), 30)


def by_reference(
    case: RoundCase, acc: Array, rounded: Callable[[Array, int], Array] | None = None,
    more: int = 0, lowest: int = 32, highest: int = 127, step: int = 1,
) -> Result:  # fmt: skip
    """The rule of docs/numerics.md with one of its parts replaced."""
    offset = int(case.offset[0])
    k = shift_of(case, int(case.base[0]) + offset + more)
    u = (
        numerics.stochastic_round(acc, k, random8(case, acc))
        if rounded is None
        else rounded(acc, k)
    )
    largest = int(np.abs(masked(case, u)).max())
    offset += step * ((largest > highest) - (0 < largest < lowest))
    return np.clip(masked(case, u), -127, 127), case.e_acc + k, min(max(offset, -64), 63)


def to_nearest(acc: Array, k: int) -> Array:
    return np.floor(acc / 2.0**k + 0.5).astype(np.int64)  # exact: acc has less than 53 bits


def towards_zero(acc: Array, k: int) -> Array:
    return np.trunc(acc / 2.0**k).astype(np.int64)


def least_shift(largest: int) -> int:
    return next(k for k in range(63) if largest >> k <= 127)


def by_the_sample_before(case: RoundCase, acc: Array) -> Result:
    offset = int(case.offset[0])
    k = shift_of(case, offset)
    u = masked(case, numerics.stochastic_round(acc, k, random8(case, acc)))
    largest = int(np.abs(u).max())
    needed = case.e_acc + least_shift(largest << k) if largest else offset
    return np.clip(u, -127, 127), case.e_acc + k, min(max(needed, -64), 63)


def by_the_exact_maximum(case: RoundCase, acc: Array) -> Result:
    k = least_shift(int(np.abs(masked(case, acc)).max()))
    u = masked(case, numerics.stochastic_round(acc, k, random8(case, acc)))
    return np.clip(u, -127, 127), case.e_acc + k, int(case.offset[0])


ROUNDINGS: dict[str, Rounding] = {
    REFERENCE: by_reference,
    "MT_STUDY_GRADIENTS=MT_NEAREST": lambda c, acc: by_reference(c, acc, to_nearest),
    "MT_STUDY_GRADIENTS=MT_TOWARDS_ZERO": lambda c, acc: by_reference(c, acc, towards_zero),
    "MT_STUDY_EXPONENT=MT_FIXED_OFFSET": lambda c, acc: by_reference(c, acc, step=0),
    "MT_STUDY_EXPONENT=MT_HEADROOM": lambda c, acc: by_reference(
        c, acc, more=1, lowest=16, highest=63
    ),
    "MT_STUDY_EXPONENT=MT_PREVIOUS_SAMPLE": by_the_sample_before,
    "MT_STUDY_EXPONENT=MT_EXACT_MAXIMUM": by_the_exact_maximum,
}


def gradient_sum(lib: ctypes.CDLL, case: RoundCase, a: Array, b: Array) -> Result:
    """Of two gradients of equal factor whose exponents are equal: rounds 4096*(a + b)."""
    offset, y = case.offset.copy(), np.zeros(a.size, np.int8)
    exponent = np.array([case.e_acc + 12], np.int32)
    io = fill(
        native.SumIo, a=a, a_exponent=exponent, b=b, b_exponent=exponent, y=y, round=case.io()
    )
    params = native.SumParams(a.size, 4096, RoundParams(case.site, 0))
    native.call(lib, "mt_gradient_sum", params, io)
    found = y, int(case.exponent[0]), int(case.offset[0])
    case.offset = offset
    return found


def sum_case(seed: int) -> tuple[RoundCase, Array, Array]:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 100))
    return round_case(rng, count, 19), codes(rng, (count,), -127), codes(rng, (count,), -127)


def same(a: Result, b: Result) -> bool:
    return bool((a[0] == b[0]).all()) and a[1:] == b[1:]


@pytest.mark.parametrize("rule", ROUNDINGS)
def test_gradients_are_rounded_by_the_rule(rule: str) -> None:
    """Codes, exponent and the offset of the next step; and the rule matters."""
    others = 0
    for seed in SEEDS:
        case, a, b = sum_case(seed)
        acc = 4096 * (a.astype(np.int64) + b)
        found = gradient_sum(library(rule), case, a, b)
        assert same(found, ROUNDINGS[rule](case, acc)), seed
        others += not same(found, by_reference(case, acc))
    assert others > 10 or rule == REFERENCE


def test_a_lost_shortcut_is_a_sum_with_nothing() -> None:
    lost = library("MT_STUDY_SHORTCUTS=MT_LOST")
    for seed in SEEDS:
        case, a, b = sum_case(seed)
        nothing = gradient_sum(library(REFERENCE), case, np.zeros_like(a), b)
        assert same(gradient_sum(lost, case, a, b), nothing), seed


# -- updates --------------------------------------------------------------------------------------


def weight_update(lib: ctypes.CDLL, seed: int, zero: int) -> tuple[Array, Array, Array]:
    """(new weights, exact new weights * 2^16, their random bits) of a whole layer."""
    case = random_case(seed)
    case.order, case.trained = None, 0
    rng, (o, kh, kw, _) = np.random.default_rng(seed), case.weight.shape
    g, x = codes(rng, (*case.out, o), -127), codes(rng, case.size)
    state, table = moving_state(rng), factors(rng, o)
    fm, fe = table.factors()
    exponent, site = near_exponent(rng, fe, state), int(rng.integers(2**32))
    acc = convolution.weight_gradient(x.astype(np.int64) - zero, g, (kh, kw), case.geometry)
    column = (slice(None), None, None, None)
    d = numerics.step16(
        acc.astype(np.int64), fm.astype(np.int64)[column], fe.astype(np.int64)[column],
        learning_rate(state), exponent, numerics.WEIGHT_STEP_LIMIT,
    )  # fmt: skip
    weight = case.lay_out(case.weight).copy()
    params = fill(native.WeightUpdateParams, shape=case.shape(), x_zero=zero,
                  factor=factor_params(table, rng), site=site, **case.ordered())  # fmt: skip
    io = fill(native.WeightUpdateIo, g=g, g_exponent=np.array([exponent], np.int32), x=x,
              weight=weight, state=state, scratch=np.zeros(130, np.int64))  # fmt: skip
    native.call(lib, "mt_conv2d_weight_update", params, io)
    exact = case.weight.astype(np.int64) * 65536 - d
    bits = random16(state, site, case.weight.shape)
    return weight.reshape(-1), wide(case, exact), wide(case, bits)


def wide(case: Any, values: Array) -> Array:
    """In the device's order, flat, without losing bits."""
    moved = np.moveaxis(values[..., 0], 0, -1) if case.depthwise else values
    return moved.reshape(-1)


def moving_state(rng: np.random.Generator) -> Struct:
    """A state with a rate that moves weights."""
    lr = np.float32(2.0 ** rng.uniform(-20, 10))
    mantissa, exponent = numerics.split_float32(float(lr))
    return native.StepState(*map(int, rng.integers(0, 2**32, 2)), mantissa, exponent, float(lr))


WEIGHTS: dict[str, Callable[[Array, Array], Array]] = {
    REFERENCE: lambda exact, bits: (exact + bits) >> 16,
    "MT_STUDY_WEIGHTS=MT_NEAREST": lambda exact, bits: np.floor(exact / 65536 + 0.5),
    "MT_STUDY_WEIGHTS=MT_TOWARDS_ZERO": lambda exact, bits: np.trunc(exact / 65536),
}


@pytest.mark.parametrize("rule", WEIGHTS)
def test_weights_are_rounded_by_the_rule(rule: str) -> None:
    others = 0
    for seed in SEEDS:
        found, exact, bits = weight_update(library(rule), seed, 3)
        assert (found == np.clip(WEIGHTS[rule](exact, bits), -127, 127)).all(), seed
        others += bool((found != np.clip(WEIGHTS[REFERENCE](exact, bits), -127, 127)).any())
    assert others > 10 or rule == REFERENCE


def test_raw_codes_are_an_input_without_zero_point() -> None:
    raw, others = library("MT_STUDY_INPUTS=MT_RAW_CODES"), 0
    for seed in SEEDS:
        found, *_ = weight_update(raw, seed, -70)
        reference, *_ = weight_update(library(REFERENCE), seed, 0)
        assert (found == reference).all(), seed
        others += bool((found != weight_update(library(REFERENCE), seed, -70)[0]).any())
    assert others > 10


def test_the_gain_multiplies_the_logits_of_the_loss() -> None:
    gain, others = library("MT_STUDY_LOGIT_GAIN=6"), 0

    def loss(lib: ctypes.CDLL, logits: Array) -> list[int]:
        d, q16 = np.zeros(logits.size, np.int16), np.zeros(1, np.int32)
        io = fill(native.LossIo, logits=logits, label=1, d_logits=d, loss_q16=q16)
        native.call(lib, "mt_loss_int16", native.LossParams(logits.size), io)
        return [*d.tolist(), int(q16[0])]

    for seed in SEEDS:
        logits = np.random.default_rng(seed).integers(-(1 << 17), 1 << 17, 5).astype(np.int32)
        assert loss(gain, logits) == loss(library(REFERENCE), 6 * logits)
        others += loss(gain, logits) != loss(library(REFERENCE), logits)
    assert others > 10


def test_a_head_of_8_bits_holds_255_values_and_is_unbiased() -> None:
    """Each weight is a multiple of 256; the mean of many draws is the exact weight."""
    rng = np.random.default_rng(0)
    classes, features = 3, 2000
    head = native.HeadParams(classes, features, 0, 15, 1.0)
    params = native.HeadUpdateParams(head, 1 << 30, -30, 1 << 30, -30, 7, 8)
    mantissa, exponent = numerics.split_float32(2.0**-12)
    state = native.StepState(5, 6, mantissa, exponent, 2.0**-12)
    x, d = np.full(features, 100, np.int8), np.array([9000, -7000, 333], np.int16)
    start = (rng.integers(-90, 90, (classes, 1)) * 256).repeat(features, 1).astype(np.int16)
    found = {}
    for rule in (REFERENCE, "MT_STUDY_HEAD_BITS=8"):
        w, b = start.copy(), np.zeros(classes, np.int32)
        io = fill(native.HeadUpdateIo, x=x, d_logits=d, weight=w, bias=b, state=state)
        native.call(library(rule), "mt_head_update_int16", params, io)
        found[rule] = w.astype(np.int64)
    reference, few = found[REFERENCE], found["MT_STUDY_HEAD_BITS=8"]
    assert (few % 256 == 0).all()
    assert np.abs(few).max() <= 127 * 256
    for i in range(classes):
        step = abs(reference[i].mean() - start[i, 0])
        assert step > 1
        # Standard error of the mean of 2000 draws, each 0 or 256.
        assert abs(few[i].mean() - reference[i].mean()) < 4 * 128 / np.sqrt(features)
