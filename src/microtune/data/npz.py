"""Images or plain arrays in one npz, with labels and class names or with targets."""

from __future__ import annotations

import zipfile
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np

from microtune.data.archives import check_unpacked_size
from microtune.data.image.samples import Encoded, Pixels
from microtune.data.samples import Content, Sample, Source, Values, file_sha256
from microtune.errors import MicrotuneError
from microtune.tools.names import from_bytes, natural, printable

_KNOWN = {"label", "test", "classes", "jpeg", "offset", "images", "x", "target"}
_LABELS = ("label", "classes")
_SAMPLES = ("images", "x", "jpeg")


def read_npz(path: Path) -> Source:
    """The samples: `test`; `images`, `x` or `jpeg`; `label` with `classes`, `target`, both or
    none of them (docs/data.md).

    Raises MicrotuneError.
    """
    content = _arrays(path)
    labelled = bool(content.keys() & {"label", "classes"})
    missing = {"test", *(_LABELS if labelled else ())} - content.keys()
    if missing or not content.keys() & set(_SAMPLES):
        raise MicrotuneError(f"{path}: lacks {sorted(missing) or ['images, x or jpeg']}")
    images, test = _samples(path, content), content["test"]
    classes, labels = _labels(path, content) if labelled else ([], [""] * len(images))
    if test.shape != (len(images),) or len(images) != len(labels):
        raise MicrotuneError(f"{path}: labels, images and classes do not fit together")
    if not np.isin(test, (0, 1)).all():
        raise MicrotuneError(f"{path}: test must hold true or false for every image")
    samples = [
        Sample("test" if in_test else "train", label, f"{i:06d}", image, target)
        for i, (in_test, label, image, target) in enumerate(
            zip(test, labels, images, _targets(path, content, len(images)), strict=True)
        )
    ]
    notes = [
        f"array {printable(name)}{list(array.shape)} is not read"
        for name, array in content.items() if name not in _KNOWN
    ]  # fmt: skip
    there = [name for name in _SAMPLES if name in content]
    notes += [f"both {there[0]} and {name} are there: {there[0]} is read" for name in there[1:]]
    return Source(samples, classes, file_sha256(path), sorted(notes, key=natural))


def _labels(path: Path, content: dict[str, np.ndarray]) -> tuple[list[str], list[str]]:
    """(class names in label order, the name of each sample's class)."""
    labels = content["label"]
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or content["classes"].ndim != 1:
        raise MicrotuneError(f"{path}: label and classes must be lists of numbers and of names")
    classes = _names(path, content["classes"])
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
        raise MicrotuneError(f"{path}: labels, images and classes do not fit together")
    return classes, [classes[label] for label in labels]


def _targets(path: Path, content: dict[str, np.ndarray], samples: int) -> list[np.ndarray | None]:
    """The target of each sample, of any shape; None where the file has none."""
    if "target" not in content:
        return [None] * samples
    target = content["target"]
    if target.ndim == 0 or len(target) != samples:
        raise MicrotuneError(
            f"{path}: target is {target.dtype}{list(target.shape)}; it must have a row for each of "
            f"the {samples} samples"
        )
    return [np.asarray(row) for row in target]


def _samples(path: Path, content: dict[str, np.ndarray]) -> list[Content]:
    if "images" in content:
        return _raw(path, content["images"])
    if "x" in content:
        return _plain(path, content["x"])
    return _encoded(path, content["jpeg"], content.get("offset"))


def _plain(path: Path, x: np.ndarray) -> list[Content]:
    if x.ndim < 2 or (x.dtype.kind != "f" and x.dtype != np.int8) or 0 in x.shape[1:]:
        raise MicrotuneError(
            f"{path}: x is {x.dtype}{list(x.shape)}; it must be int8 (codes) or floating-point "
            "(real values) (N, ...), one sample after the other"
        )
    return [Values(sample, f"{path}:{i}") for i, sample in enumerate(x)]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    check_unpacked_size(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (
        ValueError, OSError, EOFError, KeyError, TypeError, AttributeError, RuntimeError,
        MemoryError, NotImplementedError, OverflowError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise MicrotuneError(f"{path}: not a readable npz of plain arrays: {error}") from error


def _names(path: Path, array: np.ndarray) -> list[str]:
    if array.dtype.kind not in "USiu" and len(array):
        raise MicrotuneError(f"{path}: classes must be names, it is {array.dtype}")
    names = [printable(from_bytes(n) if isinstance(n, bytes) else str(n)) for n in array.tolist()]
    if len(set(names)) != len(names):
        raise MicrotuneError(f"{path}: two classes have the same name")
    return names


def _raw(path: Path, images: np.ndarray) -> list[Content]:
    shaped = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3, 4))
    if not shaped or images.dtype not in (np.uint8, np.uint16) or 0 in images.shape[1:]:
        advice = "; multiply by 255 and store .astype(numpy.uint8)" * (images.dtype.kind == "f")
        raise MicrotuneError(
            f"{path}: images is {images.dtype}{list(images.shape)}; it must be uint8 (or uint16) "
            f"(N, H, W) or (N, H, W, C) with 1, 3 or 4 channels{advice}"
        )
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    return [Pixels(pixels, f"{path}:{i}") for i, pixels in enumerate(images)]


def _encoded(path: Path, jpeg: np.ndarray, offset: np.ndarray | None) -> list[Content]:
    if offset is None or offset.ndim != 1 or offset.dtype.kind not in "iu" or not len(offset):
        raise MicrotuneError(f"{path}: offset must list where each image starts, and the end")
    places = [int(place) for place in offset]
    if jpeg.dtype != np.uint8 or jpeg.ndim != 1 or places != sorted(places):
        raise MicrotuneError(f"{path}: jpeg must be bytes, and offset must ascend")
    if places[0] < 0 or places[-1] > len(jpeg):
        raise MicrotuneError(f"{path}: offset points outside of jpeg")
    return [
        Encoded.of(jpeg[start:end].tobytes(), f"{path}:{i}")
        for i, (start, end) in enumerate(pairwise(places))
    ]
