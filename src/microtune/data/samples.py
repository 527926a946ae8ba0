"""A labelled sample, and where its bytes are."""

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
    """A sample's bytes; `sha256` is that of all of them."""

    @property
    def sha256(self) -> str:
        """Equal for equal samples, whatever holds them."""

    def frame(self, modality: Modality) -> Frame:
        """The network's input. Raises MicrotuneError that names the sample, also where the network
        takes another kind of data."""


@dataclass(frozen=True)
class Encoded:
    """An image file's bytes. They are asked for again at each use, and must not have changed."""

    read: Callable[[], bytes]
    name: str
    sha256: str

    @staticmethod
    def of(content: bytes, name: str) -> Encoded:
        """Of bytes in memory."""
        return Encoded.opened(lambda: content, name)

    @staticmethod
    def opened(read: Callable[[], bytes], name: str) -> Encoded:
        """Of bytes that are read now for their hash, and later to decode them."""
        return Encoded(read, name, hashlib.sha256(read()).hexdigest())

    def frame(self, modality: Modality) -> Frame:
        """Decode."""
        preprocessing = _of_pictures(modality, self.name)
        content = self.read()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise MicrotuneError(f"{self.name}: changed while it was being read; start again")
        return preprocessing.decode_noted(content, self.name)


@dataclass(frozen=True)
class Pixels:
    """A ready picture: uint8 or uint16 (H, W), (H, W, 3) or (H, W, 4)."""

    pixels: np.ndarray
    name: str

    @cached_property
    def sha256(self) -> str:
        """Of shape, type and values."""
        return _sha256("pixels", self.pixels)

    def frame(self, modality: Modality) -> Frame:
        """A picture of exactly the target size is taken as it is."""
        preprocessing = _of_pictures(modality, self.name)
        pixels = self.pixels
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        return preprocessing.apply_raw(Image.fromarray(pixels)), ()


@dataclass(frozen=True)
class Values:
    """A sample of numbers, of any shape and type."""

    values: np.ndarray
    name: str

    @cached_property
    def sha256(self) -> str:
        """Of shape, type and values."""
        return _sha256("values", self.values)

    def frame(self, modality: Modality) -> Frame:
        """Real values are quantised, int8 codes taken as they are."""
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
    """One labelled sample; `name` is its path within the data."""

    split: str
    label: str
    name: str
    content: Content

    def read(self, modality: Modality) -> Codes:
        """The network's input, int8 (H, W, C)."""
        return self.content.frame(modality)[0]


@dataclass(frozen=True)
class Source:
    """All samples; the class names in label order (None: natural order of those in train); a hash
    of all content; what was left out or is odd, a line each."""

    samples: list[Sample]
    classes: list[str] | None
    sha256: str
    notes: list[str] = field(default_factory=list)


def file_sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
