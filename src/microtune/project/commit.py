"""Put generated files into a folder that also holds other people's files: all of them or none.

`.microtune-manifest.json` lists what was written, with hashes: whatever is not in it, or has
changed since, is the user's and is never deleted. The new files are made in `.microtune-work/new`;
what they will replace is linked into `.microtune-work/old`; then the journal is written and every
file is moved to its place by one rename. Removing the journal is the moment from which the new
files count. A journal that is found later (the process was killed in between) is undone before
anything else. No directory is renamed, so the folder may be the current one, a mount point or
behind a symbolic link, and nothing outside of it is touched.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath

from microtune.errors import MicrotuneError

MANIFEST = ".microtune-manifest.json"
WORK = ".microtune-work"
_NEW, _OLD, _JOURNAL = f"{WORK}/new", f"{WORK}/old", f"{WORK}/journal.json"
_VERSION = 1
_WAIT_S, _POLL_S = 30.0, 0.05


@dataclass(frozen=True)
class _Step:
    """One change at `path`: a user's file is moved `aside`, or our file is written or removed.

    `new` is the hash of the file to write (None: none). `old` is that of our file that is there now
    (None: none, or it is not ours).
    """

    path: str
    new: str | None = None
    old: str | None = None
    aside: str | None = None


@dataclass
class Changes:
    """What the user should know of a commit.

    User's files that were moved aside (path, new name), deleted files that were written again, and
    files that are no longer written but stay because the user changed them.
    """

    aside: list[tuple[str, str]] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """The changes in words, one line each."""
        return [
            *(
                f"{path} is not what compile last wrote there: kept as {name}"
                for path, name in self.aside
            ),
            *(f"{path} had been deleted: written again" for path in self.restored),
            *(f"{path} is not written any more, but was changed: left there" for path in self.kept),
        ]


def commit(folder: Path, fill: Callable[[Path], None]) -> Changes:
    """Write the files that `fill` makes in an empty folder to `folder`, whole or not at all.

    Raises OSError or whatever `fill` raises, and then `folder` is as it was. Raises MicrotuneError
    if a folder stands where a file must go (or the reverse), or if another process keeps writing
    there.
    """
    made = _make(folder)
    try:
        with _locked(folder):
            undo(folder)
            try:
                return _commit(folder, fill)
            finally:
                if not (folder / _JOURNAL).exists():
                    shutil.rmtree(folder / WORK, ignore_errors=True)
    except BaseException:
        for directory in reversed(made):
            with suppress(OSError):
                directory.rmdir()
        raise


def _commit(folder: Path, fill: Callable[[Path], None]) -> Changes:
    shutil.rmtree(folder / WORK, ignore_errors=True)
    new = folder / _NEW
    new.mkdir(parents=True)
    fill(new)
    files = {p.relative_to(new).as_posix(): _sha256(p) for p in sorted(new.rglob("*"))
             if p.is_file()}  # fmt: skip
    content = {"version": _VERSION, "files": files}
    (new / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    steps, changes = _plan(folder, files, read_manifest(folder))
    made = _missing_folders(folder, steps)
    for step in steps:
        if step.old is not None:
            _link(folder / step.path, folder / _OLD / step.path)
    _write_journal(folder, steps, made)
    try:
        for directory in made:
            (folder / directory).mkdir()
        for step in steps:
            _take(folder, step)
        (folder / _JOURNAL).unlink()
    except BaseException:
        undo(folder)
        raise
    _remove_empty_folders(folder, steps)
    return changes


def _plan(folder: Path, files: dict[str, str], ours: dict[str, str]) -> tuple[list[_Step], Changes]:
    """The changes that make `folder` equal to the new files.

    Only what differs is changed. Files that we wrote and that are stale are removed, unless the
    user changed them.
    """
    steps: list[_Step] = []
    changes = Changes()
    for path, new in files.items():
        place = _place(folder, path)
        if not os.path.lexists(place):
            steps.append(_Step(path, new))
            if path in ours:
                changes.restored.append(path)
        elif _is(place, new):
            continue
        elif not place.is_symlink() and _is(place, ours.get(path)):
            steps.append(_Step(path, new, old=ours[path]))
        else:
            aside = _free(folder, path)
            steps.append(_Step(path, new, aside=aside))
            changes.aside.append((path, aside))
    for path in ours.keys() - files.keys():
        place = folder / path
        if not place.is_symlink() and _is(place, ours[path]):
            steps.append(_Step(path, old=ours[path]))
        elif os.path.lexists(place):
            changes.kept.append(path)
    place = _place(folder, MANIFEST)
    listed = _sha256(place) if place.is_file() else None
    steps.append(_Step(MANIFEST, _sha256(folder / _NEW / MANIFEST), listed))
    return steps, changes


def _place(folder: Path, path: str) -> Path:
    """The full path of `path`; raises MicrotuneError if a folder stands where a file must go, or
    the reverse."""
    for parent in PurePosixPath(path).parents[:-1]:
        place = folder / parent
        if os.path.lexists(place) and not place.is_dir():
            raise MicrotuneError(f"{place} is no folder, and compile needs one there: move it away")
    if (folder / path).is_dir():
        raise MicrotuneError(f"{folder / path} is a folder, and compile writes a file there: "
                             "move it away")  # fmt: skip
    return folder / path


def _missing_folders(folder: Path, steps: list[_Step]) -> list[str]:
    """Folders that the new files need and that do not exist, parents first."""
    needed = {
        parent.as_posix() for step in steps for parent in PurePosixPath(step.path).parents[:-1]
    }
    return sorted(path for path in needed if not (folder / path).is_dir())


def _link(place: Path, backup: Path) -> None:
    backup.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(place, backup)
    except OSError:  # a file system without links
        shutil.copy2(place, backup)


def _take(folder: Path, step: _Step) -> None:
    place = folder / step.path
    if step.aside is not None:
        place.rename(folder / step.aside)
    if step.new is not None:
        (folder / _NEW / step.path).replace(place)
    elif step.old is not None:
        place.unlink()


def undo(folder: Path) -> None:
    """Take back what an interrupted commit has done; the caller holds the lock (or `recover`).

    May itself be interrupted and called again. What the user has changed since stays.
    """
    journal = folder / _JOURNAL
    if not journal.is_file():
        return
    steps, made = _read_journal(journal)
    for step in reversed(steps):
        _take_back(folder, step)
    for directory in reversed(made):
        with suppress(OSError):
            (folder / directory).rmdir()
    journal.unlink()


def _take_back(folder: Path, step: _Step) -> None:
    place, old = folder / step.path, folder / _OLD / step.path
    moved = not (folder / _NEW / step.path).exists()
    placed = moved and step.new is not None and _is(place, step.new)
    empty = not os.path.lexists(place)
    if step.aside is not None:
        if (placed or empty) and os.path.lexists(folder / step.aside):
            (folder / step.aside).replace(place)
    elif step.old is not None:
        if (placed or empty) and old.exists():
            old.replace(place)
    elif placed:
        place.unlink()


def recover(folder: Path) -> None:
    """Undo a commit that was interrupted; waits for one that is under way."""
    if not (folder / _JOURNAL).is_file():
        return
    with _locked(folder):
        undo(folder)


def _write_journal(folder: Path, steps: list[_Step], folders: list[str]) -> None:
    content = {"steps": [asdict(step) for step in steps], "folders": folders}
    draft = folder / WORK / "draft"
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(folder / _JOURNAL)


def _read_journal(journal: Path) -> tuple[list[_Step], list[str]]:
    try:
        content = json.loads(journal.read_text(encoding="utf-8"))
        steps = [_Step(**entry) for entry in content["steps"]]
        folders = [str(entry) for entry in content["folders"]]
        paths = [p for s in steps for p in (s.path, s.aside) if p is not None]
        if not all(_is_inside(path) for path in [*paths, *folders]):
            raise ValueError("a path leads out of the folder")
        return steps, folders
    except (ValueError, KeyError, TypeError) as error:
        raise MicrotuneError(
            f"{journal}: cannot be read ({error}), so the interrupted compile cannot be undone. "
            f"Remove {journal.parent} and compile again"
        ) from error


def read_manifest(folder: Path) -> dict[str, str]:
    """Path -> hash of what `compile` wrote there last; empty if there is no readable manifest."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = content["files"] if content["version"] == _VERSION else {}
        return {str(k): str(v) for k, v in files.items() if _is_inside(str(k))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def _is(place: Path, sha256: str | None) -> bool:
    return sha256 is not None and place.is_file() and _sha256(place) == sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _free(folder: Path, path: str) -> str:
    """A name beside `path` that no file has."""
    names = (f"{path}.yours{number or ''}" for number in count())
    return next(name for name in names if not os.path.lexists(folder / name))


def _remove_empty_folders(folder: Path, steps: list[_Step]) -> None:
    """Remove folders that have lost their last file of ours."""
    for step in steps:
        if step.new is None:
            with suppress(OSError):
                for parent in PurePosixPath(step.path).parents[:-1]:
                    (folder / parent).rmdir()


def _make(folder: Path) -> list[Path]:
    """Create a folder and its parents; returns those that were missing, the outermost first."""
    if folder.is_symlink() and not folder.exists():
        raise MicrotuneError(f"{folder} is a symbolic link to {folder.readlink()}, which is "
                             "not there")  # fmt: skip
    missing: list[Path] = []
    place = folder
    while not place.exists():
        missing.insert(0, place)
        place = place.parent
    made: list[Path] = []
    try:
        for place in missing:
            place.mkdir(exist_ok=True)
            made.append(place)
    except OSError:
        for place in reversed(made):
            place.rmdir()
        raise
    return made


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A context that only one process enters at a time; the lock ends with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + _WAIT_S
        while not _lock(handle):
            if time.monotonic() > end:
                raise MicrotuneError(f"{folder}: another microtune is writing there; try again "
                                     "when it has ended")  # fmt: skip
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
