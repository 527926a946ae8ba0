"""The camera's contract in the project's README and header is that of the preprocessing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microtune.codegen.class_names import classes_text
from microtune.data import Preprocessing
from microtune.data.arrays import Arrays
from microtune.ir.graph import Quant, Tensor
from microtune.project.camera import header_comment, known_modality, readme_section, section_title
from tests.projects import compile_project

WANTED = [
    Preprocessing(128, 128, 3), Preprocessing(96, 96, 1), Preprocessing(48, 64, 3, 1.0),
    Preprocessing(28, 28, 1, 1.0),
]  # fmt: skip


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_the_crop_in_words_is_the_crop_of_the_pixels(wanted: Preprocessing) -> None:
    """Follow the README by hand: scale all, cut, subtract 128."""
    rows = re.findall(
        r"\| (\d+) × (\d+) \| .* \| (\d+) × (\d+) \| \((\d+), (\d+)\) \|",
        readme_section(wanted),
    )
    assert len(rows) == 4
    rng = np.random.default_rng(0)
    for row in rows:
        width, height, scaled_width, scaled_height, left, top = map(int, row)
        shape = (height, width, 3)[: wanted.channels + 1 if wanted.channels == 3 else 2]
        image = Image.fromarray(rng.integers(0, 256, shape, np.uint8))
        scaled = image.resize((scaled_width, scaled_height), Image.Resampling.BILINEAR)
        pixels = np.asarray(scaled, np.int16)[top : top + wanted.height, left : left + wanted.width]
        expected = wanted.apply(image)
        assert ((pixels - 128).reshape(expected.shape) == expected).all()


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_the_part_that_is_used_is_that_of_the_scaled_crop(wanted: Preprocessing) -> None:
    """In pixels of the camera: the same rectangle, to one pixel."""
    size, place = r"(\d+) × (\d+)", r"\((\d+), (\d+)\)"
    line_of = rf"\| {size} \| {size} at {place} \| {size} \| {place} \|"
    for row in re.findall(line_of, readme_section(wanted)):
        width, height, across, down, left, top, scaled_width, scaled_height, column, line = map(
            int, row
        )
        assert abs(across * scaled_width - wanted.width * width) <= scaled_width
        assert abs(down * scaled_height - wanted.height * height) <= scaled_height
        assert abs(left * scaled_width - column * width) <= scaled_width
        assert abs(top * scaled_height - line * height) <= scaled_height
        assert left + across <= width and top + down <= height


def test_the_project_states_its_camera_and_classes(tmp_path: Path) -> None:
    project = compile_project(tmp_path / "p", "last-3")
    header = (tmp_path / "p/model/microtune_model.h").read_text(encoding="utf-8")
    readme = (tmp_path / "p/README.md").read_text(encoding="utf-8")
    height, width, channels = project.graph.tensors["input"].shape[1:]
    for name, value in (("HEIGHT", height), ("WIDTH", width), ("CHANNELS", channels)):
        assert f"#define MT_INPUT_{name} {value}\n" in header
    assert header_comment(project.modality) in header
    assert readme_section(project.modality) in readme
    assert classes_text((), 5) in readme
    assert "$" not in readme


def test_a_grey_network_hears_nothing_of_colours() -> None:
    grey, colour = (Preprocessing(96, 96, n) for n in (1, 3))
    for text in (header_comment(grey), readme_section(grey)):
        assert not re.search("blue|BGR|CHW|planes|565", text)
    assert "blue first" in header_comment(colour) and "(BGR)" in readme_section(colour)


def test_grey_is_the_stated_mean_of_colours() -> None:
    wanted = Preprocessing(28, 28, 1, 1.0)
    found = re.search(r"grey is (.*) R \+ (.*) G \+ (.*) B\.", readme_section(wanted))
    assert found is not None
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
    grey = np.rint(pixels @ np.array([float(share) for share in found.groups()]))
    delivered = wanted.apply(Image.fromarray(pixels).convert("L"))
    assert np.abs(grey - 128 - delivered[..., 0]).max() <= 1


def test_an_unknown_preprocessing_is_said() -> None:
    frame = Tensor("x", (1, 8, 8, 3), "i8", "input", Quant(1.0, -128))
    for said in ({}, {"height": 8}):
        unknown = known_modality(said, frame)
        assert "does not say" in header_comment(unknown)
        assert "does not say" in readme_section(unknown)


def test_an_array_network_states_its_codes() -> None:
    """Follow the README by hand."""
    wanted = Arrays((1, 8, 3), 0.037, -3)
    text = readme_section(wanted)
    assert section_title(wanted) == "The sensor" and "int8 `[1][8][3]`" in text
    found = re.search(r"floor\(real / (\S+) \+ 0\.5\) \+ \((-?\d+)\)", text)
    assert found is not None
    scale, zero = found.groups()
    real = np.random.default_rng(0).normal(0, 2, (8, 3)).astype(np.float32)
    codes = np.clip(np.floor(real / float(scale) + 0.5) + int(zero), -128, 127)
    assert (codes == wanted.codes(real, "x")[0][0]).all()
    assert "pixel" not in text + header_comment(wanted)
