"""The cache on disk: its folder, its size limit, and arrays that are stored with a hash of
themselves.

`MICROTUNE_CACHE` names the folder (else `$XDG_CACHE_HOME/microtune`, else `~/.cache/microtune`),
`MICROTUNE_CACHE_LIMIT` the size ("500MB", "2GB"; "0" keeps nothing).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.errors import MicrotuneError, warn

FOLDER, LIMIT = "MICROTUNE_CACHE", "MICROTUNE_CACHE_LIMIT"
DEFAULT_LIMIT = 2_000_000_000
SEARCH = "search"
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_DIGEST_BYTES, _LENGTH_BYTES = 32, 4
STAGING = ".writing-"
"""How the names of unfinished files and folders begin."""
_DAY = 24 * 60 * 60
# Not removed to make room: results of hours, and small.
_KEPT_SUFFIXES = (".sqlite", ".sqlite-wal", ".sqlite-shm")
_log = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """The folder of the cache, which need not exist; None if the user has no home directory."""
    if own := os.environ.get(FOLDER):
        return Path(own)
    if root := os.environ.get("XDG_CACHE_HOME"):
        return Path(root) / "microtune"
    if os.environ.get("HOME") == "":  # to Python that is the root folder
        return None
    try:
        return Path.home() / ".cache" / "microtune"
    except RuntimeError:
        return None


def required_cache_folder() -> Path:
    """The folder of the cache. Raises MicrotuneError if the user has no home directory."""
    folder = cache_folder()
    if folder is None:
        raise MicrotuneError(f"there is no home folder for the cache; set {FOLDER} to a folder")
    return folder


def cache_limit() -> int:
    """The largest size of the cache in bytes. Raises MicrotuneError if the setting is no size."""
    text = os.environ.get(LIMIT, "").strip()
    if not text:
        return DEFAULT_LIMIT
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", text.upper())
    if found is None:
        raise MicrotuneError(f"{LIMIT}={text} is no size; write for instance 500MB or 2GB")
    unit = found.group(2)
    return int(float(found.group(1)) * _UNITS[unit if unit in _UNITS else f"{unit}B"])


@dataclass(frozen=True)
class Entry:
    """A file or folder of the cache: its size in bytes, and the time of its last use in seconds."""

    path: Path
    bytes: int
    used: float

    @property
    def kind(self) -> str:
        """What the entry holds, in words: "decoded pictures", "latents" and so on."""
        return _kind(self.path) or ""


# By name: what else lies in the folder is not ours, and never removed.
_KINDS = {
    r"frames-[0-9a-f]{32}\.(bin|npy)": "decoded pictures",
    r"insncount-[0-9a-f]{16}\.so": "the emulator's counter",
    r"search\.sqlite(-wal|-shm)?": "search results",
    r"compiled-[0-9a-f]{24}": "compiled projects",
    r"(device-)?latents-[0-9a-f]{24}\.(bin|npy)": "latents",
    r"runtime-[0-9a-f]{24}|[0-9a-f]{32}": "compiled C",
    r"\.(writing|compiling)-.*": "unfinished",
}


def _kind(path: Path) -> str | None:
    """What a file or folder of the cache holds, in words; None if this program did not write it."""
    kinds = (kind for name, kind in _KINDS.items() if re.fullmatch(name, path.name))
    return next(kinds, None)


def entries() -> list[Entry]:
    """All entries of the cache, the least recently used first."""
    folder = cache_folder()
    if folder is None:
        return []
    found = []
    for path in [*_children(folder), *_children(folder / SEARCH)]:
        with suppress(OSError):  # another process has removed it
            if _kind(path) is not None:
                found.append(Entry(path, _size(path), path.lstat().st_mtime))
    return sorted(found, key=lambda entry: (entry.used, entry.path))


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _size(path: Path) -> int:
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    total = 0
    for below in path.rglob("*"):
        with suppress(OSError):
            total += below.lstat().st_size
    return total


def clear() -> int:
    """Remove all entries and return their bytes. Raises MicrotuneError if one cannot be removed."""
    removed, stay = 0, []
    for entry in entries():
        _remove(entry.path)
        if entry.path.exists():
            stay.append(str(entry.path))
        else:
            removed += entry.bytes
    if stay:
        raise MicrotuneError(f"the cache cannot be cleared, this stays: {', '.join(stay[:3])}")
    return removed


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def make_room(needed: int) -> bool:
    """Remove the least recently used entries until `needed` bytes fit; whether they fit now.

    Compiled projects and latents of the last day stay: another process may be about to open them.
    """
    limit = cache_limit()
    if needed > limit:
        return False
    there = entries()
    excess = sum(entry.bytes for entry in there) + needed - limit
    now = time.time()
    for entry in there:
        staging = entry.path.name.startswith(STAGING)
        if staging and now - entry.used > _DAY:
            _remove(entry.path)
        if excess <= 0:
            continue
        single = entry.path.name.startswith("frames-")
        if not entry.path.name.endswith(_KEPT_SUFFIXES) and (single or now - entry.used > _DAY):
            _remove(entry.path)
            excess -= entry.bytes
    return True


def touch(path: Path) -> None:
    """Record that the entry is used now."""
    with suppress(OSError):
        os.utime(path)


def keep_array(path: Path, array: npt.NDArray[Any], meta: dict[str, Any] | None = None) -> None:
    """Write an array by `write_array` if the limit and the disk allow it.

    If the array is not kept, a line on stderr says so; it will be made again next time.
    """
    folder = cache_folder()
    inside = folder is not None and path.is_relative_to(folder)
    if inside and not make_room(array.nbytes):
        if cache_limit():
            say_once(
                f"{array.nbytes:,} bytes are not kept, the cache's limit is "
                f"{cache_limit():,} bytes (docs/data.md)"
            )
        return
    try:
        write_array(path, array, meta)
    except OSError as error:
        say_once(f"nothing is kept in {path.parent}: {error.strerror or error}")


def write_array(path: Path, array: npt.NDArray[Any], meta: dict[str, Any] | None = None) -> None:
    """Write an array and its metadata with a hash of both, whole or not at all. Raises OSError."""
    text = json.dumps(meta or {}).encode()
    temporary = path.with_name(f"{STAGING}{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(_digest(path.name, array, text))
            file.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
            np.save(file, array, allow_pickle=False)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def read_array(path: Path) -> tuple[npt.NDArray[Any], dict[str, Any]] | None:
    """The array and metadata that `write_array` wrote at this path.

    None if there is no file, or if its hash does not match, which is said on stderr.
    """
    try:
        with path.open("rb") as file:
            digest = file.read(_DIGEST_BYTES)
            text = file.read(int.from_bytes(file.read(_LENGTH_BYTES), "little"))
            array = np.load(file, allow_pickle=False)
        if isinstance(array, np.ndarray) and digest == _digest(path.name, array, text):
            touch(path)
            return array, json.loads(text)
    except OSError:
        return None
    except Exception as error:  # whatever damaged bytes do to a reader, they are not believed
        _log.debug("%s: %s", path, error)
    say_once(f"the cache file {path} is damaged; it is made anew")
    return None


def _digest(name: str, array: npt.NDArray[Any], text: bytes) -> bytes:
    content = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{name} {content.dtype.str} {content.shape} ".encode() + text)
    digest.update(content.data)
    return digest.digest()


@cache
def say_once(text: str) -> None:
    """Warn of something (MicrotuneWarning), at most once in a process."""
    warn(text)
