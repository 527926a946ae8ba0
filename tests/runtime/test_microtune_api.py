"""The public functions on a hand-written model: memory, errors, saving, exact resumption."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from microtune.ir.numerics import NUMERICS_VERSION
from microtune.runtime.files import (
    RUNTIME,
    RUNTIME_INCLUDES,
    core_sources,
    kernel_sources,
    runtime_includes,
)
from tests.runtime import runtime_native as native
from tests.runtime.fake_device import (
    ARGUMENT,
    CHECKSUM,
    FORMAT,
    FROZEN,
    HEADER,
    MISMATCH,
    OFFSETS,
    OK,
    PARAMETERS,
    SIZE,
    Device,
    Memory,
    Result,
    build,
    resealed,
    trained,
)


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build(tmp_path_factory.mktemp("fake"))


@pytest.fixture(scope="module")
def two_arenas(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build(tmp_path_factory.mktemp("banks"), "-DFAKE_ARENAS=2")


def test_init_sets_the_initial_state(lib: ctypes.CDLL) -> None:
    device = Device(lib, 9)
    weight = np.frombuffer(device.parameters(), np.int16, 12).reshape(3, 4)
    assert weight.tolist() == [[0] * 4, [100, 200, 300, 400], [-1, -2, -3, -4]]
    assert np.frombuffer(device.parameters(), np.int32, 3, 24).tolist() == [-7, 0, 0]
    stats = device.stats()
    assert (stats.seed, stats.steps, stats.last_loss_q16, stats.learning_rate) == (9, 0, -1, 0.0)
    assert (stats.offset_min, stats.offset_max) == (-5, 7)


def test_init_refuses_bad_memory(two_arenas: ctypes.CDLL) -> None:
    lib, memory = two_arenas, np.zeros(96, np.int64)
    base, context = memory.ctypes.data, ctypes.c_void_p()
    need, sizes = lib.mt_context_bytes(), [lib.mt_arena_bytes(i) for i in range(2)]
    good = (base, need), [(base + 256, sizes[0]), (base + 512, sizes[1])]

    def init(block: tuple[int, int], arenas: list[tuple[int, int]]) -> int:
        listed = (Memory * 2)(*(Memory(*arena) for arena in arenas))
        return int(lib.mt_init(Memory(*block), listed, len(arenas), 1, ctypes.byref(context)))

    assert sizes == [32, 40]
    assert lib.mt_arena_bytes(2) == 0
    assert init((0, need), good[1]) == ARGUMENT
    assert init((base + 4, need), good[1]) == ARGUMENT
    assert init((base, need - 1), good[1]) == SIZE
    assert init(good[0], good[1][:1]) == SIZE
    for index in range(2):
        for bad, status in (
            ((0, sizes[index]), ARGUMENT),
            ((base + 257, sizes[index]), ARGUMENT),
            ((base + 256, sizes[index] - 1), SIZE),
        ):
            arenas = list(good[1])
            arenas[index] = bad
            assert init(good[0], arenas) == status
    assert lib.mt_init(Memory(*good[0]), None, 2, 1, ctypes.byref(context)) == ARGUMENT
    assert lib.mt_init(Memory(*good[0]), (Memory * 2)(), 2, 1, None) == ARGUMENT
    assert not memory.any()
    assert init(*good) == OK


def test_two_arenas_give_the_bits_of_one(lib: ctypes.CDLL, two_arenas: ctypes.CDLL) -> None:
    assert (lib.mt_arena_count(), two_arenas.mt_arena_count()) == (1, 2)
    one, two = trained(lib, 7), trained(two_arenas, 7)
    assert (one.save() == two.save()).all()
    logits = [ctypes.string_at(d.lib.mt_output(d.context), 12) for d in (one, two)]
    assert logits[0] == logits[1]


def test_infer_and_train(lib: ctypes.CDLL) -> None:
    device, result = Device(lib), Result()
    device.frame([1, 2, 3, 4])
    assert lib.mt_infer(device.context, ctypes.byref(result)) == OK
    assert (result.predicted_class, result.loss_q16) == (1, -1)
    logits = ctypes.string_at(lib.mt_output(device.context), 12)
    assert np.frombuffer(logits, np.int32).tolist() == [-7, 3000, -30]
    before = device.parameters()
    assert device.rate(0.0) == OK
    assert device.train(2)[0] == OK
    assert device.parameters() == before
    assert device.rate(0.5) == OK
    losses = []
    for _ in range(50):
        device.frame([1, 2, 3, 4])
        status, result = device.train(2)
        assert status == OK
        losses.append(result.loss_q16)
    assert losses[-1] < losses[0] // 2
    assert result.predicted_class == 2
    assert device.stats().steps == 51
    assert device.stats().last_loss_q16 == losses[-1]


def test_bad_arguments(lib: ctypes.CDLL) -> None:
    device = Device(lib)
    assert device.train(3)[0] == ARGUMENT
    assert lib.mt_infer(None, ctypes.byref(Result())) == ARGUMENT
    assert lib.mt_infer(device.context, None) == ARGUMENT
    assert lib.mt_input(None) is None
    stranger = np.zeros(64, np.int64)
    assert lib.mt_output(ctypes.c_void_p(stranger.ctypes.data)) is None
    assert device.stats().steps == 0


def test_a_restored_device_goes_on_with_the_same_bits(lib: ctypes.CDLL) -> None:
    first, second = trained(lib, 7), Device(lib, 1234)
    assert second.load(first.save()) == OK
    assert (second.save() == first.save()).all()
    for i in range(9):
        for device in (first, second):
            device.frame([7, i, -i, 1])
            assert device.train(i % 3)[0] == OK
    assert (second.save() == first.save()).all()


def test_the_saved_form(lib: ctypes.CDLL) -> None:
    device = trained(lib, 3)
    data = device.save().tobytes()
    words = np.frombuffer(data, "<u4", HEADER // 4)
    assert data[:4] == b"MTSV"
    assert (words[1], words[2], words[19]) == (1, NUMERICS_VERSION, PARAMETERS + OFFSETS + 16)
    assert words[20] == zlib.crc32(data[HEADER:])
    assert words[21] == zlib.crc32(data[:84])
    assert data[HEADER : HEADER + PARAMETERS] == device.parameters()
    assert data[HEADER + PARAMETERS] == (-5 + 3) % 256
    seed, step = np.frombuffer(data, "<u4", 2, HEADER + PARAMETERS + OFFSETS)
    assert (seed, step) == (5, 3)


def test_damage_is_found_and_changes_nothing(lib: ctypes.CDLL) -> None:
    data, device = trained(lib, 7).save(), trained(lib, 2)
    before = device.save()
    for position in range(data.size):
        broken = data.copy()
        broken[position] ^= 4
        status = device.load(broken)
        assert status == (FORMAT if position < 8 else CHECKSUM)
    for length in range(data.size):
        assert device.load(data[:length]) == SIZE
    assert (device.save() == before).all()


@pytest.mark.parametrize(
    ("position", "status"), [(8, MISMATCH), (12, MISMATCH), (50, MISMATCH), (76, MISMATCH)]
)
def test_other_models_are_refused(lib: ctypes.CDLL, position: int, status: int) -> None:
    device = trained(lib, 1)
    data = device.save()
    data[position] ^= 1
    assert device.load(resealed(data)) == status


def test_save_refuses_a_small_buffer(lib: ctypes.CDLL) -> None:
    device, written = Device(lib), ctypes.c_size_t(77)
    buffer = np.zeros(lib.mt_save_bytes(), np.uint8)
    pointer = ctypes.c_void_p(buffer.ctypes.data)
    small = ctypes.c_size_t(buffer.size - 1)
    assert lib.mt_save(device.context, pointer, small, ctypes.byref(written)) == SIZE
    assert written.value == 0
    assert not buffer.any()


def test_a_frozen_model_does_not_train(tmp_path: Path) -> None:
    device = Device(build(tmp_path, "-DFAKE_FROZEN=1"))
    assert device.train(0)[0] == FROZEN
    assert device.stats().steps == 0


ARM = ["arm-none-eabi-gcc", "-mthumb", "-O2", "-ffreestanding"]
COMPILERS = {
    "clang": [sys.executable, "-m", "ziglang", "cc", "-O2"],
    "cortex-m7": [*ARM, "-mcpu=cortex-m7"],
    "cortex-m0plus": [*ARM, "-mcpu=cortex-m0plus"],
}


@pytest.mark.parametrize("name", COMPILERS)
def test_compilers_have_nothing_to_say(name: str, tmp_path: Path) -> None:
    """No warning from Clang or the Arm compiler; no need of a C library's headers."""
    if shutil.which(COMPILERS[name][0]) is None:
        pytest.skip(f"{COMPILERS[name][0]} is not installed")
    sources = [str(RUNTIME / source) for source in (*core_sources(), *kernel_sources())]
    flags = ["-std=c99", "-ffp-contract=off", "-pedantic", *native.WARNINGS]
    command = [*COMPILERS[name], *flags, *runtime_includes(), "-c", *sources]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_runtime_needs_nothing_but_memory_functions(tmp_path: Path) -> None:
    """No heap, no stdio, no libm; no mutable statics."""
    allowed = {"memcpy", "memset", "memcmp", "memmove", "mt_generated_model"}
    for source in (*core_sources(), *kernel_sources()):
        target = tmp_path / (source.stem + ".o")
        command = ["gcc", "-std=c99", "-O2", "-ffp-contract=off", *RUNTIME_INCLUDES]
        output = ["-c", str(source), "-o", str(target)]
        subprocess.run([*command, *output], check=True, cwd=RUNTIME)
        listing = subprocess.run(
            ["nm", "-P", str(target)], check=True, capture_output=True, text=True
        ).stdout
        for line in listing.splitlines():
            name, kind = line.split()[:2]
            assert kind not in "bBdDC", f"{source.name}: {name} is mutable"
            if kind == "U":
                assert name in allowed or name.startswith("mt_"), f"{source.name} needs {name}"
