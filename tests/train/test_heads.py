"""The whole way with the model's own classes and with one logit: compile, train, save, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microtune as mt
from microtune import embedded
from microtune.errors import MicrotuneError
from microtune.project.manifest import HeadEntry, Manifest, read_plan
from microtune.run.host import HostLibrary
from tests.processes import microtune
from tests.train.test_array_modality import random_network, swings

OWN = ("Trouser", "Sandal", "Sneaker", "Bag", "Ankle boot")
SMALL = ("--sram", "64KB", "--flash", "256KB")


def compiled(model: Path, folder: Path, *options: object) -> Path:
    done = microtune("compile", model, "-o", folder, *options)
    assert done.returncode == 0, done.stderr
    return folder


def refused(model: Path, *options: object) -> str:
    done = microtune("compile", model, *options)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done
    return " ".join(done.stderr.split())


def trained(project: Path, data: Path, result: Path, *more: object) -> dict[str, Any]:
    done = microtune("train", project, "--data", data, "--json", result, *more)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return content


def pairs(path: Path) -> Path:
    """The slow and the fast swings only."""
    content = dict(np.load(swings(path)))
    kept = content["label"] != 1
    for name in ("x", "label", "test"):
        content[name] = content[name][kept]
    content["label"] //= 2
    np.savez(path, **(content | {"classes": ["slow", "fast"]}))
    return path


@pytest.fixture(scope="module")
def wardrobe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with five more classes, which are those of its data."""
    options = ("--head", "extend:5", "--data", embedded.DATA, "--scheme", "last-3")
    folder = tmp_path_factory.mktemp("wardrobe") / "p"
    return compiled(embedded.MODEL, folder, *options)


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(a project of two classes with one output and a replay memory, its data)."""
    folder = tmp_path_factory.mktemp("binary")
    data = pairs(folder / "pairs.npz")
    options = ("--loss", "binary", "--data", data, "--scheme", "last-1", "--replay", "4KB", *SMALL)
    return compiled(random_network(folder / "m.mt"), folder / "p", *options), data


def test_classes_are_added_in_the_field(wardrobe: Path, tmp_path: Path) -> None:
    """Data that have the new classes only; numpy and the C have the same bits; what was saved
    evaluates to the same accuracy; the own classes are still there."""
    plan = read_plan(wardrobe)
    assert plan.class_names[:5] == OWN and len(plan.class_names) == plan.classes == 10
    assert plan.head == HeadEntry("extend", 5) and plan.loss == "cross-entropy"
    state, few = tmp_path / "s.bin", ("--steps", 6, "--lr", 0.01, "--evaluate", "at-the-end")
    host = trained(wardrobe, embedded.DATA, tmp_path / "h.json", *few, "--save", state)
    assert host["classes"] == list(plan.class_names)
    outcome = mt.open(wardrobe).evaluate(embedded.DATA, load=state, note=print)
    assert outcome.accuracy == host["test_accuracy"]
    library = HostLibrary(wardrobe, flags=("-O1",))
    frames = mt.open(wardrobe).frames(embedded.DATA, split="train")
    assert min(frames.labels) == 5
    notes: list[str] = []
    mt.open(wardrobe).train(embedded.DATA, steps=1, evaluate="at-the-end", note=notes.append)
    assert any(f"classes that the head knows: {', '.join(OWN)}. It for" in note for note in notes)
    assert {library.infer(frame) for frame in frames.frames[::40]} <= set(range(5))


@pytest.mark.parametrize("on", ["numpy", pytest.param("qemu", marks=pytest.mark.chip)])
def test_an_extended_head_has_the_bits_of_numpy(wardrobe: Path, tmp_path: Path, on: str) -> None:
    small = tmp_path / "few.npz"
    content = dict(np.load(embedded.DATA))
    kept = np.concatenate([np.flatnonzero(content["test"] == t)[:12] for t in (False, True)])
    for name in ("images", "label", "test"):
        content[name] = content[name][kept]
    np.savez(small, **content)
    few = ("--steps", 5, "--lr", 0.01)
    host = trained(wardrobe, small, tmp_path / "h.json", *few)
    other = trained(wardrobe, small, tmp_path / "o.json", *few, "--on", on)
    for key in ("parameters_sha256", "logits_sha256", "epochs"):
        assert host[key] == other[key]


def test_one_class_of_a_kept_head_can_be_shown_alone(tmp_path: Path) -> None:
    """Its own names come along; data may be of a single class, and a word that is none of its own
    is refused."""
    model = random_network(tmp_path / "m.mt")
    data = swings(tmp_path / "swings.npz")
    names = ("--head", "keep", "--scheme", "head-only", *SMALL)
    folder = compiled(model, tmp_path / "p", *names, "--data", data)
    plan = read_plan(folder)
    assert (plan.head, plan.class_names) == (HeadEntry("keep", 3), ("slow", "mid", "fast"))
    content = dict(np.load(data))
    content |= {"label": np.zeros(240, np.int64), "classes": np.array(["mid"])}
    np.savez(tmp_path / "mid.npz", **content)
    report = trained(folder, tmp_path / "mid.npz", tmp_path / "r.json", "--epochs", 1, "--lr", 0.05)
    assert report["test_accuracy"] == 1.0 and report["classes"] == ["slow", "mid", "fast"]
    np.savez(tmp_path / "new.npz", **(content | {"classes": np.array(["other"])}))
    done = microtune("train", folder, "--data", tmp_path / "new.npz")
    assert done.returncode == 2 and "only in the data: other" in " ".join(done.stderr.split())


def test_a_binary_classifier_learns_evaluates_and_predicts(
    binary: tuple[Path, Path], tmp_path: Path
) -> None:
    """With rehearsal; numpy and the C have the same bits. Probabilities are those of both classes,
    and what was saved evaluates and goes on as it was."""
    project, data = binary
    plan = read_plan(project)
    assert (plan.classes, plan.outputs, plan.loss) == (2, 1, "binary")
    assert Manifest.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    header = (project / "model/microtune_model.h").read_text()
    assert "#define MT_OUTPUTS 1\n" in header and "#define MT_CLASSES 2\n" in header
    few = ("--epochs", 2, "--lr", 0.1, "--rehearse", 1)
    host = trained(project, data, tmp_path / "h.json", *few, "--save", tmp_path / "s.bin")
    numpy = trained(project, data, tmp_path / "n.json", *few, "--on", "numpy")
    for key in ("parameters_sha256", "logits_sha256", "epochs", "test_accuracy"):
        assert host[key] == numpy[key]
    assert host["test_accuracy"] > 0.9 and not host["diverged"]
    state = ("--load", tmp_path / "s.bin")
    done = microtune("evaluate", project, "--data", data, *state, "--json", tmp_path / "e.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "e.json").read_text())["accuracy"] == host["test_accuracy"]
    content = np.load(data)
    np.save(tmp_path / "one.npy", content["x"][-1])
    found = mt.open(project).predict(tmp_path / "one.npy", load=tmp_path / "s.bin").images[0]
    assert found.probabilities.sum() == pytest.approx(1) and len(found.probabilities) == 2
    assert found.label == found.probabilities.argmax()


@pytest.mark.chip
def test_a_binary_classifier_has_the_bits_of_the_chip(
    binary: tuple[Path, Path], tmp_path: Path
) -> None:
    few = ("--steps", 40, "--lr", 0.1, "--rehearse", 1)
    host = trained(*binary, tmp_path / "h.json", *few)
    chip = trained(*binary, tmp_path / "c.json", *few, "--on", "qemu")
    for key in ("parameters_sha256", "logits_sha256", "epochs", "test_accuracy"):
        assert host[key] == chip[key]


def test_the_c_knows_two_classes_of_one_output(binary: tuple[Path, Path]) -> None:
    """A logit of 0 is class 0, as the first of equal ones; a third class is refused."""
    library = HostLibrary(binary[0], flags=("-O1",))
    frame = np.zeros((1, 48, 3), np.int8)
    assert (library.infer(frame), library.logits().tolist()) == (0, [0])
    library.set_learning_rate(0.1)
    before = library.save()
    with pytest.raises(MicrotuneError, match="bad argument"):
        library.train_step(frame, 2)
    assert library.save() == before
    assert library.train_step(frame, 1) == (0, round(np.log(2) * 65536))
    assert library.infer(frame) == 1 and library.logits()[0] > 0


def test_a_plan_that_says_another_loss_is_refused(
    binary: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "p"
    compiled(embedded.MODEL, folder, "--classes", 2, "--scheme", "head-only")
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps(plan | {"loss": "binary"}))
    with pytest.raises(MicrotuneError, match="--loss binary, not cross-entropy"):
        mt.open(folder)
    older = {key: value for key, value in plan.items() if key not in ("loss", "head")}
    (folder / "plan.json").write_text(json.dumps(older))
    assert mt.open(folder).classes == 2


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    """One error, exit code 2, and nothing is written."""
    output = ("--scheme", "head-only", "-o", tmp_path / "q")
    for options, words in (
        (("--head", "extend:0"), "extend needs at least one class"),
        (("--head", "extend:2", "--outputs", 4), "adds classes; --outputs and --loss mse learn"),
        (("--head", "extend:2", "--loss", "binary"), "--loss binary tells two classes apart"),
        (("--head", "keep", "--loss", "binary"), "tells two classes apart, not 5"),
        (("--head", "keep", "--classes", 4), "--head keep has 5 classes, 5 of them the model's"),
        (("--head", "keep", "--classes", "a,b,c,d,e"), "the model's own are Trouser"),
        (("--head", "keep", "--outputs", 4), "--head keep has the 5 outputs of the model"),
        (("--head", "keep", "--data", embedded.DATA), "5 classes beside those of --head keep"),
        (("--head", "extend:2", "--data", embedded.DATA), "5 classes beside those of --head ext"),
        (("--head", "extend:2", "--classes", "a"), "must be the 2 new ones, or all 7 classes"),
        (("--head", "extend:1", "--classes", "Bag"), "one name is there twice"),
        (("--head", "extend:2044"), "a classifier needs 2 to 2048 classes"),
        (("--loss", "mse"), "an auto-encoder of this model: --outputs 784"),
        (("--loss", "binary", "--outputs", 1), "--loss binary learns classes: leave one"),
        (("--loss", "cross-entropy", "--outputs", 9), "--loss cross-entropy learns classes"),
        (("--loss", "binary", "--classes", 3), "tells two classes apart, not 3"),
        (("--loss", "mse", "--outputs", 4, "--classes", 4), "--outputs learns values: leave"),
        (("--loss", "mse", "--data", embedded.DATA), "--loss mse learns values: leave --classes"),
        (("--head", "int16", "--classes", 3), "a number format is chosen by --head-format int16"),
    ):
        assert words in refused(embedded.MODEL, *options, *output)
    none = ("--head", "extend:1", "--scheme", "none", "-o", tmp_path / "q")
    assert "could never be learnt" in refused(embedded.MODEL, *none)
    assert not (tmp_path / "q").exists()
