"""A labelled image data set with splits, a cache of decoded frames, and the order of samples."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from microtune.data.frames import Progress, frames_of
from microtune.data.listing import some
from microtune.data.modality import Modality
from microtune.data.samples import Sample, Source
from microtune.data.sources import open_source
from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.tools.cache import say_once
from microtune.tools.names import SPLITS, alike, look_alikes, natural, to_bytes

HOLD_OUT_FRACTION = 0.1
LEAST_CLASSES = 2
_ORDER_SITE = 0x6F726472


@dataclass(frozen=True)
class OwnInput:
    """That the targets of a split are its inputs; `abnormal` says which samples are anomalies, bool
    (N,), None: the data do not tell."""

    abnormal: npt.NDArray[np.bool_] | None

    def take(self, index: npt.NDArray[np.int64]) -> OwnInput:
        """The same of the samples at these positions."""
        return self if self.abnormal is None else OwnInput(self.abnormal[index])


@dataclass(frozen=True)
class Split:
    """The decoded samples of a split.

    `frames` are int8 (N, H, W, C), `labels` int32 (N,). `names` are the paths of the samples.
    `notes` has lines about odd ones. `targets` are the codes that a regression learns, int8
    (N, outputs); None for a classifier. `own_input`: they are the inputs (an auto-encoder).
    """

    frames: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int32]
    names: list[str]
    notes: tuple[str, ...] = ()
    targets: npt.NDArray[np.int8] | None = None
    own_input: OwnInput | None = None

    def take(self, index: npt.NDArray[np.int64]) -> Split:
        """The samples at these positions, in this order."""
        names = [self.names[i] for i in index]
        targets = None if self.targets is None else self.targets[index]
        own = None if self.own_input is None else self.own_input.take(index)
        return Split(self.frames[index], self.labels[index], names, self.notes, targets, own)


@dataclass(frozen=True)
class Description:
    """What a data set holds: samples per split in label order, and lines about what is odd."""

    classes: list[str]
    images: dict[str, list[int]]
    notes: list[str]


@dataclass(frozen=True)
class Dataset:
    """A labelled data set whose samples are decoded when they are asked for.

    `classes` are the names in label order: natural order (docs/data.md), or the order that an npz
    gives.
    """

    path: Path
    source: Source
    classes: list[str]

    def size(self, split: str) -> int:
        """The number of samples of a split."""
        return sum(s.split == split for s in self.source.samples)

    def describe(self, loaded: Sequence[Split] = ()) -> Description:
        """Samples per class and split, and notes.

        Notes name files that were left out, duplicates, look-alike names, and odd samples of the
        splits that were loaded.
        """
        counts = Counter((s.split, s.label) for s in self.source.samples)
        splits = [split for split in SPLITS if self.size(split)]
        images = {split: [counts[split, name] for name in self.classes] for split in splits}
        unseen = [n for n in self.classes if not counts["train", n]]
        notes = [f"no training image of {some(unseen)}"] if unseen else []
        notes += [
            f"classes {one} and {other} differ only in case or in how accents are stored"
            for one, other in look_alikes(self.classes)
        ]
        notes += [note for split in loaded for note in split.notes]
        return Description(self.classes, images, [*self.source.notes, *notes, *self._duplicates()])

    def say_notes(self, loaded: Sequence[Split] = ()) -> None:
        """Print each note of `describe` on stderr, once a process."""
        for note in self.describe(loaded).notes:
            say_once(f"{self.path}: {note}")

    def _duplicates(self) -> list[str]:
        """Notes about the same picture in train and elsewhere, or in two classes."""
        first: dict[str, Sample] = {}
        between_splits: dict[str, list[str]] = {}
        between_classes: list[str] = []
        for sample in self.source.samples:
            other = first.setdefault(sample.content.sha256, sample)
            pair = f"{other.name} = {sample.name}"
            if other.split != sample.split:
                between_splits.setdefault(f"{other.split} and {sample.split}", []).append(pair)
            if other.label != sample.label:
                between_classes.append(pair)
        notes = [
            f"{len(pairs)} picture(s) are in {both}: {some(pairs)}"
            for both, pairs in between_splits.items()
        ]
        if between_classes:
            notes.append(
                f"{len(between_classes)} picture(s) are in two classes: {some(between_classes)}"
            )
        return notes

    def load(self, split: str, modality: Modality, on_progress: Progress | None = None) -> Split:
        """Decode a split, or take it from the cache; an absent split is empty.

        Raises MicrotuneError if a sample cannot be read.
        """
        samples = [s for s in self.source.samples if s.split == split]
        places = {name: label for label, name in enumerate(self.classes)}
        labels = np.array([places[s.label] for s in samples], np.int32)
        frames, notes = frames_of(samples, modality, on_progress)
        return Split(frames, labels, [s.name for s in samples], tuple(notes))

    def load_choice(
        self, modality: Modality, on_progress: Progress | None = None
    ) -> tuple[Split, Split]:
        """(training samples, validation samples) for choices such as a learning rate.

        The validation samples are the val split, or 10 % of train, held out by name. Raises
        MicrotuneError if a sample cannot be read.
        """
        train = self.load("train", modality, on_progress)
        if self.size("val"):
            return train, self.load("val", modality, on_progress)
        held = hold_out(train.names)
        return train.take(np.flatnonzero(~held)), train.take(np.flatnonzero(held))


def open_dataset(path: Path, least: int = LEAST_CLASSES) -> Dataset:
    """Open a folder, `.tar`, `.zip` or `.npz` and read the bytes of all samples.

    `least` is how many classes a training needs: a head that has classes already may learn one.
    Raises MicrotuneError for a data set that cannot be trained on.
    """
    source = _labelled(path)
    train = {s.label for s in source.samples if s.split == "train"}
    if not train:
        said = f"; left out: {'; '.join(source.notes)}" if source.notes else ""
        raise MicrotuneError(f"{path}: no training images (train/CLASS/*.jpg){said}")
    classes = source.classes or sorted(train, key=natural)
    if len(train) < least:
        raise MicrotuneError(f"{path}: {len(train)} class in train; training needs at least 2")
    for sample in source.samples:
        if sample.label not in train:
            like = [name for name in train if alike(name) == alike(sample.label)]
            said = f"; {like[0]} is, and differs only in case or accents" if like else ""
            raise MicrotuneError(
                f"{path}: class {sample.label} of {sample.split} is not in train{said}"
            )
    return Dataset(path, source, classes)


class UnlabelledError(MicrotuneError):
    """A data set says of no sample which class it is of."""


def _labelled(path: Path) -> Source:
    source = open_source(path)
    if source.samples and source.classes == []:
        raise UnlabelledError(f"{path}: lacks ['classes', 'label'], which a classifier needs")
    return source


def open_images(path: Path) -> Dataset:
    """Open samples to be evaluated, not trained on.

    Any of the splits may be missing; the classes are those of all samples. Raises MicrotuneError if
    there are none.
    """
    source = _labelled(path)
    if not source.samples:
        said = f"; left out: {'; '.join(source.notes)}" if source.notes else ""
        raise MicrotuneError(f"{path}: no images (test/CLASS/*.jpg){said}")
    classes = source.classes or sorted({s.label for s in source.samples}, key=natural)
    return Dataset(path, source, classes)


def hold_out(names: Sequence[str], fraction: float = HOLD_OUT_FRACTION) -> npt.NDArray[np.bool_]:
    """Which samples to hold out, bool (N,): by the hash of the file's name, whatever the order."""
    limit = int(fraction * 2**32)
    values = [int.from_bytes(hashlib.sha256(to_bytes(n)).digest()[:4], "big") for n in names]
    return np.array([value < limit for value in values], dtype=np.bool_)


def epoch_order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The order of an epoch's samples: indices, int (count,), equal on every back end.

    A sort by the random words of docs/numerics.md, ties by index. It depends on no library's random
    generator.
    """
    key = numerics.random_key(seed, epoch, _ORDER_SITE)
    words = numerics.random_word(key, np.arange(count, dtype=np.int64))
    return np.argsort(words, kind="stable").astype(np.int64)
