"""Anomaly scores: an auto-encoder learns what is normal, and answers worse to anything else."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import microtune as mt
from microtune.data.arrays import Arrays
from microtune.data.dataset import OwnInput, Split
from microtune.data.targets import describe, load_values, open_values
from microtune.importers import load_any
from microtune.ir.builder import Builder
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array, Quant
from microtune.ir.modelfile import ModelFile, save_model
from microtune.run.host import HostLibrary
from microtune.train.anomaly import anomaly_scores
from tests.processes import microtune
from tests.train.test_array_modality import random_network

LENGTH, CHANNELS = 48, 3
FEW = ("--epochs", 6, "--lr", 0.5)
MODALITY = Arrays((1, LENGTH, CHANNELS), 0.03, 5)


def vibrations(path: Path, *, classes: tuple[str, ...] = ("humming", "rattling")) -> dict[str, Any]:
    """A hum in two phases to learn; hum and rattle, half of each, to test."""
    rng, time = np.random.default_rng(4), np.arange(LENGTH)[None, :, None]
    label = np.array([0] * 180 + [0, 1] * 30)
    sign = rng.choice([-1, 1], (240, 1, 1))
    hum = np.sin(0.26 * time) * sign + rng.normal(0, 0.1, (240, LENGTH, CHANNELS))
    rattle = rng.normal(0, 0.9, (240, LENGTH, CHANNELS))
    x = hum + rattle * label[:, None, None]
    content: dict[str, Any] = {
        "x": x.astype(np.float32), "label": label, "test": np.arange(240) >= 180,
        "classes": np.array(classes),
    }  # fmt: skip
    np.savez(path, **content)
    return content


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(an auto-encoder, its data)."""
    folder = tmp_path_factory.mktemp("anomaly")
    vibrations(folder / "v.npz")
    model, outputs = random_network(folder / "m.mt"), LENGTH * CHANNELS
    done = microtune(
        "compile", model, "--loss", "mse", "--outputs", outputs, "--scheme", "last-1",
        "--sram", "64KB", "--flash", "256KB", "-o", folder / "p",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "p", folder / "v.npz"


def ran(command: str, project: Path, data: Path, result: Path, *more: object) -> tuple[
    dict[str, Any], subprocess.CompletedProcess[str]
]:  # fmt: skip
    done = microtune(command, project, "--data", data, "--json", result, *more)
    assert done.returncode == 0, done.stderr
    return json.loads(result.read_text(encoding="utf-8")), done


def test_anomalies_have_larger_scores(encoder: tuple[Path, Path], tmp_path: Path) -> None:
    """`train` and `evaluate` say the same, with the AUC of scikit-learn; the score of a sample is
    its mean squared error, and in C the loss of a step on it."""
    state = tmp_path / "s.bin"
    trained, done = ran("train", *encoder, tmp_path / "t.json", *FEW, "--save", state)
    evaluated, said = ran("evaluate", *encoder, tmp_path / "e.json", "--load", state)
    found = evaluated["anomaly"]
    assert found == trained["anomaly"] and found["auc"] > 0.9
    assert found["normal_mean"] < found["abnormal_mean"]
    samples = found["samples"]
    scores = [one["score"] for one in samples]
    assert [one["abnormal"] for one in samples] == [False, True] * 30
    assert found["auc"] == roc_auc_score([0, 1] * 30, scores)
    assert np.mean(scores) == pytest.approx(evaluated["test_loss"], rel=1e-12)
    line = f"30 anomalies: AUC {found['auc']:.3f}"
    assert line in " ".join(done.stdout.split()) and line in " ".join(said.stdout.split())
    assert "anomalies are samples not of humming" in " ".join(said.stderr.split())
    library = HostLibrary(encoder[0], flags=("-O1",))
    library.load(state.read_bytes())
    library.set_learning_rate(0)
    split = load_values(open_values(encoder[1]), "test", MODALITY, LENGTH * CHANNELS)
    for frame, score in zip(split.frames[:8], scores[:8], strict=True):
        assert library.train_step(frame, frame.reshape(-1))[1] / 65536 == pytest.approx(
            score, abs=2.0**-16
        )


def test_what_is_normal_follows_from_the_names_or_from_train(tmp_path: Path) -> None:
    """A class `normal`; else what is in train, if something else is not; else nothing is said."""
    content = vibrations(tmp_path / "v.npz")

    def kinds(**changed: Any) -> tuple[list[bool] | None, str]:
        np.savez(tmp_path / "k.npz", **(content | changed))
        data = open_values(tmp_path / "k.npz")
        split = load_values(data, "test", MODALITY, LENGTH * CHANNELS)
        assert split.own_input is not None
        found = split.own_input.abnormal
        return None if found is None else found.tolist(), " ".join(describe(data, [split]))

    assert kinds()[0] == [False, True] * 30
    mixed = np.array([0, 1] * 120)
    found, said = kinds(label=mixed, classes=np.array(["worn", "Normal"]))
    assert found == [True, False] * 30
    assert "anomalies are samples not of Normal; 90 of them are in train" in said
    found, said = kinds(label=mixed)
    assert found is None and "nothing says what an anomaly is" in said
    del content["label"], content["classes"]
    found, said = kinds()
    assert found is None and "anomal" not in said


def test_scores_without_both_kinds_have_no_auc() -> None:
    outputs, targets = np.zeros((3, 2)), np.array([[0, 0], [64, 0], [64, 64]], np.int8)
    frames, labels = np.zeros((3, 1, 1, 2), np.int8), np.zeros(3, np.int32)
    split = Split(frames, labels, ["a", "b", "c"], (), targets)
    assert anomaly_scores(outputs, split) is None  # targets of their own: no auto-encoder
    for abnormal, auc in ((None, None), ([False] * 3, None), ([True, False, True], 0.5)):
        own = OwnInput(None if abnormal is None else np.array(abnormal))
        found = anomaly_scores(outputs, Split(frames, labels, ["a", "b", "c"], (), targets, own))
        assert found is not None and found.scores.tolist() == [0, 0.125, 0.25]
        assert found.auc == auc and found.to_json()["auc"] == auc


def principal_components(path: Path, x: Array, count: int) -> ModelFile:
    """An auto-encoder of two layers that projects on the first principal components."""
    scale, zero = 0.03, 5
    flat = x.reshape(len(x), -1).astype(np.float64)
    axes = np.linalg.svd(flat, full_matrices=False)[2][:count]
    builder, inner = Builder("encoder"), float(np.abs(flat @ axes.T).max()) / 120
    y = builder.reshape("flat", builder.input((1, *x.shape[1:]), scale, zero), (1, axes.shape[1]))
    for name, weight, quant in (("code", axes, Quant(inner, 0)), ("y", axes.T, Quant(scale, zero))):
        scales = np.abs(weight).max(axis=1) / 127
        codes = np.rint(weight / scales[:, None]).astype(np.int8)
        y = builder.fully_connected(name, y, codes, scales, np.zeros(len(codes), np.int32), quant)
    save_model(ModelFile(builder.finish(y), {"kind": "array"}, "MIT", "made by a test"), path)
    return load_any(path)


def test_a_kept_auto_encoder_scores_as_the_file_does(tmp_path: Path) -> None:
    """Before any step the scores are those of the file's own outputs. These are rounded to int8,
    which moves an output by 0.29 codes (root mean square). It then learns that
    the sensor has drifted."""
    content = vibrations(tmp_path / "v.npz")
    x = content["x"][:, None]
    model = principal_components(tmp_path / "m.mt", x[:180], 2)
    notes: list[str] = []
    project = mt.compile(
        model, output=tmp_path / "p", head="keep", loss="mse", scheme="head-only",
        note=notes.append,
    )  # fmt: skip
    assert notes == ["the head starts as the model's own output layer: 144 outputs"]
    found = project.regression.evaluate(tmp_path / "v.npz", note=notes.append)
    assert found.anomaly is not None and found.anomaly.auc is not None
    assert found.anomaly.auc > 0.99 and "zeros" not in " ".join(notes)
    graph = model.graph
    split = load_values(open_values(tmp_path / "v.npz"), "test", MODALITY, LENGTH * CHANNELS)
    for frame, score in zip(split.frames, found.anomaly.scores, strict=True):
        codes = evaluate(graph, {graph.input_tensor.name: frame[None]})[graph.outputs[0]]
        errors = (codes.reshape(-1).astype(float) - frame.reshape(-1)) / 128
        assert np.sqrt(score) == pytest.approx(np.sqrt((errors**2).mean()), abs=0.35 / 128)
    np.savez(tmp_path / "drift.npz", **(content | {"x": content["x"] + 0.5}))
    drifted = project.regression.evaluate(tmp_path / "drift.npz", note=notes.append).anomaly
    learnt = project.regression.train(tmp_path / "drift.npz", epochs=2, lr=0.5, note=notes.append)
    assert drifted is not None and learnt.anomaly is not None
    means = [scores.mean(abnormal=False) for scores in (drifted, learnt.anomaly)]
    assert means[1] is not None and means[0] is not None and means[1] < means[0] / 4
    assert learnt.anomaly.auc == 1.0


def test_python_has_the_scores(encoder: tuple[Path, Path]) -> None:
    notes: list[str] = []
    outcome = mt.open(encoder[0]).regression.evaluate(encoder[1], note=notes.append)
    assert isinstance(outcome.anomaly, mt.AnomalyScores)
    assert len(outcome.anomaly.scores) == len(outcome.anomaly.samples) == 60
    assert outcome.to_json()["anomaly"] == outcome.anomaly.to_json()
    split = load_values(open_values(encoder[1]), "test", MODALITY, LENGTH * CHANNELS)
    values = mt.open(encoder[0]).regression.predict(split.frames, note=notes.append)
    assert values.anomaly_scores.tolist() == outcome.anomaly.scores.tolist()
    few = replace(values, outputs=values.outputs[:, :2])
    with pytest.raises(mt.MicrotuneError, match="2 outputs for 144 inputs is no auto-encoder"):
        few.anomaly_scores  # noqa: B018
