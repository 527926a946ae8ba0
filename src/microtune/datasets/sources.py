"""Where images come from: a folder, a tar or an npz."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from microtune.datasets.preprocessing import Codes, Preprocessing
from microtune.errors import MicrotuneError

SPLITS = ("train", "val", "test")
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}


@dataclass(frozen=True)
class Sample:
    """One labelled image; `read` decodes it."""

    split: str
    label: str
    name: str
    read: Callable[[Preprocessing], Codes]


@dataclass(frozen=True)
class Source:
    """All samples, the class names in label order (None: sorted names), and a content hash."""

    samples: list[Sample]
    classes: list[str] | None
    sha256: str


def open_source(path: Path) -> Source:
    """Read the listing of a folder, `.tar` or `.npz`."""
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise MicrotuneError(f"{path}: no such data folder or file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".npz"]:
        return _npz(path)
    if ".tar" in suffixes or suffixes[-1:] == [".tgz"]:
        return _tar(path)
    raise MicrotuneError(f"{path}: data must be a folder, a .tar or an .npz")


def _place(parts: tuple[str, ...]) -> tuple[str, str] | None:
    """(split, class) of SPLIT/CLASS/NAME.jpg, or None for anything else."""
    if len(parts) < 3 or parts[-3] not in SPLITS:
        return None
    if PurePosixPath(parts[-1]).suffix.lower() not in SUFFIXES or parts[-1].startswith("."):
        return None
    return parts[-3], parts[-2]


def _folder(path: Path) -> Source:
    samples: list[Sample] = []
    digest = hashlib.sha256()
    for split in SPLITS:
        for folder in sorted(p for p in (path / split).glob("*") if p.is_dir()):
            found = [f for f in sorted(folder.iterdir()) if _place(f.parts)]
            if not found:
                raise MicrotuneError(f"{folder}: the class has no images ({sorted(SUFFIXES)})")
            for file in found:
                state = file.stat()
                name = file.relative_to(path).as_posix()
                digest.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
                samples.append(Sample(split, folder.name, name, _file_reader(file)))
    return Source(samples, None, digest.hexdigest())


def _file_reader(file: Path) -> Callable[[Preprocessing], Codes]:
    def read(preprocessing: Preprocessing) -> Codes:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise MicrotuneError(f"{file}: cannot be read: {error}") from error
        return preprocessing.decode(content, str(file))

    return read


def _tar(path: Path) -> Source:
    samples: list[Sample] = []
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                place = _place(PurePosixPath(member.name).parts)
                if not member.isfile() or place is None:
                    continue
                stream = archive.extractfile(member)
                content = stream.read() if stream else b""
                if len(content) != member.size:
                    raise MicrotuneError(f"{path}: cut off in {member.name}")
                samples.append(_encoded(place, member.name, content, path))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise MicrotuneError(f"{path}: not a readable tar, perhaps cut off: {error}") from error
    samples.sort(key=lambda s: (SPLITS.index(s.split), s.label, s.name))
    return Source(samples, None, _file_sha256(path))


def _encoded(place: tuple[str, str], name: str, content: bytes, path: Path) -> Sample:
    return Sample(*place, name, _jpeg_reader(content, f"{path}:{name}"))


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _npz(path: Path) -> Source:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise MicrotuneError(f"{path}: not a readable npz of plain arrays: {error}") from error
    missing = {"label", "test", "classes"} - content.keys()
    if missing or not {"jpeg", "images"} & content.keys():
        raise MicrotuneError(f"{path}: lacks {sorted(missing) or ['jpeg or images']}")
    classes = [str(name) for name in content["classes"]]
    labels, test = content["label"].astype(np.int64), content["test"].astype(bool)
    count = len(labels)
    raw, offset = content.get("images"), content.get("offset")
    entries = len(raw) if raw is not None else len(offset) - 1 if offset is not None else -1
    in_range = count == 0 or (labels.min() >= 0 and labels.max() < len(classes))
    if not in_range or not entries == len(test) == count:
        raise MicrotuneError(f"{path}: labels, images and classes do not fit together")
    samples = []
    for i in range(count):
        split, name = ("test" if test[i] else "train"), f"{i:06d}"
        if raw is not None:
            read = _raw_reader(raw[i])
        else:
            start, end = content["offset"][i : i + 2]
            read = _jpeg_reader(content["jpeg"][start:end].tobytes(), f"{path}:{i}")
        samples.append(Sample(split, classes[labels[i]], name, read))
    return Source(samples, classes, _file_sha256(path))


def _raw_reader(pixels: np.ndarray) -> Callable[[Preprocessing], Codes]:
    def read(preprocessing: Preprocessing) -> Codes:
        return preprocessing.apply(Image.fromarray(pixels.squeeze()))

    return read


def _jpeg_reader(content: bytes, name: str) -> Callable[[Preprocessing], Codes]:
    return lambda preprocessing: preprocessing.decode(content, name)
