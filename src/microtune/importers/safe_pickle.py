"""Read a pickle of numpy arrays without executing anything that it names.

Only four names are understood, and each is answered by a function of ours: what numpy would rebuild
is rebuilt here from checked bytes. Everything else is refused.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from microtune.errors import MicrotuneError

MAX_BYTES = 64 * 2**20
_MEMBERS = {"archive/data.pkl", "archive/version"}
_DTYPES = {"i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "b1"}


class RefusedPickleError(pickle.UnpicklingError):
    """The pickle asks for something that a file of arrays does not need."""


class _DType:
    """Stands in for numpy.dtype: a checked type code and its byte order."""

    def __init__(self, code: object, *_: object) -> None:
        if code not in _DTYPES:
            raise RefusedPickleError(f"element type {code!r:.40}")
        self.dtype = np.dtype(str(code))

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|", "="):
            raise RefusedPickleError("an element type that is not little-endian")


class _Array:
    """Stands in for numpy.ndarray until its state arrives."""

    def __init__(self) -> None:
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
        order = "F" if fortran else "C"
        flat = np.frombuffer(raw, dtype.dtype)
        self.value = flat.reshape(shape, order=order).copy()  # type: ignore[call-overload]


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedPickleError("text in an unknown encoding")
    return text.encode("latin1")


class _Marker:
    """A name that may be mentioned but not called (numpy.ndarray as an argument)."""


_NAMES: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _Marker,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        try:
            return _NAMES[module, name]
        except KeyError:
            raise RefusedPickleError(f"the name {module}.{name}") from None

    def persistent_load(self, pid: object) -> Any:  # noqa: ANN401
        raise RefusedPickleError("an outside reference")


def _plain(value: object, depth: int = 0) -> Any:  # noqa: ANN401
    """Containers of plain values and arrays; anything else is refused."""
    if depth > 32:
        raise RefusedPickleError("containers nested deeper than 32")
    if isinstance(value, _Array):
        if value.value is None:
            raise RefusedPickleError("an array without data")
        return value.value
    if type(value) is dict:
        if not all(type(key) is str for key in value):
            raise RefusedPickleError("a key that is not text")
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_plain(item, depth + 1) for item in value]  # type: ignore[attr-defined]
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise RefusedPickleError(f"a value of type {type(value).__name__}")


def read_numpy_pickle(path: Path) -> dict[str, Any]:
    """The dictionary of arrays in a zip that holds one pickle (`archive/data.pkl`).

    Tuples come back as lists. Raises MicrotuneError if the file is not such a zip, is cut off, or
    asks for anything but arrays, numbers, text and containers; nothing in it is ever executed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if not {"archive/data.pkl"} <= names <= _MEMBERS:
                raise MicrotuneError(
                    f"{path}: not a pickle of arrays: it holds {sorted(names)[:5]}"
                )
            if archive.getinfo("archive/data.pkl").file_size > MAX_BYTES:
                raise MicrotuneError(f"{path}: larger than {MAX_BYTES >> 20} MB")
            raw = archive.read("archive/data.pkl")
        content = _plain(_Unpickler(io.BytesIO(raw)).load())
    except FileNotFoundError:
        raise MicrotuneError(f"{path}: no such file") from None
    except RefusedPickleError as error:
        raise MicrotuneError(f"{path}: refused: it contains {error}") from error
    except (zipfile.BadZipFile, OSError) as error:
        raise MicrotuneError(f"{path}: not a readable zip, perhaps cut off: {error}") from error
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        KeyError,
        MemoryError,
        RecursionError,
        OverflowError,
        UnicodeError,
    ) as error:
        raise MicrotuneError(f"{path}: the pickle is damaged: {error}") from error  # fmt: skip
    if not isinstance(content, dict):
        raise MicrotuneError(f"{path}: the pickle holds no dictionary")
    return content
