"""A device in memory of its own, on the hand-written model; what the tests of the core share."""

from __future__ import annotations

import ctypes
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.runtime.files import core_sources, kernel_sources
from tests.runtime import runtime_native as native

OK, ARGUMENT, SIZE, FORMAT, MISMATCH, CHECKSUM, FROZEN, INPUT, RATE = range(9)
HEADER, PARAMETERS, OFFSETS = 88, 36, 3


class Result(ctypes.Structure):
    _fields_ = [("predicted_class", ctypes.c_uint32), ("loss_q16", ctypes.c_int32)]


class Target(ctypes.Structure):
    _fields_ = [("class_index", ctypes.c_uint32), ("codes", ctypes.c_void_p)]


def target(class_index: int) -> Any:
    """What a training call takes for a class."""
    return ctypes.byref(Target(class_index))


class Memory(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


class Stats(ctypes.Structure):
    _fields_ = [
        ("seed", ctypes.c_uint32), ("steps", ctypes.c_uint32), ("last_loss_q16", ctypes.c_int32),
        ("learning_rate", ctypes.c_float), ("offset_min", ctypes.c_int8),
        ("offset_max", ctypes.c_int8),
    ]  # fmt: skip


def build(folder: Path, *flags: str) -> ctypes.CDLL:
    """The fake model with the core and the kernels."""
    path, model = folder / "libfake.so", Path(__file__).with_name("fake_model.c")
    gcc, sources = native.compiler_of("gcc"), [*core_sources(), *kernel_sources()]
    lib = native.link(path, gcc, ["-O2"], sources, *flags, model)
    for name in ("mt_context_bytes", "mt_arena_bytes", "mt_save_bytes"):
        getattr(lib, name).restype = ctypes.c_size_t
    lib.mt_init.argtypes = [
        Memory, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p,
    ]  # fmt: skip
    for name in ("mt_input", "mt_output", "mt_parameters"):
        getattr(lib, name).restype = ctypes.c_void_p
    return lib


class Device:
    """One context in memory of its own."""

    def __init__(self, lib: ctypes.CDLL, seed: int = 5) -> None:
        self.lib, self.context = lib, ctypes.c_void_p()
        count = lib.mt_arena_count()
        sizes = [lib.mt_context_bytes(), *(lib.mt_arena_bytes(i) for i in range(count))]
        self.memory = [np.full(-(-n // 8), -1, np.int64) for n in sizes]
        pieces = [Memory(m.ctypes.data, n) for m, n in zip(self.memory, sizes, strict=True)]
        arenas = (Memory * count)(*pieces[1:])
        assert lib.mt_init(pieces[0], arenas, count, seed, ctypes.byref(self.context)) == OK

    def frame(self, values: list[int]) -> None:
        pointer = self.lib.mt_input(self.context)
        ctypes.memmove(pointer, np.array(values, np.int8).ctypes.data, len(values))

    def train(self, label: int) -> tuple[int, Result]:
        result = Result()
        status = self.lib.mt_train_step(self.context, target(label), ctypes.byref(result))
        return int(status), result

    def rate(self, value: float) -> int:
        return int(self.lib.mt_set_learning_rate(self.context, ctypes.c_float(value)))

    def save(self) -> npt.NDArray[np.uint8]:
        buffer, written = np.zeros(self.lib.mt_save_bytes(), np.uint8), ctypes.c_size_t()
        status = self.lib.mt_save(
            self.context, ctypes.c_void_p(buffer.ctypes.data), ctypes.c_size_t(buffer.size),
            ctypes.byref(written),
        )  # fmt: skip
        assert status == OK
        assert written.value == buffer.size
        return buffer

    def load(self, data: npt.NDArray[np.uint8]) -> int:
        pointer = ctypes.c_void_p(data.ctypes.data)
        return int(self.lib.mt_load(self.context, pointer, ctypes.c_size_t(data.size)))

    def stats(self) -> Stats:
        stats = Stats()
        assert self.lib.mt_get_stats(self.context, ctypes.byref(stats)) == OK
        return stats

    def parameters(self) -> bytes:
        count = ctypes.c_size_t()
        pointer = self.lib.mt_parameters(self.context, ctypes.byref(count))
        return ctypes.string_at(pointer, count.value)


def trained(lib: ctypes.CDLL, steps: int) -> Device:
    device = Device(lib)
    assert device.rate(0.3) == OK
    for i in range(steps):
        device.frame([i, -i, 3, 4])
        assert device.train(i % 3)[0] == OK
    return device


def resealed(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Both checksums made right again."""
    raw = bytearray(data.tobytes())
    raw[80:84] = zlib.crc32(bytes(raw[HEADER:])).to_bytes(4, "little")
    raw[84:88] = zlib.crc32(bytes(raw[:84])).to_bytes(4, "little")
    return np.frombuffer(bytes(raw), np.uint8)


def replay_of(device: Device, size: int = 64, shift: int = 0) -> tuple[int, ctypes.c_void_p, Any]:
    """(status of mt_replay_init, the replay memory, what keeps it alive)."""
    device.lib.mt_replay_init.argtypes = [Memory, ctypes.c_void_p]
    device.lib.mt_replay_bytes.restype = ctypes.c_size_t
    memory, replay = np.zeros(32, np.int64), ctypes.c_void_p()
    piece = Memory(memory.ctypes.data + shift, size)
    return device.lib.mt_replay_init(piece, ctypes.byref(replay)), replay, memory
