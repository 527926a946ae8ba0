"""A labelled image data set with splits, a cache of decoded frames, and the order of samples."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from microtune.datasets.preprocessing import Preprocessing
from microtune.datasets.sources import Sample, Source, open_source
from microtune.errors import MicrotuneError
from microtune.ir import numerics

Progress = Callable[[int, int], None]
HOLD_OUT_FRACTION = 0.1
# Part of the cache's key: raise it when the same settings give other frames.
_CACHE_VERSION = 2
_ORDER_SITE = 0x6F726472


@dataclass(frozen=True)
class Split:
    """Frames int8 (N, H, W, C), labels int32 (N,), and the samples' names."""

    frames: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int32]
    names: list[str]

    def take(self, index: npt.NDArray[np.int64]) -> Split:
        """The samples at these positions."""
        return Split(self.frames[index], self.labels[index], [self.names[i] for i in index])


@dataclass(frozen=True)
class Dataset:
    """Lazily decoded images; `classes` in label order."""

    path: Path
    source: Source
    classes: list[str]

    def size(self, split: str) -> int:
        """Number of images of a split."""
        return sum(s.split == split for s in self.source.samples)

    def load(
        self, split: str, preprocessing: Preprocessing, on_progress: Progress | None = None
    ) -> Split:
        """Decode a split (or take it from the cache); an absent split is empty."""
        samples = [s for s in self.source.samples if s.split == split]
        labels = np.array([self.classes.index(s.label) for s in samples], np.int32)
        names = [s.name for s in samples]
        shape = (len(samples), preprocessing.height, preprocessing.width, preprocessing.channels)
        cache = self._cache(split, preprocessing)
        frames = _read_cache(cache, shape)
        if frames is None:
            frames = _decode(samples, preprocessing, shape, on_progress)
            _write_cache(cache, frames)
        return Split(frames, labels, names)

    def load_choice(
        self, preprocessing: Preprocessing, on_progress: Progress | None = None
    ) -> tuple[Split, Split]:
        """(train, val) for choices: the val split, or 10 % of train held out by name."""
        train = self.load("train", preprocessing, on_progress)
        if self.size("val"):
            return train, self.load("val", preprocessing, on_progress)
        held = hold_out(train.names)
        return train.take(np.flatnonzero(~held)), train.take(np.flatnonzero(held))

    def _cache(self, split: str, preprocessing: Preprocessing) -> Path:
        settings = json.dumps([_CACHE_VERSION, self.source.sha256, split, preprocessing.to_json()])
        key = hashlib.sha256(settings.encode()).hexdigest()[:32]
        root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return Path(root) / "microtune" / f"frames-{key}.npy"


def open_dataset(path: Path) -> Dataset:
    """Open a folder, `.tar` or `.npz`; raises MicrotuneError on a set that cannot be trained on."""
    source = open_source(path)
    train = {s.label for s in source.samples if s.split == "train"}
    if not train:
        raise MicrotuneError(f"{path}: no training images (train/CLASS/*.jpg)")
    classes = source.classes or sorted(train)
    if len(train) < 2:
        raise MicrotuneError(f"{path}: {len(train)} class in train; training needs at least 2")
    for sample in source.samples:
        if sample.label not in train:
            raise MicrotuneError(f"{path}: class {sample.label} of {sample.split} is not in train")
    return Dataset(path, source, classes)


def hold_out(names: Sequence[str], fraction: float = HOLD_OUT_FRACTION) -> npt.NDArray[np.bool_]:
    """Which samples to hold out: by the hash of the file's name, whatever the order."""
    limit = int(fraction * 2**32)
    values = [int.from_bytes(hashlib.sha256(n.encode()).digest()[:4], "big") for n in names]
    return np.array([value < limit for value in values], dtype=np.bool_)


def epoch_order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The order of an epoch's samples on every back end.

    A sort by the random words of docs/numerics.md, ties by index: no library's generator can change
    it.
    """
    key = numerics.random_key(seed, epoch, _ORDER_SITE)
    words = numerics.random_word(key, np.arange(count, dtype=np.int64))
    return np.argsort(words, kind="stable").astype(np.int64)


def _decode(
    samples: list[Sample], preprocessing: Preprocessing, shape: tuple[int, ...],
    on_progress: Progress | None,
) -> npt.NDArray[np.int8]:  # fmt: skip
    frames = np.empty(shape, np.int8)
    for i, sample in enumerate(samples):
        frames[i] = sample.read(preprocessing)
        if on_progress is not None:
            on_progress(i + 1, len(samples))
    return frames


def _read_cache(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.int8] | None:
    try:
        frames: npt.NDArray[np.int8] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile):
        return None
    if not isinstance(frames, np.ndarray):
        return None
    return frames if frames.shape == shape and frames.dtype == np.int8 else None


def _write_cache(path: Path, frames: npt.NDArray[np.int8]) -> None:
    """Best effort: a full disk only costs the decoding next time."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.save(file, frames)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
