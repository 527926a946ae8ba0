"""One mapping of pixels to codes: all 256 values survive."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microtune.data import Preprocessing, open_dataset
from microtune.errors import MicrotuneError
from tests.data.image_sets import (
    RAMP,
    encode,
    noise,
    small_set,
    write_folder,
    write_npz,
    write_tar,
)

CODES = (np.arange(256) - 128).astype(np.int8).reshape(16, 16, 1)
# The end mark and checksums of a PNG, which hold no pixels.
TRAILER = 24
AS_IT_IS = Preprocessing(16, 16, 1, resize_ratio=1.0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", ["folder", "tar", "jpeg-npz", "raw-npz"])
def test_256_pixel_values_become_256_codes(tmp_path: Path, kind: str) -> None:
    ramp = encode(RAMP)
    files = {"train/a/0.png": ramp, "train/b/0.png": ramp}
    arrays = {"label": np.arange(2), "test": np.zeros(2, bool), "classes": np.array(["a", "b"])}
    if kind == "folder":
        path = write_folder(tmp_path / "set", files)
    elif kind == "tar":
        path = write_tar(tmp_path / "set.tar", files)
    elif kind == "jpeg-npz":
        path = tmp_path / "set.npz"
        arrays["jpeg"] = np.frombuffer(ramp * 2, np.uint8)
        arrays["offset"] = np.arange(3) * len(ramp)
        write_npz(path, arrays)
    else:
        path = tmp_path / "set.npz"
        write_npz(path, arrays | {"images": np.stack([RAMP, RAMP])})
    frames = open_dataset(path).load("train", AS_IT_IS).frames
    assert frames.dtype == np.int8 and frames.shape == (2, 16, 16, 1)
    assert len(np.unique(frames[0])) == 256
    np.testing.assert_array_equal(frames, np.stack([CODES, CODES]))


def test_ready_frames_are_not_resized_whatever_the_ratio(tmp_path: Path) -> None:
    for images in (np.stack([RAMP, RAMP]), np.stack([RAMP, RAMP])[..., None]):
        path = tmp_path / "set.npz"
        np.savez(path, images=images, label=[0, 1], test=[False, False], classes=["a", "b"])
        frames = open_dataset(path).load("train", Preprocessing(16, 16, 1)).frames
        np.testing.assert_array_equal(frames[1], CODES)


@pytest.mark.parametrize(("height", "width"), [(20, 24), (24, 20), (128, 128), (300, 150)])
def test_the_rule_is_resize_then_centre_crop(height: int, width: int) -> None:
    """Also for an encoded image that happens to have the target size."""
    image = Image.fromarray(noise(1, height, width))
    scale = 128 / 0.875 / min(height, width)
    larger = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    left, top = (larger.width - 128) // 2, (larger.height - 128) // 2
    wanted = np.asarray(larger.crop((left, top, left + 128, top + 128))).astype(int) - 128
    codes = Preprocessing(128, 128, 3).apply(image)
    assert min(larger.size) == 146 and codes.shape == (128, 128, 3)
    np.testing.assert_array_equal(codes, wanted)


@pytest.mark.parametrize(
    ("form", "modes"),
    [("JPEG", "L RGB CMYK"), ("PNG", "1 L LA P RGB RGBA"), ("BMP", "1 L P RGB")],
)
def test_formats_and_modes(form: str, modes: str) -> None:
    for mode in modes.split():
        buffer = io.BytesIO()
        Image.fromarray(noise(2)).convert(mode).save(buffer, form)
        for channels in (1, 3):
            codes = Preprocessing(8, 8, channels).decode(buffer.getvalue(), "x")
            assert codes.shape == (8, 8, channels) and codes.std() > 5


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP"])
def test_every_truncated_image_is_named(form: str) -> None:
    content = encode(noise(3), form)
    for length in range(0, len(content) - TRAILER, 13):
        with pytest.raises(MicrotuneError, match=r"set/a\.png"):
            Preprocessing(8, 8, 3).decode(content[:length], "set/a.png")


def test_an_empty_image_is_named() -> None:
    with pytest.raises(MicrotuneError, match=r"a\.png: the image is empty"):
        Preprocessing(8, 8, 3).decode(b"", "a.png")


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"text"])
def test_other_formats_are_refused(content: bytes) -> None:
    with pytest.raises(MicrotuneError, match="not a readable image"):
        Preprocessing(8, 8, 3).decode(content, "a.jpg")


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(MicrotuneError, match=r"a\.png: more than 100 pixels"):
        Preprocessing(8, 8, 3).decode(encode(noise(1)), "a.png")


def test_json_and_back() -> None:
    for preprocessing in (Preprocessing(96, 128, 3), AS_IT_IS):
        content = json.loads(json.dumps(preprocessing.to_json()))
        assert Preprocessing.from_json(content) == preprocessing


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0}, {"width": -1}, {"channels": 2}, {"height": "tall"}, {"channels": None},
        {"resize_ratio": 0}, {"resize_ratio": 1.5}, {"resize_ratio": float("nan")},
    ],
)  # fmt: skip
def test_odd_json(change: dict[str, object]) -> None:
    with pytest.raises(MicrotuneError, match="preprocessing"):
        Preprocessing.from_json(Preprocessing(8, 8, 3).to_json() | change)
    with pytest.raises(MicrotuneError, match="incomplete"):
        Preprocessing.from_json({})


def test_an_unreadable_image_in_a_set_is_named(tmp_path: Path) -> None:
    files = small_set() | {"train/cat/1.png": b"not an image"}
    folder = write_folder(tmp_path / "set", files)
    archive = write_tar(tmp_path / "set.tar", files)
    for path in (folder, archive):
        with pytest.raises(MicrotuneError, match=r"train/cat/1\.png"):
            open_dataset(path).load("train", Preprocessing(8, 8, 3))
