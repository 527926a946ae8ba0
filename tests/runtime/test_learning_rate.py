"""The learning rate of a context: never set, zero, out of range, saved and restored."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from microtune.ir import numerics
from tests.runtime import runtime_native as native
from tests.runtime.fake_device import (
    ARGUMENT,
    FORMAT,
    OK,
    RATE,
    Device,
    Result,
    build,
    replay_of,
    resealed,
    target,
    trained,
)


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build(tmp_path_factory.mktemp("fake"))


def test_every_training_call_refuses_a_rate_that_was_never_set(lib: ctypes.CDLL) -> None:
    device, result = Device(lib), Result()
    status, replay, memory = replay_of(device, 24 + 1 * 6)
    assert status == OK
    device.frame([1, 2, 3, 4])
    latent = (ctypes.c_int8 * 4)(4, 3, 2, 1)
    assert lib.mt_replay_keep(device.context, replay, latent, target(1)) == OK
    before, stored = device.save(), memory.copy()
    out = ctypes.byref(result)
    for status in (
        lib.mt_train_step(device.context, target(2), out),
        lib.mt_train_latent(device.context, latent, target(2), out),
        lib.mt_replay_train(device.context, replay, target(2), out),
        lib.mt_replay_rehearse(device.context, replay, out),
    ):
        assert status == RATE
    assert (result.predicted_class, result.loss_q16) == (0, 0)
    assert (device.save() == before).all()
    assert (memory == stored).all()
    assert (device.stats().steps, device.stats().last_loss_q16) == (0, -1)
    assert lib.mt_infer(device.context, out) == OK
    assert device.rate(float("nan")) == ARGUMENT
    assert device.train(2)[0] == RATE
    assert device.rate(0.5) == OK
    assert lib.mt_replay_rehearse(device.context, replay, out) == OK


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_rate_of_zero_trains_nothing_but_counts_steps(lib: ctypes.CDLL, zero: float) -> None:
    device = Device(lib)
    before = device.parameters()
    assert device.rate(zero) == OK
    device.frame([1, 2, 3, 4])
    assert device.train(2)[0] == OK
    assert device.parameters() == before
    assert device.stats().steps == 1
    other = Device(lib)
    assert other.load(device.save()) == OK
    assert other.train(2)[0] == OK


def test_loading_restores_the_rate_unless_none_was_set(lib: ctypes.CDLL) -> None:
    untrained, trained_before = Device(lib).save(), trained(lib, 2).save()
    device = Device(lib)
    assert device.load(untrained) == OK
    assert device.train(0)[0] == RATE
    assert device.rate(0.25) == OK
    assert device.load(untrained) == OK
    assert device.stats().learning_rate == 0.25
    assert device.load(trained_before) == OK
    assert device.stats().learning_rate == np.float32(0.3)


def test_the_rate_of_no_rate_is_reported_as_zero_and_saved_as_minus_zero(lib: ctypes.CDLL) -> None:
    device = Device(lib)
    rate = device.stats().learning_rate
    assert (rate, np.signbit(rate)) == (0.0, False)
    assert device.save().tobytes()[-8:-4] == np.float32(-0.0).tobytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, -1e-45, 1024.001, 3e38])
def test_learning_rates_refused(lib: ctypes.CDLL, value: float) -> None:
    device = Device(lib)
    assert device.rate(0.25) == OK
    assert device.rate(value) == ARGUMENT
    assert device.stats().learning_rate == 0.25


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, 1e-39, 1.17549435e-38, 0.1, 1.0, 1024.0])
def test_learning_rates_accepted(lib: ctypes.CDLL, value: float) -> None:
    state = native.StepState()
    bits = int(np.array([value], np.float32).view(np.uint32)[0])
    assert lib.mt_split_learning_rate(ctypes.c_uint32(bits), ctypes.byref(state)) == 1
    assert (state.lr_mantissa, state.lr_exponent) == numerics.split_float32(value)
    assert state.lr == np.float32(value)


def test_a_saved_learning_rate_is_checked_too(lib: ctypes.CDLL) -> None:
    device = trained(lib, 1)
    data = device.save()
    data[-5] = 0xFF
    assert device.load(resealed(data)) == FORMAT
    assert device.stats().learning_rate == np.float32(0.3)
