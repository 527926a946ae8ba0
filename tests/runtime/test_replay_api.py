"""Replay memory and augmentation on the hand-written model: bad calls, counting."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.runtime.fake_device import (
    ARGUMENT,
    INPUT,
    OK,
    SIZE,
    Device,
    Memory,
    Result,
    build,
    replay_of,
    target,
)


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build(tmp_path_factory.mktemp("fake"))


def test_replay_memory_is_checked(lib: ctypes.CDLL) -> None:
    device = Device(lib)
    one = 24 + 2 + 4
    assert replay_of(device, one)[0] == OK
    assert device.lib.mt_replay_bytes(3) == 24 + 3 * 6
    assert replay_of(device, one - 1)[0] == SIZE
    assert replay_of(device, one, shift=4)[0] == ARGUMENT
    assert lib.mt_replay_init(Memory(None, 64), ctypes.byref(ctypes.c_void_p())) == ARGUMENT
    foreign = np.zeros(32, np.int64)
    address = ctypes.c_void_p(foreign.ctypes.data)
    result = ctypes.byref(Result())
    assert lib.mt_replay_count(address) == 0
    assert lib.mt_replay_rehearse(device.context, address, result) == ARGUMENT
    assert lib.mt_replay_train(device.context, address, target(0), result) == ARGUMENT
    assert lib.mt_replay_keep(device.context, address, foreign.ctypes.data, target(0)) == ARGUMENT


def test_replay_keeps_and_rehearses(lib: ctypes.CDLL) -> None:
    """Errors keep nothing; kept samples are counted up to the number of slots."""
    device = Device(lib)
    assert device.rate(0.3) == OK
    _, replay, memory = replay_of(device, 24 + 2 * 6)
    result = Result()
    assert lib.mt_replay_rehearse(device.context, replay, ctypes.byref(result)) == INPUT
    assert lib.mt_replay_train(device.context, replay, target(3), ctypes.byref(result)) == ARGUMENT
    assert lib.mt_replay_count(replay) == 0
    for step in range(4):
        device.frame([step, 1, 2, 3])
        assert (
            lib.mt_replay_train(device.context, replay, target(step % 3), ctypes.byref(result))
            == OK
        )
        assert lib.mt_replay_count(replay) == min(step + 1, 2)
    assert lib.mt_replay_rehearse(device.context, replay, ctypes.byref(result)) == OK
    assert memory[5:].any() == 0


def test_a_damaged_replay_memory_is_refused(lib: ctypes.CDLL) -> None:
    """Any flipped bit of what bounds an access; other ones leave every access inside."""
    device = Device(lib)
    assert device.rate(0.3) == OK
    slots = 2
    _, replay, memory = replay_of(device, 24 + slots * 6)
    result = ctypes.byref(Result())
    device.frame([1, 2, 3, 4])
    assert lib.mt_replay_train(device.context, replay, target(1), result) == OK
    header = np.ctypeslib.as_array(
        ctypes.cast(replay, ctypes.POINTER(ctypes.c_uint32)), shape=(6,)
    )  # fmt: skip
    magic, latent_bytes, count, filled, seen, last = range(6)
    for word in (magic, latent_bytes, count, filled, last):
        for bit in range(32):
            header[word] ^= np.uint32(1 << bit)
            inside = header[filled] <= slots and header[last] < header[filled]
            refused = word not in (filled, last) or not inside
            status = lib.mt_replay_rehearse(device.context, replay, result)
            assert status == (ARGUMENT if refused else OK), (word, bit)
            header[word] ^= np.uint32(1 << bit)
    assert lib.mt_replay_rehearse(device.context, replay, result) == OK
    assert memory[5:].any() == 0 and header[seen] == 1


def test_a_change_is_checked(lib: ctypes.CDLL) -> None:
    device = Device(lib)
    change = (ctypes.c_int8 * 3)()
    for most, status in (((1, 127, 127), OK), ((2, 0, 0), ARGUMENT), ((0, 128, 0), ARGUMENT),
                         ((0, 0, 128), ARGUMENT)):  # fmt: skip
        limits = (ctypes.c_uint8 * 3)(*most)
        assert lib.mt_draw_change(device.context, limits, change) == status
    assert lib.mt_change_frame(device.context, None) == ARGUMENT
