"""The files of a tar or zip, in memory; nothing is unpacked to disk."""

from __future__ import annotations

import lzma
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from microtune.data.image.formats import suffixes
from microtune.data.listing import File, LeftOut, Parts, some
from microtune.errors import MicrotuneError
from microtune.tools.names import is_hidden, printable

# Pictures are compressed already: an archive that grows by more is a bomb.
_GROWTH, _FLOOR = 100, 1 << 30
_HOPS = 8
_ERRORS = (
    tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError,
    NotImplementedError, zlib.error, lzma.LZMAError, OverflowError,
)  # fmt: skip


@dataclass
class ArchiveTree:
    """A `Tree` of an archive's members."""

    contents: dict[Parts, bytes] = field(default_factory=dict)
    """Of pictures and of files without a suffix; empty for what is no picture by its name."""
    children: dict[Parts, set[str]] = field(default_factory=dict)
    links: list[tuple[Parts, str]] = field(default_factory=list)
    special: list[Parts] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    def add_folder(self, parts: Parts) -> None:
        """Add a folder and all folders above it."""
        for depth in range(len(parts)):
            self.children.setdefault(parts[:depth], set()).add(parts[depth])
        self.children.setdefault(parts, set())

    def add(self, parts: Parts, content: bytes) -> None:
        """Add a file; a later file of the same name replaces it, as when the archive is
        unpacked."""
        if parts in self.contents:
            self.twice.append("/".join(parts))
        self.add_folder(parts[:-1])
        self.contents[parts] = content

    def resolve_links(self) -> None:
        """Replace links to files of the archive by these files; leave other links out."""
        targets = {parts: tuple(_parts(target)) for parts, target in self.links}
        for parts, first in targets.items():
            target = first
            for _ in range(_HOPS):
                target = targets.get(target, target)
            if target in self.contents:
                self.add(parts, self.contents[target])
            else:
                self.special.append(parts)

    def folders(self, parts: Parts) -> list[str]:
        """The names of the folders directly in a folder."""
        return sorted(self.children.get(parts, ()))

    def loose(self, parts: Parts) -> list[str]:
        """The names of the files directly in a folder."""
        return sorted(name[-1] for name in self.contents if name[:-1] == parts)

    def files(self, parts: Parts, left_out: LeftOut) -> Iterator[File]:
        """All files below a folder that are not hidden."""
        below = len(parts)
        for name in self.special:
            if name[:below] == parts:
                left_out.add("link(s) out of the archive, pipe(s) or device(s)", "/".join(name))
        for name, content in self.contents.items():
            if name[:below] != parts:
                continue
            if any(is_hidden(part) for part in name[below:]):
                left_out.add("hidden or of the system", "/".join(name))
            else:
                yield _file(name, content)

    def notes(self) -> list[str]:
        """Lines about what is odd in the archive."""
        if not self.twice:
            return []
        return [f"{len(self.twice)} name(s) are there twice, the last is read: {some(self.twice)}"]


def _file(parts: Parts, content: bytes) -> File:
    return File(parts, lambda: content[:16], lambda: content)


def _parts(name: str) -> Iterator[str]:
    return (part for part in posixpath.normpath(name).split("/") if part not in ("", ".", ".."))


def _matters(parts: Parts) -> bool:
    suffix = posixpath.splitext(parts[-1])[1].lower()
    return not any(map(is_hidden, parts)) and (not suffix or suffix in suffixes())


class _UnpackedBytes:
    """Counts unpacked bytes; raises MicrotuneError beyond the limit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = self._limit = max(_FLOOR, _GROWTH * path.stat().st_size)

    def take(self, count: int) -> None:
        """Count bytes before they are unpacked."""
        self._left -= count
        if self._left < 0:
            raise MicrotuneError(
                f"{self._path}: its pictures unpack to more than {self._limit:,} bytes, "
                "far more than pictures do; if that is right, unpack it and give the folder"
            )


def check_unpacked_size(path: Path) -> None:
    """Raise MicrotuneError if a zip or npz would unpack to more than memory allows.

    The size is read from the archive's listing; a file of another kind passes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _UnpackedBytes(path).take(sum(member.file_size for member in archive.infolist()))
    except _ERRORS:
        return


def read_tar(path: Path) -> ArchiveTree:
    """All members of a tar, also of a compressed one. Raises MicrotuneError if it is damaged."""
    tree, room = ArchiveTree(), _UnpackedBytes(path)
    try:
        with tarfile.open(path, encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                _add_member(tree, archive, member, room, path)
            _check_end(archive)
    except _ERRORS as error:
        # tarfile adds what every method of compression says, a line each.
        why = str(error).splitlines()[:1] or [type(error).__name__]
        raise MicrotuneError(
            f"{path}: not a readable tar (plain, gzip, bzip2 or xz), perhaps cut off: {why[0]}"
        ) from error
    tree.resolve_links()
    return tree


def _add_member(
    tree: ArchiveTree,
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    room: _UnpackedBytes,
    path: Path,
) -> None:
    parts = tuple(_parts(member.name))
    if member.isdir():
        tree.add_folder(parts)
    elif not parts:
        return
    elif member.islnk():
        tree.links.append((parts, member.linkname))
    elif member.issym():
        tree.links.append((parts, posixpath.join(*parts[:-1], member.linkname)))
    elif not member.isfile():
        tree.special.append(parts)
    elif not _matters(parts):
        tree.add(parts, b"")
    else:
        room.take(member.size)
        stream = archive.extractfile(member)
        content = stream.read() if stream else b""
        if len(content) != member.size:
            raise MicrotuneError(f"{path}: cut off in {printable(member.name)}")
        tree.add(parts, content)


def _check_end(archive: tarfile.TarFile) -> None:
    """Raise MicrotuneError unless the listing ends at a block of zeros.

    tarfile also stops, silently, at a damaged or cut header.
    """
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no end mark at byte {archive.offset}")


def read_zip(path: Path) -> ArchiveTree:
    """All members of a zip. Raises MicrotuneError if it is damaged or encrypted."""
    tree, room = ArchiveTree(), _UnpackedBytes(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                parts = tuple(_parts(_zip_name(member)))
                if member.is_dir():
                    tree.add_folder(parts)
                elif parts and not _matters(parts):
                    tree.add(parts, b"")
                elif parts:
                    tree.add(parts, _zip_content(path, archive, member, room))
    except _ERRORS as error:
        raise MicrotuneError(f"{path}: not a readable zip, perhaps cut off: {error}") from error
    return tree


def _zip_name(member: zipfile.ZipInfo) -> str:
    """The name of a member.

    Without the UTF-8 flag it is in code page 437 or, from many tools, in UTF-8 as well.
    """
    name = member.filename
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return name.replace("\\", "/") if member.create_system == 0 else name


def _zip_content(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, room: _UnpackedBytes
) -> bytes:
    name = printable(member.filename)
    if member.flag_bits & 1:
        raise MicrotuneError(f"{path}: {name} is encrypted; unpack it with its password first")
    room.take(member.file_size)
    try:
        return archive.read(member)
    except _ERRORS as error:
        raise MicrotuneError(f"{path}: {name} is damaged: {error}") from error
