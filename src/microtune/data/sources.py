"""Open the source of images: a folder, a tar, a zip or an npz."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from microtune.data.archives import ArchiveTree, read_tar, read_zip
from microtune.data.folder import FolderTree
from microtune.data.image.samples import Encoded
from microtune.data.listing import FoundPicture, LeftOut, Tree, find_pictures
from microtune.data.npz import read_npz
from microtune.data.samples import Sample, Source, file_sha256
from microtune.errors import MicrotuneError
from microtune.tools.names import printable, to_bytes

_TAR_SUFFIXES = (".tgz", ".tbz", ".tbz2", ".txz")


def open_source(path: Path) -> Source:
    """Read the listing and the hashes of a folder, `.tar` (also compressed), `.zip` or `.npz`."""
    if path.is_dir():
        samples, notes = _samples(FolderTree(path), str(path), f"{path}/")
        return Source(samples, None, _content_sha256(samples), notes)
    if not path.is_file():
        raise MicrotuneError(f"{path}: no such data folder or file")
    try:
        return _file(path)
    except OSError as error:
        raise MicrotuneError(f"{path}: cannot be read: {error.strerror or error}") from error


def _file(path: Path) -> Source:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = suffixes[-1] if suffixes else ""
    if last == ".npz":
        return read_npz(path)
    if ".tar" in suffixes or last in _TAR_SUFFIXES:
        return _archive(path, read_tar)
    if last == ".zip":
        return _archive(path, read_zip)
    raise MicrotuneError(f"{path}: data must be a folder, a .tar, a .zip or an .npz")


def _archive(path: Path, read: Callable[[Path], ArchiveTree]) -> Source:
    tree = read(path)
    samples, notes = _samples(tree, str(path), f"{path}:")
    return Source(samples, None, file_sha256(path), [*notes, *tree.notes()])


def _samples(tree: Tree, where: str, before: str) -> tuple[list[Sample], list[str]]:
    left_out = LeftOut()
    found = find_pictures(tree, where, left_out)
    return [_sample(item, before) for item in found], left_out.notes()


def _sample(found: FoundPicture, before: str) -> Sample:
    name = found.file.name
    content = Encoded.opened(found.file.content, f"{before}{printable(name)}")
    return Sample(found.split, printable(found.label), _utf8(name), content)


def _utf8(name: str) -> str:
    """The name if it is UTF-8, else a form that every file and terminal accepts."""
    return name if to_bytes(name) == name.encode("utf-8", "replace") else printable(name)


def _content_sha256(samples: list[Sample]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(f"{sample.name}\0{sample.content.sha256}\n".encode())
    return digest.hexdigest()
