"""What a notebook sees of the public functions: errors, warnings, progress, `repr`, nothing
printed."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microtune as mt
from microtune import embedded

FEW = 20


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> mt.Project:
    folder = tmp_path_factory.mktemp("api") / "tops"
    return mt.compile(embedded.MODEL, data=embedded.DATA, scheme="last-3", output=folder)


def quiet(line: str) -> None:
    """A note that is not looked at."""


def test_importing_the_package_loads_nothing() -> None:
    code = (
        "import sys, microtune as mt; print([n for n in sys.modules if n.startswith('microtune')"
        " or n in ('numpy', 'rich', 'typer', 'PIL')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['microtune']\n"


def test_every_public_name_exists_and_is_documented() -> None:
    for name in mt.__all__:
        value = getattr(mt, name)
        if not isinstance(value, int | float):
            assert len(inspect.getdoc(value) or "") > 40, name
        if inspect.isfunction(value):
            assert "Raises" in (value.__doc__ or "") or not inspect.signature(value).parameters
            assert "return" in inspect.get_annotations(value), name
    assert set(mt.__all__) <= set(dir(mt)) and set(mt._HOMES) | {"search"} == set(mt.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mt.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_search_is_a_function_and_its_room(tmp_path: Path) -> None:
    """Also when a module of the room was imported before."""
    import microtune.search.problem

    assert mt.search is microtune.search and callable(mt.search)
    assert "step_instructions" in inspect.signature(mt.search).parameters
    with pytest.raises(mt.MicrotuneError, match=r"is called NAME\.toml"):
        mt.search(embedded.MODEL, embedded.DATA, output=tmp_path / "scheme.txt")


WRONG_COMPILE: list[dict[str, Any]] = [
    {"classes": None}, {"classes": True}, {"classes": ["one"]}, {"classes": ["a", "a"]},
    {"classes": 1}, {"classes": 10**6}, {"target": "cortex-m99"}, {"target": "absent.toml"},
    {"sram": "many"}, {"sram": -1}, {"sram": 2.5}, {"sram": "1KB"}, {"flash": "1KB"},
    {"bias": "int8"}, {"head": 16}, {"head": "int16"}, {"head_format": "int8"},
    {"loss": "l1"}, {"input": "frames"}, {"schedule": ""}, {"replay": "x"},
    {"prefix": "1a"}, {"learnt": "absent.bin"}, {"data": "absent"}, {"scheme": "last-x"},
    {"scheme": ""}, {"scheme": 3}, {"model": "absent.mt"}, {"model": 3}, {"output": ""},
    {"output": "a\0b"}, {"class_names": True}, {"output": "/proc/microtune"},
]  # fmt: skip


@pytest.mark.parametrize("change", WRONG_COMPILE, ids=str)
def test_compile_refuses_with_the_one_error(tmp_path: Path, change: dict[str, Any]) -> None:
    options: dict[str, Any] = {
        "model": embedded.MODEL, "classes": 5, "scheme": "last-2", "output": tmp_path / "p",
    }  # fmt: skip
    with pytest.raises(mt.MicrotuneError):
        mt.compile(**options | change)
    assert not (tmp_path / "p").exists()


Call = Callable[[mt.Project, Path], object]
WRONG_CALLS: list[Call] = [
    lambda p, f: mt.load(f), lambda p, f: mt.load(3),  # type: ignore[arg-type]
    lambda p, f: mt.save(mt.load(embedded.MODEL), f / "model.zip"),
    lambda p, f: mt.open(f), lambda p, f: mt.open(f / "absent"),
    lambda p, f: mt.emit(embedded.MODEL, "nothing", classes=5, scheme="last-2"),
    lambda p, f: mt.emit(embedded.MODEL, "after:nothing", classes=5, scheme="last-2"),
    lambda p, f: mt.emit(embedded.MODEL, "graph", classes=5, scheme="last-2", step_instructions=5),
    lambda p, f: p.train(f / "absent"),
    lambda p, f: p.train(embedded.DATA, epochs=0),
    lambda p, f: p.train(embedded.DATA, epochs=1.5),  # type: ignore[arg-type]
    lambda p, f: p.train(embedded.DATA, steps=0),
    lambda p, f: p.train(embedded.DATA, lr=-1.0),
    lambda p, f: p.train(embedded.DATA, lr=float("nan")),
    lambda p, f: p.train(embedded.DATA, lr="fast"),  # type: ignore[arg-type]
    lambda p, f: p.train(embedded.DATA, lr_schedule="linear"),  # type: ignore[arg-type]
    lambda p, f: p.train(embedded.DATA, seed=-1),
    lambda p, f: p.train(embedded.DATA, seed=2**32),
    lambda p, f: p.train(embedded.DATA, seeds="a,b"),
    lambda p, f: p.train(embedded.DATA, seeds=[1, 1]),
    lambda p, f: p.train(embedded.DATA, seeds=[]),
    lambda p, f: p.train(embedded.DATA, seeds=[1, 2], seed=1),
    lambda p, f: p.train(embedded.DATA, seeds=[1, 2], save=f / "s.bin"),
    lambda p, f: p.train(embedded.DATA, on="gpu"),  # type: ignore[arg-type]
    lambda p, f: p.train(embedded.DATA, save=f),
    lambda p, f: p.train(embedded.DATA, save=p.path / "plan.json"),
    lambda p, f: p.train(embedded.DATA, save=f / "s.bin", on="numpy"),
    lambda p, f: p.train(embedded.DATA, load=f / "absent.bin"),
    lambda p, f: p.train(embedded.DATA, anew=True),
    lambda p, f: p.train(embedded.DATA, latents=True, augment="flip"),
    lambda p, f: p.train(embedded.DATA, augment="twist"),
    lambda p, f: p.train(embedded.DATA, rehearse=1),
    lambda p, f: p.train(embedded.DATA, rehearse=-1),
    lambda p, f: p.evaluate(embedded.DATA, split="all"),  # type: ignore[arg-type]
    lambda p, f: p.evaluate(embedded.DATA, on="gpu"),  # type: ignore[arg-type]
    lambda p, f: p.evaluate(f / "absent"),
    lambda p, f: p.predict([]), lambda p, f: p.predict(f / "absent.png"),
    lambda p, f: p.predict(f), lambda p, f: p.predict(np.zeros((1, 28, 28, 1))),
    lambda p, f: p.predict(np.zeros((1, 3, 28, 28), np.int8)),
    lambda p, f: p.predict(np.zeros((0, 28, 28, 1), np.int8)),
    lambda p, f: p.measure(target="cortex-m99"), lambda p, f: p.measure(images=0),
    lambda p, f: p.measure(optimisation="-O9; true"),
    lambda p, f: p.measure(target="stm32f746"),
    lambda p, f: p.measure_layers(target="cortex-m99"),
    lambda p, f: p.plan().save(f / "map.pdf"), lambda p, f: p.plan().save(f),
    lambda p, f: mt.search(embedded.MODEL, embedded.DATA, output=f / "s.toml", seeds=1),
    lambda p, f: mt.search(embedded.MODEL, embedded.DATA, output=f / "s.toml", workers=0),
    lambda p, f: mt.search(embedded.MODEL, embedded.DATA, output=f / "s.toml", address="x"),
    lambda p, f: mt.search(embedded.MODEL, f / "absent", output=f / "s.toml", fast=True),
    lambda p, f: mt.load_target("cortex-m99"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::microtune.MicrotuneWarning")
@pytest.mark.parametrize("number", range(len(WRONG_CALLS)))
def test_methods_refuse_with_the_one_error(
    project: mt.Project, tmp_path: Path, number: int
) -> None:
    before = {path: path.read_bytes() for path in project.path.rglob("*") if path.is_file()}
    with pytest.raises(mt.MicrotuneError) as raised:
        WRONG_CALLS[number](project, tmp_path)
    assert len(str(raised.value)) > 15
    after = {path: path.read_bytes() for path in project.path.rglob("*") if path.is_file()}
    assert after == before


def test_what_the_machine_refuses_is_the_same_error(
    project: mt.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OSError from anywhere inside becomes the sentence that the command line prints."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr("microtune.api.project.evaluate_project", full)
    with pytest.raises(mt.MicrotuneError, match=r"/somewhere: No space left.* make room"):
        project.evaluate(embedded.DATA, note=quiet)


def test_nothing_is_printed_and_progress_is_told(
    project: mt.Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    events: list[mt.Progress] = []
    outcome = project.train(
        embedded.DATA, steps=FEW, save=tmp_path / "l.bin", progress=events.append, note=quiet
    )
    project.evaluate(embedded.DATA, load=tmp_path / "l.bin", progress=events.append, note=quiet)
    seen = project.predict(
        np.zeros((3, *project.input_shape), np.int8), progress=events.append, note=quiet
    )
    assert capfd.readouterr() == ("", "")
    stages = list(dict.fromkeys(event.stage for event in events))
    assert stages == ["reading images", "training on host", "evaluating on host",
                      "predicting on host"]  # fmt: skip
    for stage in stages:
        own = [event for event in events if event.stage == stage]
        assert own[0].done == 0 and own[-1].ended
        assert [event.ended for event in own].count(True) == 1
        assert [event.done for event in own] == sorted(event.done for event in own)
    trained = [event for event in events if event.stage == "training on host"]
    assert (trained[-1].done, trained[-1].total) == (FEW, FEW)
    assert "loss" in trained[1].note
    assert outcome.steps == FEW and len(seen) == 3 and seen.names == [project.class_names[0]] * 3


def test_warnings_point_to_the_callers_line(project: mt.Project) -> None:
    with pytest.warns(mt.MicrotuneWarning) as caught:
        outcome = project.train(embedded.DATA, steps=1)
    lines = [str(one.message) for one in caught]
    assert outcome.warnings and set(outcome.warnings) <= set(lines)
    assert {Path(one.filename).name for one in caught} == {Path(__file__).name}
    with pytest.warns(mt.MicrotuneWarning, match="head is all zeros"):
        project.evaluate(embedded.DATA)


def test_an_outcome_says_what_it_is(project: mt.Project, tmp_path: Path) -> None:
    outcome = project.train(embedded.DATA, epochs=1, note=quiet)
    assert isinstance(outcome, mt.Outcome) and 0.2 < outcome.accuracy < 1
    assert outcome.matrix.sum() == len(outcome.labels) == 600
    assert outcome.accuracy == outcome.matrix.trace() / 600
    assert len(outcome.by_class) == 5 and len(outcome.epochs) == 1
    assert outcome.classes == project.class_names and outcome.trained == (200,) * 5
    text = repr(outcome)
    assert f"{100 * outcome.accuracy:.1f} % right after 1,000 steps" in text
    assert outcome.parameters_sha256[:12] in text and "Pullover" in text
    assert outcome.save_confusion(tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(mt.MicrotuneError):
        outcome.save_confusion(project.path / "plan.json")


def test_several_seeds_are_one_outcome(project: mt.Project) -> None:
    both = project.train(embedded.DATA, seeds=[3, 4], steps=FEW, note=quiet)
    alone = [project.train(embedded.DATA, seed=s, steps=FEW, note=quiet) for s in (3, 4)]
    assert [run.parameters_sha256 for run in both.runs] == [a.parameters_sha256 for a in alone]
    assert (both.matrix == alone[0].matrix + alone[1].matrix).all()
    assert "2 seeds" in repr(both) and len(both.to_json()["runs"]) == 2


def test_an_interrupted_training_goes_on_to_the_same_bits(
    project: mt.Project, tmp_path: Path
) -> None:
    saved = tmp_path / "l.bin"
    notes: list[str] = []

    def stop(event: mt.Progress) -> None:
        if event.stage == "training on host" and event.done == FEW // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project.train(embedded.DATA, epochs=1, save=saved, progress=stop, note=notes.append)
    assert notes == [f"interrupted: the same command with --load {saved} goes on"]
    rest = project.train(embedded.DATA, epochs=1, steps=FEW, load=saved, note=quiet)
    whole = project.train(embedded.DATA, epochs=1, steps=FEW, note=quiet)
    assert rest.parameters_sha256 == whole.parameters_sha256


def test_representations_help(project: mt.Project) -> None:
    assert re.fullmatch(
        r"Project\('.*tops': fashion5, 5 classes \(T-shirt/top, .*\), scheme last-3, cortex-m7, "
        r"input resident, SRAM [\d,]+ of 262,144 bytes planned\)", repr(project),
    )  # fmt: skip
    model = mt.load(embedded.MODEL)
    assert re.fullmatch(r"Model\('fashion5': int8 input 28 x 28 x 1, \d+ layers, classes .*\)",
                        repr(model))  # fmt: skip
    assert all(word in repr(mt.inspect(model)) for word in ("dw 3x3 s1", "MACs", "last-K"))
    assert "lower bound" in repr(project.plan()) and "alive" in project.plan().text(width=60)
    assert repr(mt.load_target("stm32f746")) == (
        "Target('stm32f746': Cortex-M7, flash 1,048,576 bytes, SRAM 327,680 bytes "
        "(dtcm 65,536, sram1 245,760, sram2 16,384))"
    )
    assert "entries" in repr(mt.cache())
    frames = np.zeros((30, *project.input_shape), np.int8)
    assert "and 10 more" in repr(project.predict(frames, note=quiet))


def test_a_project_sees_what_is_compiled_into_its_folder(tmp_path: Path) -> None:
    project = mt.compile(embedded.MODEL, classes=5, scheme="head-only", output=tmp_path / "p")
    assert (project.classes, len(project.class_names)) == (5, 0)
    mt.compile(embedded.MODEL, classes=["x", "y"], scheme="head-only", output=tmp_path / "p")
    assert (project.classes, project.class_names) == (2, ("x", "y"))
    (tmp_path / "p/plan.json").write_text("{}")
    with pytest.raises(mt.MicrotuneError, match="plan"):
        project.figures  # noqa: B018
    with pytest.raises(mt.MicrotuneError, match="plan"):
        mt.open(tmp_path / "p")


@pytest.mark.chip
def test_a_measurement_says_what_it_counted(project: mt.Project) -> None:
    measured = project.measure(embedded.DATA, images=1, note=quiet)
    figures = measured.to_json()
    assert figures["train_instructions"] > figures["infer_instructions"] > 100_000
    assert f"infer instructions: {figures['infer_instructions']:,}" in repr(measured)
    counts = project.measure_layers()
    assert set(counts.phases) == {"infer", "train"} and "instructions of each layer" in repr(counts)


def test_frames_are_what_evaluation_runs(project: mt.Project) -> None:
    found = project.frames(embedded.DATA)
    assert found.frames.shape == (len(found.labels), *project.input_shape)
    outcome = project.evaluate(embedded.DATA, note=quiet)
    assert outcome.labels.tolist() == found.labels.tolist()
    asked = project.predict(found.frames[:FEW], note=quiet)
    assert asked.labels == outcome.predictions[:FEW].tolist()
    with pytest.raises(mt.MicrotuneError, match="has no val images"):
        project.frames(embedded.DATA, split="val")


def test_a_linear_probe_beats_guessing_and_is_the_same_every_time(
    project: mt.Project, tmp_path: Path
) -> None:
    """On every third of the images: numpy computes their features one by one."""
    with np.load(embedded.DATA) as arrays:
        some = {name: arrays[name][::3] for name in ("images", "label", "test")}
        np.savez(tmp_path / "some.npz", classes=arrays["classes"], **some)
    first = project.linear_probe(tmp_path / "some.npz")
    assert 0.5 < first <= 1
    assert project.linear_probe(tmp_path / "some.npz") == first


def test_evaluating_at_the_end_changes_no_bit(project: mt.Project) -> None:
    each, end = (
        project.train(embedded.DATA, epochs=2, lr=0.02, evaluate=when, note=quiet)
        for when in ("each-epoch", "at-the-end")
    )
    assert [epoch.test_accuracy is None for epoch in each.epochs] == [False, False]
    assert [epoch.test_accuracy is None for epoch in end.epochs] == [True, False]
    assert end.parameters_sha256 == each.parameters_sha256 and end.accuracy == each.accuracy


def test_missing_tools_are_sentences_that_name_a_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from microtune.tools.toolchain import find_arm_gcc

    monkeypatch.setenv("PATH", str(tmp_path))
    find_arm_gcc.cache_clear()
    try:
        assert any("gcc-arm-none-eabi" in sentence for sentence in mt.missing_tools())
    finally:
        find_arm_gcc.cache_clear()
