"""Other domains made of the same images, as if the device had been moved or had aged."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageFilter

from microtune.data import Split
from microtune.ir.graph import Array

Change = Callable[[Image.Image], Image.Image]
_BLUR, _TURN = 2.5, 25
_DARK = 0.35
# Gain and offset of each channel, gamma: a camera with a warm cast and little contrast.
_GAINS, _OFFSETS, _GAMMA = (0.95, 0.75, 0.5), (30, 20, 5), 1.4


def _dark(image: Image.Image) -> Image.Image:
    return image.point([int(value * _DARK) for value in range(256)] * len(image.getbands()))


def _blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(_BLUR))


def _turned(image: Image.Image) -> Image.Image:
    return image.rotate(_TURN, Image.Resampling.BILINEAR)


def _camera(image: Image.Image) -> Image.Image:
    bands = len(image.getbands())
    table = [
        min(255, int(offset + gain * 255 * (value / 255) ** _GAMMA))
        for gain, offset in list(zip(_GAINS, _OFFSETS, strict=True))[:bands]
        for value in range(256)
    ]
    return image.point(table)


# The first is a control: what a stream of plain images does.
DOMAINS: Mapping[str, Change] = {
    "unchanged": lambda image: image, "dark": _dark, "blurred": _blurred, "turned": _turned,
    "other camera": _camera,
}  # fmt: skip


def changed(split: Split, change: Change) -> Split:
    """Frames, int8 (N, H, W, 1 or 3), as the changed images would have given them."""
    frames = np.stack([_change_one(frame, change) for frame in split.frames])
    return Split(frames, split.labels, split.names)


def _change_one(frame: Array, change: Change) -> Array:
    pixels = (frame.astype(np.int16) + 128).astype(np.uint8)
    grey = pixels.shape[-1] == 1
    image = change(Image.fromarray(pixels[..., 0] if grey else pixels))
    codes = np.asarray(image).reshape(frame.shape).astype(np.int16) - 128
    result: Array = codes.astype(np.int8)
    return result
