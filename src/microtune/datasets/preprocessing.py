"""Image -> int8 codes: one mapping everywhere, pixel - 128."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from microtune.errors import MicrotuneError

Codes = npt.NDArray[np.int8]
# Nothing else: Pillow hands some other formats to outside programs.
FORMATS = ("JPEG", "PNG", "BMP")


@dataclass(frozen=True)
class Preprocessing:
    """Shorter side to size/resize_ratio (Pillow bilinear), centre crop, pixel - 128.

    `channels` is 3 (RGB) or 1 (grey). A ratio of 1 neither resizes nor crops an image that already
    has the target size.
    """

    height: int
    width: int
    channels: int
    resize_ratio: float = 0.875

    def to_json(self) -> dict[str, Any]:
        """As stored in model files and plans."""
        return asdict(self)

    @staticmethod
    def from_json(content: dict[str, Any]) -> Preprocessing:
        """The reverse of `to_json`; raises MicrotuneError on missing or odd values."""
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
        """int8 (height, width, channels)."""
        return self._codes(self._resize_and_crop(self._coloured(image)))

    def apply_raw(self, image: Image.Image) -> Codes:
        """Like `apply`, but an image of exactly the target size is taken as it is.

        For data sets of ready-made frames, where a resize would only blur and cut.
        """
        if image.size != (self.width, self.height):
            return self.apply(image)
        return self._codes(self._coloured(image))

    def _coloured(self, image: Image.Image) -> Image.Image:
        return image.convert("L" if self.channels == 1 else "RGB")

    def _codes(self, image: Image.Image) -> Codes:
        pixels = np.asarray(image, dtype=np.int16).reshape(self.height, self.width, self.channels)
        return (pixels - 128).astype(np.int8)

    def _resize_and_crop(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        scale = max(
            self.width / self.resize_ratio / width, self.height / self.resize_ratio / height
        )
        size = (max(round(width * scale), self.width), max(round(height * scale), self.height))
        image = image.resize(size, Image.Resampling.BILINEAR)
        left, top = (size[0] - self.width) // 2, (size[1] - self.height) // 2
        return image.crop((left, top, left + self.width, top + self.height))

    def decode(self, content: bytes, name: str) -> Codes:
        """Decode an encoded image; an empty or unreadable one is a MicrotuneError naming it."""
        if not content:
            raise MicrotuneError(f"{name}: the image is empty")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                    return self.apply(image)
        except (
            UnidentifiedImageError, OSError, EOFError, ValueError, SyntaxError, TypeError,
            IndexError, KeyError, OverflowError, MemoryError, struct.error, zlib.error,
            Image.DecompressionBombError, Image.DecompressionBombWarning,
        ) as error:  # fmt: skip
            raise MicrotuneError(f"{name}: not a readable image: {error}") from error
