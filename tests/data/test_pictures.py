"""A picture is what a viewer shows, and a plain one keeps the bytes it always had."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms, ImageOps

from microtune.data import Preprocessing
from microtune.data.image.colours import BROKEN_PROFILE
from microtune.data.image.pictures import (
    DAMAGED_EXIF,
    FIRST_FRAME,
    SCALED,
    Picture,
    read_picture,
)
from microtune.errors import MicrotuneError
from tests.data.image_sets import RAMP, encode, noise

Pixels = npt.NDArray[np.uint8]
NOISE = noise(5)
GREY = NOISE[..., 0]


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def seen(content: bytes, channels: int = 3, smallest: int = 8) -> Pixels:
    return np.asarray(picture(content, channels, smallest).image)


def picture(content: bytes, channels: int = 3, smallest: int = 8) -> Picture:
    return read_picture(content, "a.png", channels, smallest)


def png(header: bytes, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of depths that Pillow does not write."""
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def deep_png(values: npt.NDArray[np.uint16], kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(header, rows, *chunks)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pixels", [NOISE, GREY])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP"])
def test_plain_pictures_are_what_pillow_converts(form: str, pixels: Pixels, channels: int) -> None:
    content = encode(pixels, form)
    wanted = Image.open(io.BytesIO(content)).convert("L" if channels == 1 else "RGB")
    np.testing.assert_array_equal(seen(content, channels), np.asarray(wanted))
    assert picture(content, channels).notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {}
    content = saved(Image.fromarray(NOISE), form, exif=exif, **options)
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(seen(content), np.asarray(wanted.convert("RGB")))
    assert seen(content).shape[:2] == (NOISE.shape[:2] if orientation < 5 else NOISE.shape[1::-1])


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_means_nothing_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(NOISE), exif=exif)
    np.testing.assert_array_equal(seen(content), NOISE)


def test_damaged_exif_is_said() -> None:
    content = saved(Image.fromarray(NOISE), "PNG", exif=b"garbage")
    assert picture(content).notes == (DAMAGED_EXIF,)
    np.testing.assert_array_equal(seen(content), NOISE)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "big-endian TIFF", "PPM"])
def test_16_bit_grey_is_the_high_byte(form: str) -> None:
    values = np.arange(20000, 36000, 25, dtype=np.uint16).reshape(20, 32)
    if form == "PNG":
        content = saved(Image.fromarray(values))
    elif form == "TIFF":
        content = saved(Image.fromarray(values), "TIFF")
    elif form == "PPM":
        content = b"P5 32 20 65535\n" + values.astype(">u2").tobytes()
    else:
        content = saved(Image.frombytes("I;16B", (32, 20), values.astype(">u2").tobytes()), "TIFF")
    for channels in (1, 3):
        result = seen(content, channels).reshape(20, 32, channels)
        np.testing.assert_array_equal(result[..., 0], values >> 8)


def test_16_bit_colour_is_the_high_byte() -> None:
    values = np.random.default_rng(1).integers(0, 65536, (20, 24, 3), dtype=np.uint16)
    np.testing.assert_array_equal(seen(deep_png(values, 2)), values >> 8)


def test_white_is_zero_in_16_bit_tiff() -> None:
    values = np.arange(0, 65536, 128, dtype=np.uint16).reshape(16, 32)
    content = bytearray(saved(Image.fromarray(values), "TIFF"))
    at = content.index(struct.pack("<HHI", 262, 3, 1))
    content[at + 8 : at + 10] = struct.pack("<H", 0)
    np.testing.assert_array_equal(seen(bytes(content), 1), (65535 - values) >> 8)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_without_a_range_are_refused(mode: str) -> None:
    content = saved(Image.fromarray(GREY).convert(mode), "TIFF")
    with pytest.raises(MicrotuneError, match=r"a\.png: its pixels are .* no range"):
        picture(content)


def on_white(rgba: Pixels) -> npt.NDArray[np.float64]:
    alpha = rgba[..., 3:] / 255
    over: npt.NDArray[np.float64] = rgba[..., :3] * alpha + 255 * (1 - alpha)
    return over


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_composited_on_white(form: str, mode: str) -> None:
    rgba = np.dstack([NOISE, RAMP.repeat(2, 0).repeat(2, 1)[:20, :24]])
    image = Image.fromarray(rgba).convert(mode)
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    content = saved(image, form, **options)
    wanted = on_white(np.asarray(image.convert("RGBA")))
    assert np.abs(seen(content) - wanted).max() <= 1
    assert (seen(content)[rgba[..., 3] == 0] == 255).all()


def test_transparent_palettes_and_colours_are_white() -> None:
    indexed = Image.fromarray(NOISE).quantize(16)
    index = np.asarray(indexed)
    palette = seen(saved(indexed, "PNG", transparency=3))
    assert (palette[index == 3] == 255).all()
    np.testing.assert_array_equal(
        palette[index != 3], np.asarray(indexed.convert("RGB"))[index != 3]
    )
    grey = seen(saved(Image.fromarray(GREY), "PNG", transparency=int(GREY[0, 0])), 1)
    assert (grey[GREY[0, 0] == GREY] == 255).all() and grey[0, 0] == 255
    colour = seen(saved(Image.fromarray(NOISE), "PNG", transparency=tuple(NOISE[0, 0].tolist())))
    assert (colour[0, 0] == 255).all() and (colour[1] == NOISE[1]).all()
    gif = seen(saved(indexed, "GIF", transparency=3))
    assert (gif[index == 3] == 255).all()


def test_transparent_values_have_the_depth_of_the_file() -> None:
    four = png(struct.pack(">IIBBBBB", 4, 1, 4, 0, 0, 0, 0), b"\0\x01\x23", (b"tRNS", b"\0\2"))
    assert seen(four, 1).tolist() == [[0, 17, 255, 51]]
    values = np.array([[300, 301, 40000]], np.uint16)
    assert seen(deep_png(values, 0, (b"tRNS", struct.pack(">H", 301))), 1).tolist() == [
        [1, 255, 156]
    ]


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "LAB"])
def test_other_modes_are_near_their_colours(mode: str) -> None:
    smooth = np.asarray(Image.fromarray(noise(3, 4, 4)).resize((24, 20)))
    image = Image.fromarray(smooth)
    if mode == "LAB":
        to_lab = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        lab = ImageCms.applyTransform(image, to_lab)
        assert lab is not None
        image = lab
    else:
        image = image.convert(mode)
    result = seen(saved(image, "TIFF"))
    if mode in ("1", "P"):
        np.testing.assert_array_equal(result, np.asarray(image.convert("RGB")))
    else:
        assert np.abs(result.astype(int) - smooth).mean() <= 2


def test_a_cmyk_jpeg_is_not_inverted() -> None:
    smooth = np.full((20, 24, 3), (200, 40, 90), np.uint8)
    content = saved(Image.fromarray(smooth).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in content[:40]
    assert np.abs(seen(content).astype(int) - smooth).max() <= 4


def adobe_rgb() -> bytes:
    """A wide profile: sRGB with its red and green primaries exchanged, which no eye mistakes."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = content.index(b"rXYZ"), content.index(b"gXYZ")
    content[red : red + 4], content[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(content)


def test_a_colour_profile_is_converted_to_srgb() -> None:
    pixels = np.full((20, 24, 3), (250, 10, 10), np.uint8)
    for form, channels in (("PNG", 3), ("JPEG", 3), ("TIFF", 3), ("PNG", 1)):
        content = saved(Image.fromarray(pixels), form, icc_profile=adobe_rgb())
        result = seen(content, channels).reshape(20, 24, channels).astype(int)
        if channels == 3:
            assert np.abs(result - (10, 250, 10)).max() <= 4
        else:
            assert abs(result.mean() - 151) < 5
    clear = np.dstack([pixels, np.full((20, 24), 128, np.uint8)])
    result = seen(saved(Image.fromarray(clear), icc_profile=adobe_rgb())).astype(int)
    assert np.abs(result - (132, 252, 132)).max() <= 4


def test_a_grey_picture_may_carry_a_colour_profile() -> None:
    content = saved(Image.fromarray(GREY), icc_profile=adobe_rgb())
    assert picture(content).notes == () and seen(content).shape == (20, 24, 3)


def test_an_srgb_profile_changes_no_byte() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = saved(Image.fromarray(NOISE), icc_profile=profile)
    np.testing.assert_array_equal(seen(content), NOISE)
    assert picture(content).notes == ()


def test_a_profile_within_rounding_of_srgb_changes_no_byte() -> None:
    """Cameras and editors write profiles of their own that say sRGB but for the last digits."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (at,) = struct.unpack_from(">I", content, content.index(b"rXYZ") + 4)
    (red,) = struct.unpack_from(">i", content, at + 8)
    struct.pack_into(">i", content, at + 8, red + 20)
    same = saved(Image.fromarray(NOISE), icc_profile=bytes(content))
    np.testing.assert_array_equal(seen(same), NOISE)
    struct.pack_into(">i", content, at + 8, red + 9000)
    other = saved(Image.fromarray(NOISE), icc_profile=bytes(content))
    assert (seen(other) != NOISE).any()


@pytest.mark.parametrize("profile", [b"no profile", b"\0" * 200, "cut", "lab"])
def test_a_broken_profile_is_ignored_and_said(profile: bytes | str) -> None:
    if profile == "cut":
        profile = adobe_rgb()[:200]
    elif profile == "lab":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    content = saved(Image.fromarray(NOISE), icc_profile=profile)
    np.testing.assert_array_equal(seen(content), NOISE)
    assert picture(content).notes == (BROKEN_PROFILE,)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_several_frames_the_first_is_read_and_it_is_said(form: str) -> None:
    frames = [Image.fromarray(np.full((20, 24, 3), value, np.uint8)) for value in (200, 10)]
    options = {"lossless": True} if form == "WEBP" else {}
    content = saved(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert np.abs(seen(content).astype(int) - 200).max() <= 1
    assert picture(content).notes == (FIRST_FRAME,)


@pytest.mark.parametrize("form", ["WEBP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF", "ICO"])
def test_other_formats_that_pillow_reads(form: str) -> None:
    assert seen(saved(Image.fromarray(NOISE).resize((32, 32)), form)).shape == (32, 32, 3)


def test_a_huge_jpeg_is_scaled_while_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.asarray(Image.fromarray(noise(3, 4, 4)).resize((640, 480)))
    content = encode(pixels, "JPEG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    result = picture(content, smallest=100)
    assert result.image.size == (160, 120) and result.notes == (SCALED,)
    small = np.asarray(Image.fromarray(pixels).resize((160, 120), Image.Resampling.BOX))
    assert np.abs(np.asarray(result.image).astype(int) - small).max() < 12
    assert Preprocessing(32, 32, 3).decode(content, "a.jpg").shape == (32, 32, 3)


def test_what_is_too_large_is_said_with_the_limit() -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    with pytest.raises(MicrotuneError, match=r"a\.png: more than 89,478,485 pixels.*scale"):
        picture(png(header, b""))
    jpeg = bytearray(encode(NOISE, "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65000, 65000)
    with pytest.raises(MicrotuneError, match=r"65000 x 65000 pixels, the limit .* 1,000,000,000"):
        picture(bytes(jpeg))


def test_a_line_of_pixels_does_not_eat_the_memory() -> None:
    line = encode(np.zeros((1, 60000, 3), np.uint8))
    with pytest.raises(MicrotuneError, match=r"a\.png: 60000 x 1 pixels are too narrow"):
        Preprocessing(128, 128, 3).decode(line, "a.png")


def test_rows_are_converted_in_bands_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    rgba = np.dstack([NOISE, GREY])
    whole = seen(saved(Image.fromarray(rgba)))
    monkeypatch.setattr("microtune.data.image.colours._BAND_PIXELS", 24 * 3)
    np.testing.assert_array_equal(seen(saved(Image.fromarray(rgba))), whole)
