"""Convert pictures of any Pillow mode to "L" or "RGB" as a viewer shows them: sRGB, 8 bits, on
white."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import cast

import numpy as np
from PIL import Image

try:
    from PIL import ImageCms
except ImportError:  # a Pillow that was built without LittleCMS
    ImageCms = None  # type: ignore[assignment]

BROKEN_PROFILE = "with a colour profile that is damaged or of another kind, which is ignored"

# Rows are converted in bands of about this many pixels: intermediate pictures stay small.
_BAND_PIXELS = 4_000_000
_WIDE = ("I;16", "I;16B", "I;16L", "I;16N")
_PHOTOMETRIC, _BITS, _SAMPLE_FORMAT, _UNSIGNED = 262, 258, 339, 1
# Codes by which a profile may move a colour and still count as sRGB.
_SAME = 2
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}

Convert = Callable[[Image.Image], Image.Image]


class UnknownRangeError(Exception):
    """The values of a picture have no range that a screen shows; the text says what to do."""


def shown(image: Image.Image, mode: str, notes: list[str]) -> Image.Image:
    """A loaded picture converted to `mode`, "L" or "RGB"; notes are appended to `notes`.

    A plain picture (no alpha, no profile, 8 bits) is converted as `image.convert(mode)` does.
    Raises UnknownRangeError.
    """
    image = _eight_bits(image)
    profile = image.info.get("icc_profile")
    transform = _to_srgb(profile, image, notes) if profile else None
    if transform is None and not _see_through(image) and image.mode != "LAB":
        return image.convert(mode)
    return _by_bands(image, mode, lambda band: _converted(band, transform))


def _converted(band: Image.Image, transform: _Profile | None) -> Image.Image:
    """One band of rows, converted to "RGB"."""
    alpha = None
    if _see_through(band):
        band = band.convert("LA" if band.mode in ("1", "L", "LA", "La") else "RGBA")
        alpha = band.getchannel("A")
        band = band.convert("L" if band.mode == "LA" else "RGB")
    if transform is not None:
        band = transform.apply(band)
    elif band.mode == "LAB":
        band = _lab().apply(band)
    band = band.convert("RGB")
    if alpha is not None:
        white = Image.new("RGBA", band.size, "white")
        band.putalpha(alpha)
        band = Image.alpha_composite(white, band).convert("RGB")
    return band


def _by_bands(image: Image.Image, mode: str, convert: Convert) -> Image.Image:
    rows = max(1, _BAND_PIXELS // image.width)
    result = Image.new(mode, image.size)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        band = image.crop((0, top, image.width, bottom))
        result.paste(convert(band).convert(mode), (0, top))
    return result


def _see_through(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info


def _eight_bits(image: Image.Image) -> Image.Image:
    """A 16-bit grey picture as 8 bits (v >> 8), with its transparent value as alpha."""
    if image.mode == "F" or (image.mode == "I" and not _is_16_bit(image)):
        raise UnknownRangeError(
            f"its pixels are {'fractions' if image.mode == 'F' else 'signed or 32-bit numbers'}, "
            "which have no range that a screen shows; save it with 8 or 16 bits, unsigned"
        )
    if image.mode not in (*_WIDE, "I"):
        return image
    shift = 4 if _tag(image, _BITS) == (12,) else 8
    inverted, clear = _tag(image, _PHOTOMETRIC) == 0, image.info.get("transparency")
    has_clear = isinstance(clear, int)

    def high_byte(band: Image.Image) -> Image.Image:
        values = np.asarray(band).astype(np.int32)
        grey = np.clip(values >> shift, 0, 255).astype(np.uint8)
        result = Image.fromarray(255 - grey if inverted else grey)
        if has_clear:
            result.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
        return result

    result = _by_bands(image, "LA" if has_clear else "L", high_byte)
    result.info = {k: v for k, v in image.info.items() if k == "icc_profile"}
    return result


def _is_16_bit(image: Image.Image) -> bool:
    """Whether mode "I" holds 16 unsigned bits: PNG (older Pillow), PGM, JPEG 2000."""
    return image.format in ("PNG", "PPM", "JPEG2000")


def _tag(image: Image.Image, number: int) -> object:
    """The value of a TIFF tag, None in other files."""
    tags = getattr(image, "tag_v2", None)
    return None if tags is None else tags.get(number)


class _Profile:
    """A colour transform to sRGB for pictures of one mode."""

    def __init__(self, profile: object, mode: str) -> None:
        self.mode = mode
        self._transform = ImageCms.buildTransform(
            cast("ImageCms.ImageCmsProfile", profile), ImageCms.createProfile("sRGB"), mode, "RGB"
        )

    def apply(self, band: Image.Image) -> Image.Image:
        """A band of rows, converted to "RGB"."""
        band = band if band.mode == self.mode else band.convert(self.mode)
        return cast("Image.Image", ImageCms.applyTransform(band, self._transform))

    def fits(self, image: Image.Image) -> bool:
        """Whether the profile is for pictures of this kind; grey pictures often carry an RGB
        one."""
        grey = image.mode in ("1", "L", "LA", "La")
        return {"CMYK": image.mode == "CMYK", "L": grey}.get(
            self.mode, image.mode not in ("CMYK", "LAB")
        )

    @cached_property
    def is_srgb(self) -> bool:
        """Whether the transform changes no colour by more than rounding."""
        steps = np.arange(0, 256, 15, dtype=np.uint8)
        if self.mode == "CMYK":
            return False
        if self.mode == "L":
            colours = Image.fromarray(steps[None])
        else:
            grid = np.stack(np.meshgrid(steps, steps, steps), -1)
            colours = Image.fromarray(grid.reshape(len(steps), -1, 3))
        before = np.asarray(colours.convert("RGB")).astype(np.int16)
        return bool(np.abs(before - np.asarray(self.apply(colours))).max() <= _SAME)


@lru_cache(maxsize=1)
def _lab() -> _Profile:
    return _Profile(ImageCms.createProfile("LAB"), "LAB")


def _to_srgb(content: bytes, image: Image.Image, notes: list[str]) -> _Profile | None:
    """The transform of an embedded profile; None if it is sRGB or cannot be used."""
    profile = _profile(content)
    if profile is None or not profile.fits(image):
        notes.append(BROKEN_PROFILE)
        return None
    return None if profile.is_srgb else profile


@lru_cache(maxsize=64)
def _profile(content: bytes) -> _Profile | None:
    if ImageCms is None:
        return None
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(content))
        return _Profile(opened, _SPACES[opened.profile.xcolor_space.strip()])
    except (ImageCms.PyCMSError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
