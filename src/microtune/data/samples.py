"""A labelled sample, and the file or array that holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from microtune.data.arrays import Arrays
from microtune.data.modality import Modality
from microtune.data.preprocessing import Codes, Preprocessing
from microtune.errors import MicrotuneError

Frame = tuple[Codes, tuple[str, ...]]
"""int8 (H, W, C), and what there is to say of the picture (pictures.NOTES)."""


class Content(Protocol):
    """The bytes of a sample, wherever they are stored."""

    @property
    def sha256(self) -> str:
        """A hash that is equal for equal samples, wherever they are stored."""

    def frame(self, modality: Modality) -> Frame:
        """The network's input: (int8 (H, W, C), notes).

        Raises MicrotuneError that names the sample, also if the network takes another kind of data.
        """


@dataclass(frozen=True)
class Encoded:
    """The content of an image file, read when it is asked for.

    Raises MicrotuneError if the file has changed since it was opened.
    """

    read: Callable[[], bytes]
    name: str
    sha256: str

    @staticmethod
    def of(content: bytes, name: str) -> Encoded:
        """The content of an image file whose bytes are in memory."""
        return Encoded.opened(lambda: content, name)

    @staticmethod
    def opened(read: Callable[[], bytes], name: str) -> Encoded:
        """The content of a file that is read now for its hash, and later to be decoded."""
        return Encoded(read, name, hashlib.sha256(read()).hexdigest())

    def frame(self, modality: Modality) -> Frame:
        """Decode the file: (int8 (H, W, C), notes about the picture).

        Raises MicrotuneError if the file has changed or cannot be read.
        """
        preprocessing = _of_pictures(modality, self.name)
        content = self.read()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise MicrotuneError(f"{self.name}: changed while it was being read; start again")
        return preprocessing.decode_noted(content, self.name)


@dataclass(frozen=True)
class Pixels:
    """A decoded picture: uint8 or uint16 (H, W), (H, W, 3) or (H, W, 4)."""

    pixels: np.ndarray
    name: str

    @cached_property
    def sha256(self) -> str:
        """A hash of the array's shape, type and values."""
        return _sha256("pixels", self.pixels)

    def frame(self, modality: Modality) -> Frame:
        """The frame of the picture: (int8 (H, W, C), no notes); see `Preprocessing.apply_raw`.

        Raises MicrotuneError if the network takes no pictures.
        """
        preprocessing = _of_pictures(modality, self.name)
        pixels = self.pixels
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        return preprocessing.apply_raw(Image.fromarray(pixels)), ()


@dataclass(frozen=True)
class Values:
    """A sample of numbers, an array of any shape and type."""

    values: np.ndarray
    name: str

    @cached_property
    def sha256(self) -> str:
        """A hash of the array's shape, type and values."""
        return _sha256("values", self.values)

    def frame(self, modality: Modality) -> Frame:
        """The network's input: (int8 (H, W, C), notes); real values are quantised.

        Raises MicrotuneError if the network takes pictures.
        """
        if not isinstance(modality, Arrays):
            raise MicrotuneError(f"{self.name}: an array of numbers; the network takes pictures")
        return modality.codes(self.values, self.name)


def _sha256(kind: str, array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{kind} {array.dtype} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _of_pictures(modality: Modality, name: str) -> Preprocessing:
    if not isinstance(modality, Preprocessing):
        raise MicrotuneError(
            f"{name}: a picture; the network takes arrays of shape {modality.frame_shape} "
            "(docs/data.md: Plain arrays)"
        )
    return modality


@dataclass(frozen=True)
class Sample:
    """One sample; `name` is its path within the data set.

    `label` is the name of its class; empty: not known. `target` has the values that a regression
    should answer, as they are stored; None: not known.
    """

    split: str
    label: str
    name: str
    content: Content
    target: np.ndarray | None = field(default=None, compare=False)

    def read(self, modality: Modality) -> Codes:
        """The network's input, int8 (H, W, C). Raises MicrotuneError naming the sample."""
        return self.content.frame(modality)[0]


@dataclass(frozen=True)
class Source:
    """What a data set's listing says.

    All samples; the class names in label order (None: the natural order of those in train; empty:
    the samples have no classes); a hash of all content; lines about what was left out or is odd.
    """

    samples: list[Sample]
    classes: list[str] | None
    sha256: str
    notes: list[str] = field(default_factory=list)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
