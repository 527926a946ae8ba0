"""The files of a folder on disk, names as bytes, links followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from microtune.data.image.formats import suffixes
from microtune.data.listing import File, LeftOut, Parts
from microtune.errors import MicrotuneError
from microtune.tools.names import from_bytes, is_hidden, printable, to_bytes

T = TypeVar("T")
_HEAD = 16


@dataclass(frozen=True)
class FolderTree:
    """A `Tree` of a folder on disk. Raises MicrotuneError for a folder that cannot be read."""

    top: Path

    def folders(self, parts: Parts) -> list[str]:
        """The names of the folders directly in a folder."""
        return [name for name, is_folder in self._entries(parts) if is_folder]

    def loose(self, parts: Parts) -> list[str]:
        """The names of the files directly in a folder."""
        return [name for name, is_folder in self._entries(parts) if not is_folder]

    def files(self, parts: Parts, left_out: LeftOut) -> Iterator[File]:
        """All files below a folder that are not hidden."""
        yield from self._walk(parts, left_out, (self._identity(parts),))

    def _walk(
        self, parts: Parts, left_out: LeftOut, above: tuple[tuple[int, int], ...]
    ) -> Iterator[File]:
        for name, is_folder in self._entries(parts):
            below = (*parts, name)
            if is_hidden(name):
                left_out.add("hidden or of the system", "/".join(below))
            elif not is_folder:
                yield from self._file(below, left_out)
            elif (identity := self._identity(below)) in above:
                left_out.add("link(s) back to a folder above", "/".join(below))
            else:
                yield from self._walk(below, left_out, (*above, identity))

    def _file(self, parts: Parts, left_out: LeftOut) -> Iterator[File]:
        path = self._path(parts)
        suffix = PurePosixPath(parts[-1]).suffix.lower()
        # What is no picture by its name is only counted, whatever it is.
        matters = not suffix or suffix in suffixes()
        if not matters or stat.S_ISREG(_state(path).st_mode):
            yield File(parts, lambda: _read(path, _HEAD), lambda: _read(path, -1))
        else:
            left_out.add("pipe(s), socket(s) or device(s)", "/".join(parts))

    def _path(self, parts: Parts) -> bytes:
        return b"/".join([os.fsencode(self.top), *map(to_bytes, parts)])

    def _identity(self, parts: Parts) -> tuple[int, int]:
        state = _state(self._path(parts))
        return state.st_dev, state.st_ino

    def _entries(self, parts: Parts) -> list[tuple[str, bool]]:
        path = self._path(parts)

        def listed() -> list[tuple[bytes, bool]]:
            with os.scandir(path) as entries:
                return sorted((entry.name, os.path.isdir(entry.path)) for entry in entries)  # noqa: PTH112

        return [(from_bytes(name), is_folder) for name, is_folder in _checked(path, listed)]


def _state(path: bytes) -> os.stat_result:
    return _checked(path, lambda: os.stat(path))  # noqa: PTH116 (a path of bytes)


def _read(path: bytes, count: int) -> bytes:
    def content() -> bytes:
        with open(path, "rb") as file:  # noqa: PTH123 (a path of bytes)
            return file.read(count)

    return _checked(path, content)


def _checked(path: bytes, action: Callable[[], T]) -> T:
    try:
        return action()
    except OSError as error:
        name = printable(from_bytes(path))
        if os.path.islink(path):  # noqa: PTH114 (a path of bytes)
            raise MicrotuneError(f"{name}: a link that leads nowhere ({error.strerror})") from error
        raise MicrotuneError(f"{name}: cannot be read: {error.strerror or error}") from error
