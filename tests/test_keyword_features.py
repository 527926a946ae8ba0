"""The keyword features: the written formula, the range of the file, and words told apart."""

from __future__ import annotations

import math
from pathlib import Path

import learn_tasks
import numpy as np
import pytest
from keyword_features import mfcc

import microtune as mt

MODEL = "models/mlcommons_tiny/kws_ref_model.tflite"


def _mel(hertz: float) -> float:
    return 1127.0 * math.log(1 + hertz / 700.0)


def _one_frame(clip: np.ndarray, frame: int) -> list[float]:
    """The formula, term by term: no FFT, no matrix, no cosine transform of a library."""
    times = np.arange(480)
    hann = np.array([0.5 - 0.5 * math.cos(2 * math.pi * t / 480) for t in times])
    windowed = clip[320 * frame : 320 * frame + 480] * hann
    bins = range(1, 257)
    amplitude = [abs(np.sum(windowed * np.exp(-2j * math.pi * k * times / 512))) for k in bins]
    points = np.linspace(_mel(20), _mel(4000), 42)
    logs = []
    for low, middle, high in zip(points, points[1:], points[2:], strict=False):
        energy = 0.0
        for k, value in zip(bins, amplitude, strict=True):
            mel = _mel(k * 16000 / 512)
            rise, fall = (mel - low) / (middle - low), (high - mel) / (high - middle)
            energy += value * max(0.0, min(rise, fall))
        logs.append(math.log(energy + 1e-6))
    return [
        2 * sum(log * math.cos(math.pi * n * (2 * b + 1) / 80) for b, log in enumerate(logs))
        / math.sqrt(80)
        for n in range(10)
    ]  # fmt: skip


def test_a_frame_is_the_written_formula() -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, 12_000).astype(np.int16)
    clip = np.zeros(16_000)
    clip[:12_000] = noise / noise.max()
    features = mfcc(noise)
    assert features.shape == (49, 10, 1)
    for frame in (0, 20, 48):
        np.testing.assert_allclose(features[frame, :, 0], _one_frame(clip, frame), atol=1e-9)


def test_loudness_and_what_follows_the_first_second_do_not_matter() -> None:
    noise = np.random.default_rng(1).normal(size=16_000)
    np.testing.assert_allclose(mfcc(3 * noise), mfcc(noise), atol=1e-9)
    np.testing.assert_array_equal(mfcc(np.append(noise, 9.0)), mfcc(noise))


@pytest.mark.data
def test_silence_is_the_lowest_code_of_the_models_input(data_folder: Path) -> None:
    quant = mt.load(data_folder / MODEL).graph.quant("input")
    lowest = mfcc(np.zeros(16_000))[:, 0, 0] / (quant.scale or 0) + quant.zero_point
    assert set(np.rint(lowest)) == {-128}


@pytest.mark.data
def test_the_network_tells_words_apart_that_it_has_not_met(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROTUNE_DATA", str(data_folder))
    words = learn_tasks.words("pretrain")
    quant = mt.load(data_folder / MODEL).graph.quant("input")
    codes = words.values.astype(float) / (quant.scale or 0) + quant.zero_point
    assert codes.min() > -128 and 100 < codes.max() < 127.5, "the range is the file's"
    data = words.write(tmp_path / "words.npz", ["train", "val"], "test")
    project = mt.compile(
        data_folder / MODEL, data=data, scheme="head-only", output=tmp_path / "words"
    )
    assert project.linear_probe(data) > 0.8
