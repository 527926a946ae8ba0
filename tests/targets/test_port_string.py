"""The port's memory functions against Python's own, at every small offset and length."""

import ctypes
import shutil
import subprocess
from itertools import product

import pytest

from microtune.targets.port import PORT_DIRECTORY

FUNCTIONS = ("memcpy", "memmove", "memset", "memcmp")
BYTES = bytes(range(1, 41))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """`string.c` built for the host under other names (the host's own must stay in use)."""
    if shutil.which("gcc") is None:
        pytest.skip("not installed: gcc")
    library = tmp_path_factory.mktemp("port") / "string.so"
    names = [f"-D{name}=port_{name}" for name in FUNCTIONS]
    source = str(PORT_DIRECTORY / "string.c")
    flags = ["-std=c99", "-O3", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, *names, source, "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def at(buffer: ctypes.Array[ctypes.c_char], offset: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(ctypes.addressof(buffer) + offset)


def test_memcpy_and_memset(port: ctypes.CDLL) -> None:
    for to, start, size in product(range(5), range(5), range(20)):
        source, copied, filled = (ctypes.create_string_buffer(BYTES, 40) for _ in range(3))
        port.port_memcpy(at(copied, to), at(source, start), ctypes.c_size_t(size))
        assert copied.raw == BYTES[:to] + BYTES[start : start + size] + BYTES[to + size :]
        port.port_memset(at(filled, to), ctypes.c_int(0x1F3), ctypes.c_size_t(size))
        assert filled.raw == BYTES[:to] + b"\xf3" * size + BYTES[to + size :]


def test_memmove_with_overlap(port: ctypes.CDLL) -> None:
    for to, start, size in product(range(12), range(12), range(24)):
        buffer = ctypes.create_string_buffer(BYTES, 40)
        port.port_memmove(at(buffer, to), at(buffer, start), ctypes.c_size_t(size))
        assert buffer.raw == BYTES[:to] + BYTES[start : start + size] + BYTES[to + size :]


@pytest.mark.parametrize(
    ("left", "right", "sign"),
    [(b"abc", b"abc", 0), (b"abc", b"abd", -1), (b"\xffa", b"\x01a", 1), (b"", b"", 0)],
)
def test_memcmp(port: ctypes.CDLL, left: bytes, right: bytes, sign: int) -> None:
    assert port.port_memcmp(left, right, ctypes.c_size_t(len(left))) == sign
