"""Plain arrays of an npz as the network's input: shapes, codes, and what is refused by name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtune.data import Preprocessing, open_dataset
from microtune.data.arrays import SATURATED, Arrays, frame_shape
from microtune.data.modality import read_modality
from microtune.errors import MicrotuneError
from microtune.ir.graph import Quant, Tensor

SERIES = Arrays((1, 8, 3), 0.5, -3)


def write(path: Path, x: np.ndarray, **arrays: Any) -> Path:
    count = len(x)
    label = np.arange(count) % 2
    content: dict[str, Any] = {
        "x": x,
        "label": label,
        "test": np.arange(count) >= count // 2,
        "classes": ["a", "b"],
    }
    np.savez(path, **(content | arrays))
    return path


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5,), (1, 1, 5)), ((8, 3), (1, 8, 3)), ((4, 8, 3), (4, 8, 3)), ((1, 1, 5), (1, 1, 5))],
)
def test_missing_axes_are_put_in_front(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert frame_shape(shape) == expected


def test_int8_codes_pass_unchanged_and_floats_are_quantised(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (6, 8, 3)).astype(np.int8)
    real = ((codes.astype(np.float64) + 3) * 0.5).astype(np.float32)
    forms: list[np.ndarray] = [codes, real, real.astype(np.float64)]
    frames = [
        open_dataset(write(tmp_path / f"{i}.npz", x)).load("train", SERIES).frames
        for i, x in enumerate(forms)
    ]
    assert frames[0].shape == (3, 1, 8, 3)
    assert all((f == codes[:3, None]).all() for f in frames)


@given(st.floats(-200, 200, width=32), st.integers(-128, 127), st.floats(1e-3, 10))
def test_a_code_is_the_nearest_one(value: float, zero_point: int, scale: float) -> None:
    """Halves round up, and what has no code saturates and is said."""
    arrays = Arrays((1, 1, 1), scale, zero_point)
    codes, notes = arrays.codes(np.array([value], np.float32), "x")
    low, high = arrays.real_range
    if low <= value <= high:
        assert abs(scale * (int(codes[0, 0, 0]) - zero_point) - value) <= scale * 0.5000001
        assert notes == ()
    else:
        assert codes[0, 0, 0] in (-128, 127)


def test_saturated_samples_are_counted_and_named(tmp_path: Path) -> None:
    x = np.zeros((4, 8, 3), np.float32)
    x[1, 2, 0] = 1000
    found = open_dataset(write(tmp_path / "d.npz", x)).load("train", SERIES)
    assert found.notes == (f"1 sample(s) {SATURATED}: 000001",)
    assert found.frames[1, 0, 2, 0] == 127


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.zeros((4, 8, 4), np.float32),
            r"d.npz:0: a sample of shape \(8, 4\);",
        ),
        (np.full((4, 8, 3), np.nan, np.float32), "d.npz:0: .*not finite"),
    ],
)
def test_odd_samples_are_refused_by_name(tmp_path: Path, x: np.ndarray, message: str) -> None:
    with pytest.raises(MicrotuneError, match=message):
        open_dataset(write(tmp_path / "d.npz", x)).load("train", SERIES)


@pytest.mark.parametrize(
    "x", [np.zeros((4, 8), np.int32), np.zeros(4, np.float32), np.zeros((4, 0))]
)
def test_arrays_that_are_no_samples_are_refused(tmp_path: Path, x: np.ndarray) -> None:
    with pytest.raises(MicrotuneError, match=r"x is .*; it must be int8 \(codes\)"):
        open_dataset(write(tmp_path / "d.npz", x))


def test_pictures_and_arrays_are_not_taken_for_each_other(tmp_path: Path) -> None:
    arrays = open_dataset(write(tmp_path / "a.npz", np.zeros((4, 8, 3), np.float32)))
    with pytest.raises(MicrotuneError, match=r"a\.npz:0: an array of numbers; the network"):
        arrays.load("train", Preprocessing(8, 8, 3))
    images = np.zeros((4, 8, 8), np.uint8)
    pictures = open_dataset(write(tmp_path / "p.npz", np.zeros((4, 1), np.float32), images=images))
    assert "both images and x are there: images is read" in pictures.source.notes
    with pytest.raises(MicrotuneError, match=r"p\.npz:0: a picture; the network takes"):
        pictures.load("train", SERIES)


def test_npy_files_are_single_samples() -> None:
    file = io.BytesIO()
    np.save(file, np.full((8, 3), 1.0, np.float32))
    assert (SERIES.decode_noted(file.getvalue(), "s.npy")[0] == -1).all()
    for content in (b"", file.getvalue()[:40], b"\x89PNG"):
        with pytest.raises(MicrotuneError, match=r"s\.npy: not a \.npy file of numbers"):
            SERIES.decode_noted(content, "s.npy")


def test_the_modality_follows_from_the_model() -> None:
    series = Tensor("in", (1, 1, 8, 3), "i8", "input", Quant(0.5, -3))
    assert read_modality({"kind": "array"}, series) == SERIES
    image = {"height": 8, "width": 8, "channels": 3, "resize_ratio": 1.0}
    with pytest.raises(MicrotuneError, match=r"makes images \(8, 8, 3\), its input is \(1, 8, 3\)"):
        read_modality(image, series)
    square = Tensor("in", (1, 8, 8, 3), "i8", "input", Quant(1.0, -128))
    assert read_modality(image, square) == Preprocessing(8, 8, 3, 1.0)
    with pytest.raises(MicrotuneError, match="no scale"):
        read_modality({"kind": "array"}, Tensor("in", (1, 1, 8, 3), "i8", "input"))
