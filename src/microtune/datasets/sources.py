"""Where images come from: a folder, a tar or an npz."""

from __future__ import annotations

import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
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
            found = [f for f in sorted(folder.iterdir()) if f.is_file() and _place(f.parts)]
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
            _check_end(archive)
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise MicrotuneError(f"{path}: not a readable tar, perhaps cut off: {error}") from error
    samples.sort(key=lambda s: (SPLITS.index(s.split), s.label, s.name))
    return Source(samples, None, _file_sha256(path))


def _check_end(archive: tarfile.TarFile) -> None:
    """A listing ends at a zero block; tarfile also stops, silently, at a damaged or cut header."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no end mark at byte {archive.offset}")


def _encoded(place: tuple[str, str], name: str, content: bytes, path: Path) -> Sample:
    return Sample(*place, name, _jpeg_reader(content, f"{path}:{name}"))


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (
        ValueError, OSError, EOFError, KeyError, TypeError, AttributeError, RuntimeError,
        MemoryError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise MicrotuneError(f"{path}: not a readable npz of plain arrays: {error}") from error


def _npz(path: Path) -> Source:
    content = _read_npz(path)
    missing = {"label", "test", "classes"} - content.keys()
    if missing or not {"jpeg", "images"} & content.keys():
        raise MicrotuneError(f"{path}: lacks {sorted(missing) or ['jpeg or images']}")
    labels, test = content["label"], content["test"]
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or content["classes"].ndim != 1:
        raise MicrotuneError(f"{path}: label and classes must be lists of numbers and of names")
    classes = [str(name) for name in content["classes"]]
    if len(set(classes)) != len(classes):
        raise MicrotuneError(f"{path}: two classes have the same name")
    if "images" in content:
        readers = _raw_readers(path, content["images"])
    else:
        readers = _encoded_readers(path, content["jpeg"], content.get("offset"))
    in_range = len(labels) == 0 or (labels.min() >= 0 and labels.max() < len(classes))
    if not in_range or test.shape != labels.shape or len(readers) != len(labels):
        raise MicrotuneError(f"{path}: labels, images and classes do not fit together")
    samples = [
        Sample("test" if in_test else "train", classes[label], f"{i:06d}", read)
        for i, (in_test, label, read) in enumerate(zip(test, labels, readers, strict=True))
    ]
    return Source(samples, classes, _file_sha256(path))


def _raw_readers(path: Path, images: np.ndarray) -> list[Callable[[Preprocessing], Codes]]:
    shaped = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    if not shaped or images.dtype != np.uint8 or 0 in images.shape[1:]:
        raise MicrotuneError(
            f"{path}: images is {images.dtype}{list(images.shape)}; it must be uint8 (N, H, W) or "
            "(N, H, W, C) with 1 or 3 channels"
        )
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    return [_raw_reader(pixels) for pixels in images]


def _encoded_readers(
    path: Path, jpeg: np.ndarray, offset: np.ndarray | None
) -> list[Callable[[Preprocessing], Codes]]:
    if offset is None or offset.ndim != 1 or offset.dtype.kind not in "iu" or not len(offset):
        raise MicrotuneError(f"{path}: offset must list where each image starts, and the end")
    places = [int(place) for place in offset]
    if jpeg.dtype != np.uint8 or jpeg.ndim != 1 or places != sorted(places):
        raise MicrotuneError(f"{path}: jpeg must be bytes, and offset must ascend")
    if places[0] < 0 or places[-1] > len(jpeg):
        raise MicrotuneError(f"{path}: offset points outside of jpeg")
    return [
        _jpeg_reader(jpeg[start:end].tobytes(), f"{path}:{i}")
        for i, (start, end) in enumerate(pairwise(places))
    ]


def _raw_reader(pixels: np.ndarray) -> Callable[[Preprocessing], Codes]:
    def read(preprocessing: Preprocessing) -> Codes:
        return preprocessing.apply_raw(Image.fromarray(pixels))

    return read


def _jpeg_reader(content: bytes, name: str) -> Callable[[Preprocessing], Codes]:
    return lambda preprocessing: preprocessing.decode(content, name)
