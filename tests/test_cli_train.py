"""train, evaluate and predict as a user types them: what they say, write and refuse."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from microtune import embedded
from microtune.data import open_dataset
from microtune.importers import load_any
from microtune.train.session import OpenProject
from tests.test_cli import refused, run

NAMES = ("bars", "columns", "discs")


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What went to stderr, however it was wrapped."""
    return " ".join(done.stderr.split())


def picture(kind: int, rng: np.random.Generator) -> Image.Image:
    """Horizontal bars, vertical ones, or a disc, with noise."""
    y, x = np.mgrid[0:40, 0:40]
    if kind == 2:
        plane = 220.0 * ((x - 20) ** 2 + (y - 20) ** 2 < rng.uniform(60, 120))
    else:
        plane = 127 + 100 * np.sin(((y, x)[kind] + rng.integers(0, 8)) * 2 * np.pi / 8)
    return Image.fromarray(np.clip(plane + rng.normal(0, 9, (40, 40)), 0, 255).astype(np.uint8))


def make(root: Path, names: tuple[str, ...] = NAMES, train: int = 12, test: int = 5) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for kind, name in enumerate(names if count else ()):
            place = root / split / name
            place.mkdir(parents=True)
            for i in range(count):
                picture(NAMES.index(name) if name in NAMES else kind, rng).save(place / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A project p that knows its classes, the report t.json, and what it learnt, s."""
    folder = tmp_path_factory.mktemp("trained")
    done = run("compile", embedded.MODEL, "--data", data, "--scheme", "last-3", "-o", folder / "p")
    assert done.returncode == 0, done.stderr
    done = run("train", folder / "p", "--data", data, "--epochs", 6, "--lr", "0.02", "--json",
               folder / "t.json", "--save", folder / "s", "--predictions")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "out.txt").write_text(done.stdout)
    return folder


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_train_says_what_happened_class_by_class(trained: Path) -> None:
    told, figures = (trained / "out.txt").read_text(), read(trained / "t.json")
    assert figures["classes"] == list(NAMES) and figures["split"] == "test"
    assert figures["accuracy"] == figures["test_accuracy"] > 0.6
    matrix = np.array(figures["confusion_matrix"])
    assert matrix.sum(axis=1).tolist() == [5, 5, 5]
    for label, name in enumerate(NAMES):
        share = figures["per_class"][name]["accuracy"]
        assert share == matrix[label, label] / 5 and name in told
    assert figures["balanced_accuracy"] == pytest.approx(matrix.diagonal().sum() / 15)
    found = np.zeros((3, 3), np.int64)
    for one in figures["predictions"]:
        assert Path(one["image"]).parts[-2] == one["true"]
        found[NAMES.index(one["true"]), NAMES.index(one["predicted"])] += 1
    assert found.tolist() == matrix.tolist()
    with Image.open(trained / "p/confusion.png") as drawn:
        assert min(drawn.size) > 300
    assert "Confusion matrix" in told and "confusion.png" in told
    before = told[: told.index("Training")].split()
    assert before[before.index("all") :][:5] == ["all", "│", "36", "│", "15"]


def test_evaluate_finds_what_train_found_and_nothing_before_training(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    common = ("evaluate", trained / "p", "--data", data, "--confusion", tmp_path / "c.png")
    for place in ("host", "numpy"):
        done = run(*common, "--load", trained / "s", "--on", place, "--predictions", "--json",
                   tmp_path / "e.json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        figures, before = read(tmp_path / "e.json"), read(trained / "t.json")
        for key in ("accuracy", "confusion_matrix", "per_class", "predictions", "classes"):
            assert figures[key] == before[key]
    done = run(*common, "--split", "train", "--json", tmp_path / "n.json")
    assert done.returncode == 0 and "--load FILE" in said(done)
    figures = read(tmp_path / "n.json")
    assert (figures["accuracy"], figures["never_predicted"]) == (1 / 3, ["columns", "discs"])
    assert figures["split"] == "train" and "'discs' is never predicted" in said(done)
    assert "no val images" in refused(*common, "--split", "val")


def test_labels_go_by_name_where_the_project_has_names(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    """A data set that numbers the same classes in another order, one with less, one with others."""
    images, labels = [], []
    for kind, name in enumerate(("discs", "bars", "columns")):
        for path in sorted((data / "test" / name).iterdir()):
            with Image.open(path) as image:
                images.append(np.asarray(image))
            labels.append(kind)
    both = np.concatenate([np.zeros(15, bool), np.ones(15, bool)])
    for names, share in ((["discs", "bars", "columns"], None), (["discs", "bars", "stars"], "")):
        np.savez(tmp_path / "o.npz", images=np.array(images * 2), label=np.array(labels * 2),
                 test=both, classes=np.array(names))  # fmt: skip
        common = ("evaluate", trained / "p", "--data", tmp_path / "o.npz", "--load", trained / "s")
        if share is None:
            done = run(*common, "--json", tmp_path / "o.json", "--confusion", tmp_path / "c.png")
            assert done.returncode == 0, done.stderr
            figures = read(tmp_path / "o.json")
            assert figures["classes"] == list(NAMES)
            assert figures["accuracy"] > 0.6, "labels were taken by number"
            continue
        for command in (common, ("train", *common[1:])):
            message = refused(*command)
            assert "only in the data: stars only in the project: columns" in message
            assert "bars, columns, discs" in message and "discs, bars, stars" in message
    some = make(tmp_path / "some", ("columns", "discs"))
    (some / "test/discs/film.mov").write_bytes(b"")
    done = run("evaluate", trained / "p", "--data", some, "--load", trained / "s", "--json",
               tmp_path / "s.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = read(tmp_path / "s.json")
    assert "1 .mov: test/discs/film.mov" in said(done)
    assert figures["per_class"]["bars"] == {"images": 0, "accuracy": None}
    assert figures["accuracy"] > 0.6 and figures["never_predicted"] == []
    assert "has 2 classes" in refused("train", trained / "p", "--data", some)


def test_predict_tells_the_classes_of_images_and_folders(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    before = {one["image"]: one["predicted"] for one in read(trained / "t.json")["predictions"]}
    done = run("predict", trained / "p", data / "test/discs/0.png", data / "test/bars", "--load",
               trained / "s", "--top", 2, "--json", tmp_path / "p.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = read(tmp_path / "p.json")
    assert figures["classes"] == list(NAMES) and len(figures["images"]) == 6
    for one in figures["images"]:
        assert sum(one["probabilities"].values()) == pytest.approx(1)
        assert one["predicted"] == max(one["probabilities"], key=one["probabilities"].__getitem__)
        assert one["predicted"] == before[Path(one["image"]).relative_to(data).as_posix()]
    assert done.stdout.count(".png") == 6 and done.stdout.count("%") == 12


def test_the_dump_is_what_training_saw(trained: Path, data: Path, tmp_path: Path) -> None:
    split = open_dataset(data).load("test", OpenProject.read(trained / "p").modality)
    paths = [data / name for name in split.names]
    done = run("predict", trained / "p", paths[7], "--dump", tmp_path / "one")
    assert done.returncode == 0 and "784 bytes" in done.stdout
    assert (tmp_path / "one").read_bytes() == split.frames[7].tobytes()
    assert run("predict", trained / "p", *paths, "--dump", tmp_path / "all").returncode == 0
    assert (tmp_path / "all").read_bytes() == split.frames.tobytes()


def test_what_predict_and_evaluate_cannot_do_is_said(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    project = trained / "p"
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    for place, words in (
        (tmp_path / "text.png", "text.png"), (tmp_path / "absent.png", "absent.png"),
        (tmp_path / "empty", "no images"),
    ):  # fmt: skip
        message = refused("predict", project, data / "test/bars/0.png", place,
                          "--dump", tmp_path / "d")  # fmt: skip
        assert words in message and not (tmp_path / "d").exists()
    assert "no saved state" in refused(
        "predict", project, data / "test/bars/0.png", "--load", trained / "t.json"
    )
    assert "cannot read" in refused("evaluate", project, "--data", data, "--load", tmp_path / "x")
    assert "--json FILE" in refused("evaluate", project, "--data", data, "--predictions")
    assert "not a microtune project" in refused("predict", data, data / "test/bars/0.png")


def test_files_that_are_not_ours_are_not_replaced(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    picture(0, np.random.default_rng(0)).save(photo)
    content = photo.read_bytes()
    common = ("evaluate", trained / "p", "--data", data, "--load", trained / "s")
    assert "is not replaced" in refused(*common, "--confusion", photo)
    assert "NAME.png" in refused(*common, "--confusion", tmp_path / "x.jpg")
    ours = trained / "p/confusion.png"
    drawn = ours.read_bytes()
    try:
        ours.write_bytes(content)
        done = run(*common)
        assert done.returncode == 0 and "is not replaced" in said(done)
        assert ours.read_bytes() == content == photo.read_bytes()
    finally:
        ours.write_bytes(drawn)


def test_no_output_replaces_what_is_read_or_another_output(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    project, image = trained / "p", data / "test/bars/0.png"
    archive = shutil.make_archive(str(tmp_path / "set"), "tar", data)
    train = ("train", project, "--data", archive)
    ours = [project / name for name in ("plan.json", "model/training.mt", "Makefile")]
    kept = {path: path.read_bytes() for path in (Path(archive), image, trained / "s", *ours)}
    for command, words in (
        ((*train, "--save", archive), "is read as --data"),
        ((*train, "--load", trained / "s", "--json", trained / "s"), "is read as --load"),
        ((*train, "--save", project / "plan.json"), "a file of the project"),
        ((*train, "--json", project / "model/training.mt"), "a file of the project"),
        ((*train, "--json", tmp_path / "x", "--save", tmp_path / "x"), "would both write"),
        (("evaluate", project, "--data", data, "--json", image), "is read as --data"),
        (("predict", project, image, "--dump", image), "is read as IMAGE"),
        (("predict", project, data / "test", "--dump", image), "is read as IMAGE"),
        (("measure", project, "--json", project / "Makefile"), "a file of the project"),
    ):
        assert words in refused(*command)
    assert kept == {path: path.read_bytes() for path in kept}
    assert not (tmp_path / "x").exists()


def test_options_of_train_that_exclude_each_other_are_refused_before_anything_is_read(
    trained: Path, tmp_path: Path
) -> None:
    common = ("train", trained / "p", "--data", tmp_path / "absent")
    for options, words in (
        (("--anew",), "give a file"), (("--seeds", "0,1", "--load", "x"), "not with --seeds"),
        (("--seeds", "0,1", "--seed", 1), "one of them"), (("--save", tmp_path), "it is a folder"),
        (("--json", tmp_path), "it is a folder"), (("--predictions",), "--json FILE"),
        (("--save", "/proc/none/x"), "cannot write"), (("--lr", "-1"), "must lie between"),
        (("--seeds", f"1,{2**32}"), "at most 4294967295"), (("--seed", 2**32), "4294967295"),
    ):  # fmt: skip
        assert words in refused(*common, *options)


def test_train_goes_on_with_load_and_says_where_it_cannot(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    common = ("train", trained / "p", "--data", data, "--lr", "0.02", "--epochs", 6)
    done = run(*common, "--steps", 50, "--save", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    done = run(*common, "--load", tmp_path / "s", "--save", tmp_path / "s")
    assert done.returncode == 0 and "note" not in said(done), done.stderr
    assert (tmp_path / "s").read_bytes() == (trained / "s").read_bytes()
    assert "done already" in refused(*common, "--load", tmp_path / "s")
    assert "seed 0, which goes on" in refused(*common, "--load", trained / "s", "--seed", 4)
    done = run(*common[:-1], 9, "--load", tmp_path / "s")
    assert done.returncode == 0 and "not the rest of that one" in said(done)
    done = run(*common, "--load", tmp_path / "s", "--anew", "--balance")
    assert done.returncode == 0 and "note" not in said(done)


def test_a_class_that_is_never_predicted_is_a_warning_with_ways_out(
    trained: Path, tmp_path: Path
) -> None:
    """Also without test images, and for several seeds."""
    data = make(tmp_path / "d", NAMES, 4, 0)
    for path in list((data / "train/discs").iterdir())[1:]:
        path.unlink()
    common = ("train", trained / "p", "--data", data, "--epochs", 1, "--lr", 0)
    for options, words in (((), "'discs' is never predicted: it has 1 of 9"),
                           (("--seeds", "0,1"), "in 2 of 2 runs")):  # fmt: skip
        done = run(*common, *options, "--json", tmp_path / "j")
        assert done.returncode == 0, done.stderr
        assert words in said(done) and "--balance" in said(done)
        figures = read(tmp_path / "j")
        assert "discs" in figures["never_predicted"] and figures["split"] == "train"
        assert "no test images" in " ".join(done.stdout.split())
    assert figures["runs"][1]["classes"] == list(NAMES)


@pytest.mark.chip
def test_evaluate_and_predict_run_on_the_chip(trained: Path, data: Path, tmp_path: Path) -> None:
    common = ("--load", trained / "s", "--on", "qemu", "--json", tmp_path / "j")
    done = run("evaluate", trained / "p", "--data", data, *common)
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "j")["accuracy"] == read(trained / "t.json")["accuracy"]
    image = data / "test/discs/0.png"
    assert run("predict", trained / "p", image, *common).returncode == 0
    chip = read(tmp_path / "j")
    assert run("predict", trained / "p", image, *common, "--on", "host").returncode == 0
    assert read(tmp_path / "j") == chip


def test_a_network_with_its_own_classifier_is_evaluated_and_has_nothing_to_load(
    trained: Path, tmp_path: Path
) -> None:
    """Scheme none: the classes are those of the model."""
    done = run("compile", embedded.MODEL, "--classes", 5, "--scheme", "none", "-o", tmp_path / "p")
    assert done.returncode == 0, done.stderr
    own = load_any(embedded.MODEL).classes
    data = make(tmp_path / "d", tuple(own[:3]), 0, 3)
    figures = []
    for place in ("host", "numpy"):
        done = run("evaluate", tmp_path / "p", "--data", data, "--on", place, "--predictions",
                   "--json", tmp_path / "j")  # fmt: skip
        assert done.returncode == 0 and "--load" not in said(done), done.stderr
        figures.append(read(tmp_path / "j"))
    assert figures[0] == figures[1] and figures[0]["classes"] == list(own)
    assert len(figures[0]["predictions"]) == 9
    common = (tmp_path / "p", data, "--top", 2)
    done = run("predict", *common, "--json", tmp_path / "k")
    assert done.returncode == 0, done.stderr
    found = [one["predicted"] for one in read(tmp_path / "k")["images"]]
    assert found == [one["predicted"] for one in figures[0]["predictions"]]
    assert "nothing that could be loaded" in refused("predict", *common, "--load", trained / "s")
