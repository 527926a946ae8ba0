"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from pathlib import Path

from microtune.errors import MicrotuneError


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all; missing folders are made.

    A symbolic link stays one: the file that it points to is replaced. What is no regular file, such
    as a pipe or /dev/stdout, is written to as it is. Raises MicrotuneError if it cannot be written.
    """
    try:
        place = path.resolve() if path.is_symlink() else path
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        _replace(place, content)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise MicrotuneError(f"cannot write {path}: {reason}") from error


def check_place(path: Path) -> None:
    """Raise MicrotuneError if `write_whole` could not write to `path`; nothing is changed."""
    try:
        if path.is_dir():
            raise MicrotuneError(f"cannot write {path}: it is a folder")
        if path.exists() and not path.is_file():
            return
        place = path.resolve() if path.is_symlink() else path
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".microtune-"):
            pass
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise MicrotuneError(f"cannot write {path}: {reason}") from error


def _replace(place: Path, content: bytes) -> None:
    # Not the file's own name with something added: that may be too long.
    temporary = place.with_name(f".microtune-{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        if place.exists():
            temporary.chmod(place.stat().st_mode & 0o7777)
        temporary.replace(place)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
