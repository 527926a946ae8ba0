"""The public functions and the command line are one thing: same files, same hashes, same names."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import microtune as mt
from microtune import embedded
from microtune.api.compiling import CompileOptions
from tests.docs.command_line import commands
from tests.processes import microtune

# Options of the commands that print, draw or write what a public function returns.
OF_THE_TERMINAL = {
    "compile": {"output", "emit"}, "train": {"predictions", "confusion", "json_file"},
    "evaluate": {"predictions", "confusion", "json_file"}, "predict": {"top", "json_file"},
    "measure": {"layers", "json_file"}, "search": set(), "plan": {"output"},
}  # fmt: skip
# Parameters of the commands that are written in another way on the command line.
SPELLED = {"input_mode": "input", "with_marks": "train_marks", "plans": "compare_plans"}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "compile": mt.compile, "search": mt.search, "train": mt.Project.train,
    "evaluate": mt.Project.evaluate, "predict": mt.Project.predict,
    "measure": mt.Project.measure, "plan": mt.Project.plan,
}  # fmt: skip


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[mt.Project, Path]:
    """The same network, compiled from Python and by the command."""
    folder = tmp_path_factory.mktemp("projects")
    project = mt.compile(
        mt.load(embedded.MODEL), data=embedded.DATA, scheme="last-3", target="cortex-m7-banks",
        sram=256 * 1024, flash="1MB", input="rows", prefix="tops_", replay="8KB",
        bias="int32", head_format="float32", class_names=True, output=folder / "python",
    )  # fmt: skip
    done = microtune(
        "compile", embedded.MODEL, "--data", embedded.DATA, "--scheme", "last-3", "--target",
        "cortex-m7-banks", "--input", "rows", "--prefix", "tops_", "--replay", "8KB",
        "--bias", "int32", "--head-format", "float32", "--class-names", "-o", folder / "command",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return project, folder / "command"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def run(*words: object) -> None:
    done = microtune(*words)
    assert done.returncode == 0, done.stderr


def test_a_project_has_the_same_bytes(projects: tuple[mt.Project, Path]) -> None:
    ours, theirs = contents(projects[0].path), contents(projects[1])
    assert ours.keys() == theirs.keys() and len(ours) > 30
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_every_option_reaches_the_project(projects: tuple[mt.Project, Path]) -> None:
    """Both ways share one path: what is equal may be equally wrong."""
    folder = projects[0].path
    plan = json.loads((folder / "plan.json").read_text())
    assert (plan["prefix"], plan["input"], plan["target"]["name"], plan["scheme"]["name"]) == (
        "tops_", "rows", "cortex-m7-banks", "last-3"
    )  # fmt: skip
    assert plan["budget"] == {"sram_bytes": 2**18, "flash_bytes": 2**20}
    assert plan["formats"] == {"bias": "int32", "head": "float32"}
    assert 0 < plan["replay_bytes"] <= 8 * 1024
    assert plan["class_names"] == list(projects[0].class_names) and len(plan["class_names"]) == 5
    assert "mt_class_names" in (folder / "model/tops_microtune_model.h").read_text()
    layers = mt.emit(embedded.MODEL, "training", scheme="last-3", classes=5, schedule="layers")
    assert layers != mt.emit(embedded.MODEL, "training", scheme="last-3", classes=5)


def test_a_training_has_the_same_hashes_and_state(
    projects: tuple[mt.Project, Path], tmp_path: Path
) -> None:
    outcome = projects[0].train(
        str(embedded.DATA), steps=40, lr=0.01, lr_schedule="constant", seed=5, rehearse=1,
        augment="flip", balance=True, save=tmp_path / "python.bin", note=lambda line: None,
    )  # fmt: skip
    run("train", projects[1], "--data", embedded.DATA, "--steps", 40, "--lr", 0.01,
        "--lr-schedule", "constant", "--seed", 5, "--rehearse", 1, "--augment", "flip",
        "--balance", "--save", tmp_path / "command.bin", "--json", tmp_path / "t.json",
        "--predictions")  # fmt: skip
    figures = json.loads((tmp_path / "t.json").read_text())
    ours = outcome.to_json(predictions=True)
    assert {k: v for k, v in figures.items() if k != "seconds"} == {
        k: v for k, v in json.loads(json.dumps(ours)).items() if k != "seconds"
    }
    assert (tmp_path / "python.bin").read_bytes() == (tmp_path / "command.bin").read_bytes()
    _evaluation_and_prediction(projects, tmp_path)


def _evaluation_and_prediction(projects: tuple[mt.Project, Path], folder: Path) -> None:
    """With what was learnt: outcome of a split, and a picture's probabilities and bytes."""
    learnt, picture = folder / "python.bin", folder / "picture.png"
    Image.new("L", (40, 30), 90).save(picture)
    found = projects[0].evaluate(embedded.DATA, load=learnt, note=lambda line: None)
    run("evaluate", projects[1], "--data", embedded.DATA, "--load", learnt, "--json",
        folder / "e.json")  # fmt: skip
    assert json.loads((folder / "e.json").read_text()) == found.to_json()
    seen = projects[0].predict(picture, load=learnt, dump=folder / "python.frames")
    run("predict", projects[1], picture, "--load", learnt, "--dump", folder / "command.frames",
        "--json", folder / "p.json")  # fmt: skip
    assert json.loads((folder / "p.json").read_text()) == seen.to_json()
    frames = (folder / "python.frames").read_bytes()
    assert frames == (folder / "command.frames").read_bytes() == seen.frames.tobytes()
    again = projects[0].predict(seen.frames, load=learnt)
    assert again.labels == seen.labels
    assert (again[0].probabilities == seen[0].probabilities).all()


def test_a_plan_has_the_same_pictures(projects: tuple[mt.Project, Path], tmp_path: Path) -> None:
    written = projects[0].plan().save(tmp_path / "python.svg")
    run("plan", projects[1], "-o", tmp_path / "command.svg")
    assert written == [tmp_path / "python.svg"]
    assert written[0].read_bytes() == (tmp_path / "command.svg").read_bytes()


@pytest.mark.parametrize("stage", ["graph", "training", "plan"])
def test_emit_gives_the_same_text(stage: str) -> None:
    done = microtune("compile", embedded.MODEL, "--classes", 5, "--scheme", "last-2", "--emit",
                     stage)  # fmt: skip
    assert mt.emit(embedded.MODEL, stage, classes=5, scheme="last-2") == done.stdout


def test_a_model_is_inspected_and_saved_alike(tmp_path: Path) -> None:
    run("inspect", embedded.MODEL, "--classes", 0, "--json", tmp_path / "i.json")
    assert json.loads((tmp_path / "i.json").read_text()) == mt.inspect(embedded.MODEL).to_json()
    mt.save(mt.load(embedded.MODEL), tmp_path / "python.mt")
    run("convert", embedded.MODEL, "-o", tmp_path / "command.mt")
    assert (tmp_path / "python.mt").read_bytes() == (tmp_path / "command.mt").read_bytes()


def test_a_search_writes_the_same_scheme(tmp_path: Path) -> None:
    """Estimated, within a budget that leaves room for some layers; in caches of their own."""
    told: list[object] = []
    found = mt.search(
        embedded.MODEL, embedded.DATA, output=tmp_path / "found.toml", sram="24KB", fast=True,
        epochs=1, workers=1, cache=tmp_path / "one", on_choice=told.append,
    )  # fmt: skip
    run("search", embedded.MODEL, "--data", embedded.DATA, "-o", tmp_path / "command/found.toml",
        "--sram", "24KB", "--fast", "--epochs", 1, "--workers", 1, "--cache",
        tmp_path / "two")  # fmt: skip
    assert found.scheme.read_bytes() == (tmp_path / "command/found.toml").read_bytes()
    assert found.written == (found.scheme,) and told == [found.result]
    assert "24,440 of 24,576" in repr(found)
    small = mt.compile(
        embedded.MODEL, classes=5, scheme=found.scheme, sram="24KB", output=tmp_path / "p"
    )
    assert small.figures.planned_sram_bytes == found.result.planned.sram


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_option_of_a_command_is_one_of_the_function(name: str) -> None:
    """Names are those of the command line; so are the defaults that it states."""
    known = inspect.signature(FUNCTIONS[name]).parameters
    for parameter in commands()[name].params:
        spelled = SPELLED.get(parameter.name, parameter.name)
        if parameter.name in OF_THE_TERMINAL[name] | {"help", "project"}:
            continue
        assert spelled in known, f"{name} {parameter.opts}"
        if parameter.opts[0].startswith("--") and not parameter.required:
            default = getattr(parameter.default, "value", parameter.default)
            assert known[spelled].default == default, spelled


def test_compile_and_emit_have_the_same_options() -> None:
    own = set(inspect.signature(mt.compile).parameters)
    assert own - {"model", "output", "progress", "note"} == set(CompileOptions.__annotations__)
