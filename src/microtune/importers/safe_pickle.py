"""Read a pickle of numpy arrays without executing anything that it names.

Only a few names are understood, and each is answered by an object of ours: what numpy would rebuild
is rebuilt here from checked bytes. Everything else is refused. Three walls, in this order:

1. The opcodes are scanned first: only those of a file of arrays, memo indexes no larger than the
   file has opcodes (the unpickler would allocate a memo of any size it is told).
2. Names resolve to instances without attributes that refuse to be given any, never to classes or
   functions, which a BUILD opcode could alter.
3. What is rebuilt is counted in bytes and in items, so repeated references cannot grow without end.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from microtune.errors import MicrotuneError

MAX_BYTES = 64 * 2**20
MAX_ITEMS = 2**20
PICKLE = "archive/data.pkl"
_MEMBERS = {PICKLE, "archive/version"}
_DTYPES = {"i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "b1"}
_OPCODES = {
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE",
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES",
    "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET",
    "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
}  # fmt: skip


class RefusedPickleError(pickle.UnpicklingError):
    """A pickle asks for something that a file of arrays does not need."""


class _Budget:
    """Counts the bytes that are rebuilt from one file, and refuses too many."""

    def __init__(self) -> None:
        self.left = MAX_BYTES

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise RefusedPickleError(f"more than {MAX_BYTES >> 20} MB of data")


class _DType:
    """Replaces numpy.dtype: a checked type code and its byte order."""

    def __init__(self, code: object) -> None:
        if not isinstance(code, str) or code not in _DTYPES:
            raise RefusedPickleError(f"element type {code!r:.40}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|", "="):
            raise RefusedPickleError("an element type that is not little-endian")


class _Array:
    """Replaces numpy.ndarray until its state arrives."""

    def __init__(self, budget: _Budget) -> None:
        self.budget = budget
        self.value: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise RefusedPickleError("an array with an odd state")
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _DType) or not isinstance(raw, bytes):
            raise RefusedPickleError("an array that is not plain numbers")
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise RefusedPickleError("an array with an odd shape")
        count = 1
        for n in shape:
            count *= n
        if count * dtype.dtype.itemsize != len(raw):
            raise RefusedPickleError("an array whose bytes do not fit its shape")
        self.budget.take(len(raw))
        order = "F" if fortran else "C"
        flat = np.frombuffer(raw, dtype.dtype)
        self.value = flat.reshape(shape, order=order).copy()  # type: ignore[call-overload]


class _Name:
    """The object that a name in the pickle stands for; it can be called or passed on, not
    altered."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Callable[..., object]) -> None:
        self._answer = answer

    def __call__(self, *arguments: object) -> object:
        return self._answer(*arguments)

    def __setstate__(self, state: object) -> None:
        raise RefusedPickleError("an attempt to alter the reader")


def _not_callable(*_: object) -> object:
    raise RefusedPickleError("a call of a name that is only ever mentioned")


class _Unpickler(pickle.Unpickler):
    def __init__(self, raw: bytes) -> None:
        super().__init__(io.BytesIO(raw))
        self._budget = _Budget()

    def _reconstruct(self, *_: object) -> _Array:
        return _Array(self._budget)

    def _dtype(self, code: object, *_: object) -> _DType:
        return _DType(code)

    def _encode(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise RefusedPickleError("text in an unknown encoding")
        self._budget.take(len(text))
        return text.encode("latin1")

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _Name(self._reconstruct)
        if (module, name) == ("numpy", "dtype"):
            return _Name(self._dtype)
        if (module, name) == ("numpy", "ndarray"):
            return _Name(_not_callable)
        if (module, name) == ("_codecs", "encode"):
            return _Name(self._encode)
        raise RefusedPickleError(f"the name {f'{module}.{name}'!r:.80}")

    def persistent_load(self, pid: object) -> Any:  # noqa: ANN401
        raise RefusedPickleError("an outside reference")


def _check_opcodes(raw: bytes) -> None:
    """Refuse opcodes and memo indexes that a file of arrays does not have."""
    last = 0
    for number, (opcode, argument, position) in enumerate(pickletools.genops(raw)):
        if opcode.name not in _OPCODES:
            raise RefusedPickleError(f"the opcode {opcode.name}")
        if opcode.name in ("BINPUT", "LONG_BINPUT") and (argument or 0) > number:
            raise RefusedPickleError(f"the memo index {argument}")
        last = position or 0
    if last + 1 != len(raw):
        raise RefusedPickleError("data after its end")


class _Plain:
    """Turns containers of plain values and arrays into plain ones; anything else is refused."""

    def __init__(self) -> None:
        self.items = 0

    def convert(self, value: object, depth: int = 0) -> Any:  # noqa: ANN401
        self.items += 1
        if depth > 32 or self.items > MAX_ITEMS:
            raise RefusedPickleError("containers nested too deeply or with too many items")
        if isinstance(value, _Array):
            if value.value is None:
                raise RefusedPickleError("an array without data")
            return value.value
        if type(value) is dict:
            if not all(type(key) is str for key in value):
                raise RefusedPickleError("a key that is not text")
            return {key: self.convert(item, depth + 1) for key, item in value.items()}
        if type(value) in (list, tuple):
            return [self.convert(item, depth + 1) for item in value]  # type: ignore[attr-defined]
        if value is None or type(value) in (bool, int, float, str):
            return value
        raise RefusedPickleError(f"a value of type {type(value).__name__}")


def _member(path: Path) -> bytes:
    """The bytes of the pickle inside the zip."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if PICKLE not in names or set(names) - _MEMBERS or len(names) != len(set(names)):
            raise MicrotuneError(f"{path}: not a pickle of arrays: it holds {sorted(names)[:5]}")
        if archive.getinfo(PICKLE).file_size > MAX_BYTES:
            raise MicrotuneError(f"{path}: larger than {MAX_BYTES >> 20} MB")
        return archive.read(PICKLE)


def read_numpy_pickle(path: Path) -> dict[str, Any]:
    """The dictionary of arrays in a zip that holds one pickle (`archive/data.pkl`).

    Tuples come back as lists. Nothing in the pickle is executed. Raises MicrotuneError if the file
    is not such a zip, is truncated, or asks for anything but arrays, numbers, text and containers.
    """
    try:
        raw = _member(path)
    except FileNotFoundError:
        raise MicrotuneError(f"{path}: no such file") from None
    except (
        zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError, ValueError,
    ) as error:  # fmt: skip
        # RuntimeError: an encrypted member, or one packed by an unknown method.
        raise MicrotuneError(f"{path}: not a readable zip, perhaps cut off: {error}") from error
    try:
        _check_opcodes(raw)
        content = _Plain().convert(_Unpickler(raw).load())
    except RefusedPickleError as error:
        raise MicrotuneError(f"{path}: refused: it contains {error}") from error
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError,
        KeyError, MemoryError, RecursionError, OverflowError,
    ) as error:  # fmt: skip
        raise MicrotuneError(f"{path}: the pickle is damaged: {error}") from error
    if not isinstance(content, dict):
        raise MicrotuneError(f"{path}: the pickle holds no dictionary")
    return content
