"""Fashion-MNIST from Debian's package `dataset-fashion-mnist`, split by class.

Pre-training sees shoes, trousers and bags; the device learns to tell tops apart. Images are uint8
(N, 28, 28); the network's input code is pixel - 128 and its real value code / 128.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SOURCE = Path("/usr/share/datasets/fashion-mnist")
NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
PRETRAIN_CLASSES = ("Trouser", "Sandal", "Sneaker", "Bag", "Ankle boot")
DEVICE_CLASSES = ("T-shirt/top", "Pullover", "Dress", "Coat", "Shirt")
TRAIN_PER_CLASS = 200
TEST_PER_CLASS = 120

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Images uint8 (N, 28, 28) and labels (N,), numbered in the order of the chosen classes."""

    images: Bytes
    labels: Labels


def read_idx(path: Path) -> Bytes:
    """An IDX file of unsigned bytes: magic, big-endian sizes, data."""
    with gzip.open(path) as stream:
        raw = stream.read()
    shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def load_split(split: str, classes: tuple[str, ...], source: Path = SOURCE) -> Samples:
    """All samples of `classes`; split is "train" (6,000 a class) or "t10k" (1,000 a class)."""
    images = read_idx(source / f"{split}-images-idx3-ubyte.gz")
    original = read_idx(source / f"{split}-labels-idx1-ubyte.gz")
    numbers = np.full(len(NAMES), -1, np.int64)
    for label, name in enumerate(classes):
        numbers[NAMES.index(name)] = label
    labels = numbers[original]
    return Samples(images[labels >= 0], labels[labels >= 0])


def first_per_class(samples: Samples, count: int) -> npt.NDArray[np.bool_]:
    """Which samples are among the first `count` of their class, in the order of the file."""
    chosen = np.zeros(len(samples.labels), np.bool_)
    for label in np.unique(samples.labels):
        chosen[np.flatnonzero(samples.labels == label)[:count]] = True
    return chosen


def write_device_set(path: Path, source: Path = SOURCE) -> None:
    """The shipped data set: train images from the train file, test images from the test file."""
    train, test = (load_split(split, DEVICE_CLASSES, source) for split in ("train", "t10k"))
    use_train = first_per_class(train, TRAIN_PER_CLASS)
    use_test = first_per_class(test, TEST_PER_CLASS)
    np.savez_compressed(
        path,
        images=np.concatenate([train.images[use_train], test.images[use_test]]),
        label=np.concatenate([train.labels[use_train], test.labels[use_test]]),
        test=np.repeat([False, True], [use_train.sum(), use_test.sum()]),
        classes=np.array(DEVICE_CLASSES),
    )


def probe_sets(source: Path = SOURCE) -> tuple[Samples, Samples]:
    """(train, test) of the device classes without a shipped image: to choose the pre-training."""
    samples = load_split("train", DEVICE_CLASSES, source)
    fit = first_per_class(samples, 2 * TRAIN_PER_CLASS)
    shipped = first_per_class(samples, TRAIN_PER_CLASS)
    judge = first_per_class(samples, 2 * TRAIN_PER_CLASS + 1000) & ~fit
    fit &= ~shipped
    return (
        Samples(samples.images[fit], samples.labels[fit]),
        Samples(samples.images[judge], samples.labels[judge]),
    )
