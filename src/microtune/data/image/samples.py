"""Samples that are pictures: image files, and pixels in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from microtune.data.arrays import Frame, array_sha256
from microtune.data.image.preprocessing import Preprocessing
from microtune.errors import MicrotuneError

if TYPE_CHECKING:
    from microtune.data.modality import Modality


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
        preprocessing = of_pictures(modality, self.name)
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
        return array_sha256("pixels", self.pixels)

    def frame(self, modality: Modality) -> Frame:
        """The frame of the picture: (int8 (H, W, C), no notes); see `Preprocessing.apply_raw`.

        Raises MicrotuneError if the network takes no pictures.
        """
        preprocessing = of_pictures(modality, self.name)
        pixels = self.pixels
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        return preprocessing.apply_raw(Image.fromarray(pixels)), ()


def of_pictures(modality: Modality, name: str) -> Preprocessing:
    """The modality of pictures. Raises MicrotuneError, naming the sample, for any other."""
    if not isinstance(modality, Preprocessing):
        raise MicrotuneError(
            f"{name}: a picture; the network takes arrays of shape {modality.frame_shape} "
            "(docs/data.md: Plain arrays)"
        )
    return modality
