"""Decode a picture as a viewer shows it: RGB or grey, 8 bits, upright.

The same function serves folders, archives and npz. docs/data.md has the rules in words.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from microtune.data.image.colours import BROKEN_PROFILE, UnknownRangeError, shown
from microtune.data.image.formats import readable
from microtune.errors import MicrotuneError

if TYPE_CHECKING:
    from collections.abc import Iterator

DAMAGED_EXIF = "with damaged EXIF data, taken as upright"
FIRST_FRAME = "with several frames or pages, of which the first is read"
SCALED = "so large that they are scaled while decoding"
NOTES = (BROKEN_PROFILE, DAMAGED_EXIF, FIRST_FRAME, SCALED)
"""What may be said of a picture that is read."""

# Pillow's own limit when it is imported. Below it nothing is scaled while decoding.
PLAIN_PIXELS = 89_478_485
# A progressive JPEG is in memory as coefficients, six bytes a pixel, before the first row comes.
JPEG_PIXELS, PROGRESSIVE_PIXELS = 1_000_000_000, 250_000_000
_ERRORS = (
    UnidentifiedImageError, OSError, EOFError, ValueError, SyntaxError, TypeError, IndexError,
    KeyError, AttributeError, OverflowError, MemoryError, NotImplementedError, RuntimeError,
    struct.error, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A decoded picture: `image` has mode "L" or "RGB", `notes` are some of NOTES."""

    image: Image.Image
    notes: tuple[str, ...] = ()


class _TooLargeError(Exception):
    """A picture exceeds a limit; the text says which."""


def read_picture(content: bytes, name: str, channels: int, smallest: int) -> Picture:
    """The picture in encoded bytes, "RGB" for 3 channels, "L" for 1.

    A JPEG that is too large to decode whole is scaled by 1/2, 1/4 or 1/8 while decoding, as long as
    its shorter side keeps `smallest` pixels. Raises MicrotuneError naming the file where it is
    empty, damaged, too large, or has no range of values that a screen shows.
    """
    if not content:
        raise MicrotuneError(f"{name}: the image is empty")
    try:
        with _quiet(), _opened(content, smallest) as (image, notes):
            return Picture(*_viewed(image, channels, notes))
    except (_TooLargeError, UnknownRangeError) as error:
        raise MicrotuneError(f"{name}: {error}") from error
    except UnidentifiedImageError as error:
        raise MicrotuneError(
            f"{name}: not a readable image: its first bytes are those of no format that is read"
        ) from error
    except MemoryError as error:
        raise MicrotuneError(f"{name}: not a readable image: not enough memory") from error
    except _ERRORS as error:
        raise MicrotuneError(f"{name}: not a readable image: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress Pillow's warnings about metadata; too many pixels are an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _opened(content: bytes, smallest: int) -> Iterator[tuple[Image.Image, list[str]]]:
    try:
        with Image.open(io.BytesIO(content), formats=readable()) as image:
            yield image, [FIRST_FRAME] if _has_more(image) else []
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        if not content.startswith(b"\xff\xd8"):
            raise _TooLargeError(
                f"more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels, which is the limit (a JPEG is "
                "scaled while decoding, other formats are not); scale the picture down first"
            ) from error
        with JpegImagePlugin.JpegImageFile(io.BytesIO(content)) as image:
            _scale_while_decoding(image, smallest)
            yield image, [SCALED]


def _scale_while_decoding(image: JpegImagePlugin.JpegImageFile, smallest: int) -> None:
    pixels = image.width * image.height
    limit = PROGRESSIVE_PIXELS if image.info.get("progressive") else JPEG_PIXELS
    if pixels > limit:
        raise _TooLargeError(
            f"{image.width} x {image.height} pixels, the limit for such a JPEG is {limit:,}; scale "
            "the picture down first"
        )
    shorter = min(image.size)
    factor = max((f for f in (1, 2, 4, 8) if shorter // f >= smallest), default=1)
    image.draft(image.mode, (image.width // factor, image.height // factor))
    if image.width * image.height > PLAIN_PIXELS:
        raise _TooLargeError(
            f"{image.width} x {image.height} pixels even after scaling while decoding, the limit "
            f"is {PLAIN_PIXELS:,}; cut the picture first"
        )


def _has_more(image: Image.Image) -> bool:
    """A second picture of an MPO (a phone's preview or gain map) is no frame of its own."""
    if image.format in ("MPO", "ICO", "ICNS", "CUR"):
        return False
    try:
        return int(getattr(image, "n_frames", 1)) > 1
    except _ERRORS:
        return True


def _viewed(
    image: Image.Image, channels: int, notes: list[str]
) -> tuple[Image.Image, tuple[str, ...]]:
    _match_transparency(image)
    turned = _turn(image, notes)
    picture = shown(image, "L" if channels == 1 else "RGB", notes)
    return (turned(picture) if turned else picture), tuple(notes)


def _match_transparency(image: Image.Image) -> None:
    """Scale a PNG's transparent colour, which has the file's depth, to the decoded 8 bits."""
    clear, raw = image.info.get("transparency"), _raw_mode(image)
    if image.format != "PNG" or clear is None:
        return
    if raw in ("L;2", "L;4") and isinstance(clear, int):
        image.info["transparency"] = clear * (85 if raw == "L;2" else 17)
    elif raw == "RGB;16B" and isinstance(clear, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in clear)


def _raw_mode(image: Image.Image) -> object:
    """How the file stores pixels, before they are loaded."""
    tiles = getattr(image, "tile", None)
    return tiles[0].args if tiles else None


def _turn(image: Image.Image, notes: list[str]) -> Callable[[Image.Image], Image.Image] | None:
    """How to turn the picture upright; None if it is. HEIC and TIFF arrive upright."""
    image.load()
    try:
        orientation = image.getexif().get(0x0112, 1)
    except _ERRORS:
        notes.append(DAMAGED_EXIF)
        return None
    method = _METHODS.get(orientation) if isinstance(orientation, int) else None
    return None if method is None else lambda picture: picture.transpose(method)


_METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
