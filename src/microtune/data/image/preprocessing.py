"""Preprocessing of images to int8 codes: resize, crop, pixel - 128; the same everywhere."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from microtune.data.arrays import Codes
from microtune.data.image.colours import shown
from microtune.data.image.pictures import PLAIN_PIXELS, read_picture
from microtune.errors import MicrotuneError


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes an int8 frame.

    The shorter side is scaled to size/resize_ratio (Pillow bilinear), the centre is cropped, and
    the codes are pixel - 128. `channels` is 3 (RGB) or 1 (grey). With a ratio of 1 an image of the
    target size is neither resized nor cropped.
    """

    height: int
    width: int
    channels: int
    resize_ratio: float = 0.875

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the int8 input."""
        return self.height, self.width, self.channels

    @property
    def noun(self) -> str:
        """What one sample is called in messages."""
        return "picture"

    def to_json(self) -> dict[str, Any]:
        """The settings as model files and plan.json store them."""
        return asdict(self)

    @staticmethod
    def from_json(content: dict[str, Any]) -> Preprocessing:
        """The settings that `to_json` wrote.

        Raises MicrotuneError if a value is missing or wrong.
        """
        try:
            result = Preprocessing(
                int(content["height"]), int(content["width"]), int(content["channels"]),
                float(content["resize_ratio"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise MicrotuneError(f"the model's preprocessing is incomplete: {error}") from error
        if min(result.height, result.width) < 1 or result.channels not in (1, 3):
            raise MicrotuneError(f"preprocessing {content} makes no image")
        if not (math.isfinite(result.resize_ratio) and 0 < result.resize_ratio <= 1):
            raise MicrotuneError(f"preprocessing {content}: resize_ratio must be in (0, 1]")
        return result

    def apply(self, image: Image.Image) -> Codes:
        """The frame of an image, int8 (height, width, channels)."""
        return self._codes(self._resize_and_crop(self._coloured(image)))

    def apply_raw(self, image: Image.Image) -> Codes:
        """As `apply`, but an image of exactly the target size is taken as it is.

        For data sets of ready-made frames, where a resize would only blur and cut.
        """
        if image.size != (self.width, self.height):
            return self.apply(image)
        return self._codes(self._coloured(image))

    def _coloured(self, image: Image.Image) -> Image.Image:
        return shown(image, "L" if self.channels == 1 else "RGB", [])

    def _codes(self, image: Image.Image) -> Codes:
        pixels = np.asarray(image, dtype=np.int16).reshape(self.height, self.width, self.channels)
        return (pixels - 128).astype(np.int8)

    def placement(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where an image of this size ends up: (scaled width and height), (left, top) of the crop.

        All in pixels.
        """
        scale = max(
            self.width / self.resize_ratio / width, self.height / self.resize_ratio / height
        )
        size = (max(round(width * scale), self.width), max(round(height * scale), self.height))
        return size, ((size[0] - self.width) // 2, (size[1] - self.height) // 2)

    def _resize_and_crop(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        size, (left, top) = self.placement(width, height)
        if size[0] * size[1] > PLAIN_PIXELS:
            raise _TooNarrowError(
                f"{width} x {height} pixels are too narrow: with a shorter side of {min(size)} it "
                f"would have {size[0] * size[1]:,} pixels; cut the picture first"
            )
        image = image.resize(size, Image.Resampling.BILINEAR)
        return image.crop((left, top, left + self.width, top + self.height))

    def decode(self, content: bytes, name: str) -> Codes:
        """The frame of an encoded image, int8 (height, width, channels).

        Raises MicrotuneError naming an image that is empty or cannot be read.
        """
        return self.decode_noted(content, name)[0]

    def decode_noted(self, content: bytes, name: str) -> tuple[Codes, tuple[str, ...]]:
        """As `decode`, with notes about the picture (pictures.NOTES)."""
        smallest = 2 * math.ceil(max(self.height, self.width) / self.resize_ratio)
        picture = read_picture(content, name, self.channels, smallest)
        try:
            return self._codes(self._resize_and_crop(picture.image)), picture.notes
        except _TooNarrowError as error:
            raise MicrotuneError(f"{name}: {error}") from error


class _TooNarrowError(Exception):
    """A picture is so narrow that it would have too many pixels once it is scaled."""
