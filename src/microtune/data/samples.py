"""A labelled picture, and where its bytes are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from microtune.data.preprocessing import Codes, Preprocessing
from microtune.errors import MicrotuneError

Frame = tuple[Codes, tuple[str, ...]]
"""int8 (H, W, C), and what there is to say of the picture (pictures.NOTES)."""


class Content(Protocol):
    """A picture's bytes; `sha256` is that of all of them."""

    @property
    def sha256(self) -> str:
        """Equal for equal pictures, whatever holds them."""

    def frame(self, preprocessing: Preprocessing) -> Frame:
        """Decode; raises MicrotuneError naming the picture."""


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

    def frame(self, preprocessing: Preprocessing) -> Frame:
        """Decode."""
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
        kind = f"pixels {self.pixels.dtype} {self.pixels.shape}".encode()
        return hashlib.sha256(kind + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()

    def frame(self, preprocessing: Preprocessing) -> Frame:
        """A picture of exactly the target size is taken as it is."""
        pixels = self.pixels
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        return preprocessing.apply_raw(Image.fromarray(pixels)), ()


@dataclass(frozen=True)
class Sample:
    """One labelled picture; `name` is its path within the data."""

    split: str
    label: str
    name: str
    content: Content

    def read(self, preprocessing: Preprocessing) -> Codes:
        """Decode it."""
        return self.content.frame(preprocessing)[0]


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
