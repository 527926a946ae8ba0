"""The whole way with plain arrays and targets: a regression, and an auto-encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microtune as mt
from microtune.data.targets import encode_target
from tests.processes import microtune
from tests.train.test_array_modality import random_network

LENGTH, CHANNELS = 48, 3
FEW = ("--epochs", 4, "--lr", 0.05)


def swings(path: Path) -> dict[str, Any]:
    """Noisy swings, float32 (N, W, C), and how far they swing, in [-1, 1)."""
    rng = np.random.default_rng(1)
    target = rng.uniform(-0.9, 0.9, 240).astype(np.float32)
    time = np.arange(LENGTH)[None, :, None]
    x = (
        (2.2 + 2 * target[:, None, None])
        / 2
        * np.sin(0.55 * time + rng.uniform(0, 6, (240, 1, CHANNELS)))
    )
    content: dict[str, Any] = {
        "x": (x + rng.normal(0, 0.1, x.shape)).astype(np.float32), "target": target[:, None],
        "test": np.arange(240) >= 180,
    }  # fmt: skip
    np.savez(path, **content)
    return content


def compiled(folder: Path, model: Path, outputs: int, scheme: str = "last-2") -> Path:
    done = microtune(
        "compile", model, "--outputs", outputs, "--scheme", scheme, "-o", folder,
        "--sram", "64KB", "--flash", "256KB",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(a project of one output, its data)."""
    folder = tmp_path_factory.mktemp("targets")
    swings(folder / "swings.npz")
    return compiled(folder / "p", random_network(folder / "series.mt"), 1), folder / "swings.npz"


def trained(project: Path, data: Path, on: str, result: Path, *more: object) -> dict[str, Any]:
    done = microtune("train", project, "--data", data, "--on", on, "--json", result, *more)
    assert done.returncode == 0, done.stderr
    assert "accuracy" not in done.stdout and "mean squared error, test:" in done.stdout
    content: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return content


def test_values_of_series_are_learnt_evaluated_and_predicted(
    project: tuple[Path, Path], tmp_path: Path
) -> None:
    """Much better than the mean target; numpy and the C have the same bits; what was saved
    evaluates to the same error, which is that of the outputs that `predict` gives."""
    state = tmp_path / "learnt.bin"
    host = trained(*project, "host", tmp_path / "host.json", *FEW, "--save", state)
    assert host["test_loss"] < 0.25 * host["loss_of_guessing"]
    numpy = trained(*project, "numpy", tmp_path / "numpy.json", *FEW)
    for key in ("parameters_sha256", "logits_sha256", "epochs", "test_loss"):
        assert host[key] == numpy[key]
    done = microtune(
        "evaluate", project[0], "--data", project[1], "--load", state, "--json", tmp_path / "e.json"
    )
    assert done.returncode == 0, done.stderr
    evaluated = json.loads((tmp_path / "e.json").read_text(encoding="utf-8"))
    assert evaluated["test_loss"] == host["test_loss"] and evaluated["samples"] == 60
    assert evaluated["loss_of_guessing"] == host["loss_of_guessing"]
    content = np.load(project[1])
    samples = []
    for number in (200, 201):
        samples.append(tmp_path / f"{number}.npy")
        np.save(samples[-1], content["x"][number])
    done = microtune(
        "predict", project[0], *samples, "--load", state, "--json", tmp_path / "p.json"
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))["samples"]
    outcome = mt.open(project[0]).regression.evaluate(project[1], load=state, note=print)
    assert [one["outputs"] for one in answers] == outcome.outputs[20:22].tolist()
    assert f"{answers[0]['outputs'][0]:.4f}" in done.stdout


@pytest.mark.chip
def test_the_chip_learns_values_with_the_bits_of_the_host(
    project: tuple[Path, Path], tmp_path: Path
) -> None:
    few = ("--epochs", 1, "--lr", 0.05)
    host = trained(*project, "host", tmp_path / "host.json", *few)
    chip = trained(*project, "qemu", tmp_path / "qemu.json", *few)
    for key in ("parameters_sha256", "logits_sha256", "epochs"):
        assert host[key] == chip[key]


def test_a_run_of_values_goes_on_where_it_was_saved(
    project: tuple[Path, Path], tmp_path: Path
) -> None:
    state, result = tmp_path / "half.bin", tmp_path / "r.json"
    whole = trained(*project, "host", result, *FEW, "--steps", 300)
    trained(*project, "host", result, *FEW, "--steps", 100, "--save", state)
    rest = trained(*project, "host", result, *FEW, "--steps", 300, "--load", state)
    assert (rest["steps_before"], rest["steps"]) == (100, 300)
    assert rest["parameters_sha256"] == whole["parameters_sha256"]


def test_without_targets_the_input_is_the_target(tmp_path: Path) -> None:
    """An auto-encoder of plain arrays learns, and says where its targets are from. Its frozen
    layers may run once a sample."""
    content = swings(tmp_path / "swings.npz")
    del content["target"]
    content["x"] = np.tile(np.arange(48)[None, :, None] / 12 - 2, (240, 1, 3)).astype(np.float32)
    content["x"] *= np.random.default_rng(3).choice([-1, 1], (240, 1, 1)).astype(np.float32)
    np.savez(tmp_path / "x.npz", **content)
    folder = compiled(
        tmp_path / "p", random_network(tmp_path / "m.mt"), LENGTH * CHANNELS, "last-1"
    )
    notes: list[str] = []
    report = mt.open(folder).regression.train(
        tmp_path / "x.npz", epochs=2, lr=0.5, note=notes.append
    )
    assert any("the target is the input (an auto-encoder)" in note for note in notes)
    assert report.test_loss is not None and report.loss_of_guessing is not None
    assert report.test_loss < 0.5 * report.loss_of_guessing
    latent = mt.open(folder).regression.train(
        tmp_path / "x.npz", epochs=2, lr=0.5, latents=True, note=notes.append
    )
    assert latent.parameters_sha256 == report.parameters_sha256 and latent.epochs == report.epochs


def test_targets_are_rounded_half_up_and_saturated() -> None:
    values = np.array([-1.5, -1.0, -0.5 / 128, 0.5 / 128, 1.5 / 128, 127 / 128, 1.0])
    codes, saturated = encode_target(values, 7, "a target")
    assert (codes.tolist(), saturated) == ([-128, -128, 0, 1, 2, 127, 127], True)
    assert encode_target(values[1:-1], 5, "a target")[1] is False
    same = np.array([-128, 5, 127], np.int8)
    assert (encode_target(same, 3, "a target")[0] == same).all()


def change(content: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        del content[name]
    else:
        content[name] = value


NAN = np.where(np.arange(240) == 7, np.nan, 0.0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("target", None, "has no target: an .npz needs the array target, 1 values"),
        ("target", np.zeros((240, 3)), "has 3 values, the network has 1 outputs"),
        ("target", np.zeros((239, 1)), "it must have a row for each of the 240 samples"),
        ("target", NAN, "target of sample 000007: holds a value that is not finite"),
        ("target", np.zeros(240, np.int64), "int64; samples must be int8 codes or floating"),
        ("test", np.ones(240), "no training samples"),
    ],
)
def test_targets_that_cannot_be_learnt_are_refused_by_name(
    project: tuple[Path, Path], tmp_path: Path, name: str, value: object, message: str
) -> None:
    content = swings(tmp_path / "x.npz")
    change(content, name, value)
    np.savez(tmp_path / "x.npz", **content)
    with pytest.raises(mt.MicrotuneError, match=message.replace(".", r"\.")):
        mt.open(project[0]).regression.train(tmp_path / "x.npz", note=print)


def test_saturated_targets_are_counted(project: tuple[Path, Path], tmp_path: Path) -> None:
    content = swings(tmp_path / "x.npz")
    content["target"][[3, 5]] = 1.0
    np.savez(tmp_path / "x.npz", **content)
    notes: list[str] = []
    mt.open(project[0]).regression.train(tmp_path / "x.npz", steps=1, note=notes.append)
    assert any("2 sample(s) with target values outside of [-1, 1)" in note for note in notes)


def test_what_only_classifiers_have_is_refused(project: tuple[Path, Path], tmp_path: Path) -> None:
    for option in (("--balance",), ("--confusion", tmp_path / "c.png"), ("--seeds", "0,1")):
        done = microtune("train", project[0], "--data", project[1], *option)
        assert done.returncode == 2 and "learns values, not classes" in done.stderr
    np.save(tmp_path / "one.npy", np.load(project[1])["x"][0])
    done = microtune("predict", project[0], tmp_path / "one.npy", "--top", 2)
    assert done.returncode == 2 and "learns values, not classes" in done.stderr
    with pytest.raises(mt.MicrotuneError, match=r"Project\.regression"):
        mt.open(project[0]).train(project[1])
