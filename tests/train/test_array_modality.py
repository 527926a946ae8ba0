"""The whole way with a network that senses no pictures: series of readings from an npz."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from microtune.ir.builder import Builder
from microtune.ir.graph import Quant
from microtune.ir.modelfile import ModelFile, save_model
from tests.processes import microtune

LENGTH, CHANNELS, CLASSES = 48, 3, 3


def random_network(path: Path) -> Path:
    """Two 1-D convolutions, a global pool and a classifier, with random weights."""
    rng, builder = np.random.default_rng(0), Builder("series")
    x = builder.input((1, 1, LENGTH, CHANNELS), 0.03, 5)
    for name, channels in (("first", 8), ("second", 16)):
        inputs = builder.graph.tensors[x].shape[3]
        weight = rng.integers(-127, 128, (channels, 1, 5, inputs)).astype(np.int8)
        x = builder.conv2d(
            name, x, weight, np.full(channels, 0.004), np.zeros(channels, np.int32),
            Quant(0.05, -128), stride=(1, 2), padding=(0, 2, 0, 2), clamp=(-128, 127),
        )  # fmt: skip
    x = builder.reshape("flat", builder.average_pool("pool", x), (1, 16))
    weight = rng.integers(-127, 128, (CLASSES, 16)).astype(np.int8)
    x = builder.fully_connected(
        "head", x, weight, np.full(CLASSES, 0.01), np.zeros(CLASSES, np.int32), Quant(0.1, 0)
    )
    save_model(ModelFile(builder.finish(x), {"kind": "array"}, "MIT", "made by a test"), path)
    return path


def swings(path: Path) -> Path:
    """Noisy swings of three frequencies, float32 (N, W, C)."""
    rng = np.random.default_rng(1)
    label = np.arange(240) % CLASSES
    time = np.arange(LENGTH)[None, :, None]
    speed = np.array([0.2, 0.55, 1.1])[label][:, None, None]
    x = np.sin(speed * time + rng.uniform(0, 6, (240, 1, CHANNELS)))
    x = (2 * x + rng.normal(0, 0.2, x.shape)).astype(np.float32)
    np.savez(path, x=x, label=label, test=np.arange(240) >= 180, classes=["slow", "mid", "fast"])
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("arrays")
    model, data = random_network(folder / "series.mt"), swings(folder / "swings.npz")
    compiled = microtune(
        "compile", model, "--data", data, "--scheme", "last-2", "-o", folder / "project",
        "--sram", "64KB", "--flash", "256KB",
    )  # fmt: skip
    assert compiled.returncode == 0, compiled.stderr
    return folder / "project", data


def test_a_network_learns_from_series(project: tuple[Path, Path], tmp_path: Path) -> None:
    """The classes of the npz have names, and numpy and the C have the same bits."""
    hashes = []
    for on in ("host", "numpy"):
        result = tmp_path / f"{on}.json"
        trained = microtune(
            "train", project[0], "--data", project[1], "--epochs", 2, "--lr", 0.05, "--on", on,
            "--json", result,
        )  # fmt: skip
        assert trained.returncode == 0, trained.stderr
        content = json.loads(result.read_text(encoding="utf-8"))
        hashes.append(content["parameters_sha256"])
        assert content["test_accuracy"] > 0.8
    assert hashes[0] == hashes[1]
    readme = (project[0] / "README.md").read_text(encoding="utf-8")
    assert "## The sensor" in readme and "slow" in readme


def test_single_samples_are_predicted_and_dumped(
    project: tuple[Path, Path], tmp_path: Path
) -> None:
    with np.load(project[1]) as content:
        sample = content["x"][0]
    np.save(tmp_path / "sample.npy", sample)
    done = microtune("predict", project[0], tmp_path / "sample.npy", "--dump", tmp_path / "bytes")
    assert done.returncode == 0, done.stderr
    codes = np.frombuffer((tmp_path / "bytes").read_bytes(), np.int8).reshape(sample.shape)
    expected = np.clip(np.floor(sample.astype(np.float64) / 0.03 + 0.5) + 5, -128, 127)
    near = np.abs(codes - expected)
    assert near.max() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--epochs", "1", "--augment", "flip"), "--augment changes pictures"),
        (("predict", "FOLDER"), "this network takes single .npy files"),
    ],
)
def test_what_only_pictures_have_is_refused(
    project: tuple[Path, Path], arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    command, *rest = arguments
    place = ["--data", project[1], *rest] if command == "train" else [tmp_path]
    done: subprocess.CompletedProcess[str] = microtune(command, project[0], *place)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
