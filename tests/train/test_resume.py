"""Going on from what was saved: the bits of a run without a break, or one clear refusal."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from microtune import embedded
from microtune.codegen.layout import offset_names, parameter_slots
from microtune.data.image.augment import Augmentation
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.project.learnt import read_learnt
from microtune.project.manifest import NamedHash, SchemeEntry
from microtune.run.runners import BackEnd, HostRunner
from microtune.train.session import OpenProject, Session
from microtune.train.trainer import Epoch, TrainingPlan, TrainingReport
from microtune.training.build import Formats
from tests.projects import compile_project, load_train

SAMPLES = 24
PLAN = TrainingPlan(4, 0.02, "cosine", 3)
BREAKS = (10, SAMPLES, 2 * SAMPLES + 5)


def quiet(done: int, total: int, note: str) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("resume") / "p"
    compile_project(place, "last-3", Formats("int16", "float32"))
    return place


@pytest.fixture(scope="module")
def session(folder: Path) -> Session:
    """A few images, so that a run has several epochs; two thirds are of one class."""
    opened = OpenProject.read(folder)
    train = load_train(embedded.DATA, load_any(embedded.MODEL))
    many = np.flatnonzero(train.labels == 0)[: 2 * SAMPLES // 3]
    few = np.flatnonzero(train.labels != 0)[: SAMPLES // 3]
    names = tuple(str(label) for label in range(5))
    some = train.take(np.concatenate([many, few]))
    return Session(folder, opened.graph, "host", some, train.take(few), names)


def run(
    session: Session, plan: TrainingPlan, save: Path | None = None, load: Path | None = None,
    on: BackEnd = "host", *, latents: bool = False,
) -> TrainingReport:  # fmt: skip
    learnt = OpenProject.read(session.project).learnt(load)
    this = replace(session, learnt=learnt, back_end=on)
    return this.train(this.resume(plan, anew=False), quiet, save, latents=latents)


@pytest.mark.parametrize("change", [
    {}, {"balance": True}, {"augmentation": Augmentation(1, 2, 9)}, {"schedule": "constant"},
])  # fmt: skip
def test_a_run_with_breaks_has_the_bits_of_one_without(
    session: Session, tmp_path: Path, change: dict[str, object]
) -> None:
    """Broken off in an epoch, behind one, and again."""
    plan = replace(PLAN, **change)  # type: ignore[arg-type]
    whole = run(session, plan, tmp_path / "whole")
    load: Path | None = None
    epochs: list[Epoch] = []
    for steps in (*BREAKS, None):
        part = run(session, replace(plan, steps=steps), tmp_path / "part", load)
        load, epochs = tmp_path / "part", [*epochs, *part.epochs]
    assert (tmp_path / "part").read_bytes() == (tmp_path / "whole").read_bytes()
    assert part.parameters_sha256 == whole.parameters_sha256
    assert (part.steps, part.plan.done) == (4 * SAMPLES, BREAKS[-1])
    assert epochs[-1] == whole.epochs[-1], "the last epoch was run whole, behind the last break"
    assert part.to_json()["steps_before"] == BREAKS[-1]


def test_latents_and_numpy_go_on_with_the_same_bits(session: Session, tmp_path: Path) -> None:
    plan = replace(PLAN, epochs=2)
    whole = run(session, plan, tmp_path / "whole")
    run(session, replace(plan, steps=30), tmp_path / "half")
    latent = run(session, plan, tmp_path / "latent", tmp_path / "half", latents=True)
    meaning = run(session, plan, None, tmp_path / "half", "numpy")
    assert (tmp_path / "latent").read_bytes() == (tmp_path / "whole").read_bytes()
    assert meaning.parameters_sha256 == latent.parameters_sha256 == whole.parameters_sha256
    assert meaning.logits_sha256 == latent.logits_sha256


@pytest.mark.chip
def test_the_chip_goes_on_from_the_host_and_the_host_from_the_chip(
    session: Session, tmp_path: Path
) -> None:
    plan = replace(PLAN, epochs=2, evaluate="at-the-end")
    run(session, plan, tmp_path / "whole")
    run(session, replace(plan, steps=13), tmp_path / "host")
    run(session, replace(plan, steps=31), tmp_path / "chip", tmp_path / "host", "qemu")
    run(session, replace(plan, steps=31), tmp_path / "alone")
    assert (tmp_path / "chip").read_bytes() == (tmp_path / "alone").read_bytes()
    run(session, plan, tmp_path / "end", tmp_path / "chip")
    assert (tmp_path / "end").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.chip
def test_a_balanced_run_is_the_same_on_host_numpy_and_chip(session: Session) -> None:
    plan = replace(PLAN, steps=12, balance=True, evaluate="at-the-end")
    reports = [run(session, plan, on=place) for place in ("host", "numpy", "qemu")]
    assert len({(r.parameters_sha256, r.logits_sha256) for r in reports}) == 1
    plain = run(session, replace(plan, balance=False))
    assert plain.parameters_sha256 != reports[0].parameters_sha256


def test_a_finished_run_and_stored_samples_are_refused(session: Session, tmp_path: Path) -> None:
    run(session, replace(PLAN, epochs=1), tmp_path / "s")
    with pytest.raises(MicrotuneError, match=r"done already.*--anew"):
        run(session, replace(PLAN, epochs=1), None, tmp_path / "s")
    with pytest.raises(MicrotuneError, match="stored samples"):
        run(session, replace(PLAN, rehearse=1), None, tmp_path / "s")


def test_anew_is_a_new_run_from_what_was_learnt(session: Session, tmp_path: Path) -> None:
    """The random bits go on with the steps of the file; the plan begins at its beginning."""
    plan = replace(PLAN, epochs=1)
    first = run(session, plan, tmp_path / "s")
    learnt = read_learnt(tmp_path / "s")
    assert (learnt.seed, learnt.steps) == (3, SAMPLES)
    this = replace(session, learnt=learnt)
    second = this.train(this.resume(plan, anew=True), quiet, tmp_path / "t")
    assert second.steps == SAMPLES and second.epochs[0].train_loss < first.epochs[0].train_loss
    again = read_learnt(tmp_path / "t")
    assert (again.seed, again.steps) == (3, 2 * SAMPLES)


def test_another_plan_than_that_which_was_saved_is_noticed(
    session: Session, tmp_path: Path
) -> None:
    run(session, replace(PLAN, steps=10), tmp_path / "s")
    this = replace(session, learnt=read_learnt(tmp_path / "s"))
    assert this.other_rate(this.resume(PLAN, anew=False)) is None
    assert this.other_rate(this.resume(PLAN, anew=True)) is None
    for other in (replace(PLAN, epochs=5), replace(PLAN, learning_rate=0.01)):
        assert this.other_rate(this.resume(other, anew=False)) is not None


def test_a_file_of_another_project_is_refused_with_its_reason(
    session: Session, tmp_path: Path
) -> None:
    """What is no file of ours, cut short or damaged: tests/project/test_learnt.py."""
    run(session, replace(PLAN, steps=2), tmp_path / "s")
    opened = OpenProject.read(session.project)
    good, plan = (tmp_path / "s").read_bytes(), opened.plan
    for other, words in (
        (replace(plan, scheme=SchemeEntry("else", "00" * 32)), "another scheme than else"),
        (replace(plan, model=NamedHash("else", "00" * 32)), "another model"),
        (replace(plan, parameters=plan.parameters[:-1]), "other classes, in other formats"),
    ):  # fmt: skip
        with pytest.raises(MicrotuneError, match=words):
            replace(opened, plan=other).learnt(tmp_path / "s")
    (tmp_path / "s").write_bytes(good + b"\xff" * 100)
    learnt = opened.learnt(tmp_path / "s")
    assert learnt is not None and learnt.content == good, "a sector of flash has more bytes"


def test_what_python_reads_is_what_the_library_holds(session: Session, tmp_path: Path) -> None:
    run(session, replace(PLAN, steps=30), tmp_path / "s")
    learnt, graph = read_learnt(tmp_path / "s"), session.graph
    runner = HostRunner(session.project, 0)
    runner.load(learnt)
    held = runner.parameters()
    found = learnt.values(parameter_slots(graph), offset_names(graph))
    assert held.keys() < found.keys() and found.keys() - held.keys() == set(offset_names(graph))
    assert all(np.array_equal(found[name], held[name]) for name in held)
    assert runner.saved() == learnt.content
    rate = np.float32(0.02 * 0.5 * (1 + np.cos(np.pi * 29 / (4 * SAMPLES))))
    assert np.float32(learnt.learning_rate) == rate


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interruption_saves_the_step_that_was_reached(
    session: Session, tmp_path: Path, stop: type[BaseException]
) -> None:
    """Not only the end of the last epoch; what was saved is that of a run which ended there."""

    def interrupt(done: int, total: int, note: str) -> None:
        if done == SAMPLES + 7:
            raise stop

    with pytest.raises(stop):
        session.train(PLAN, interrupt, tmp_path / "broken")
    run(session, replace(PLAN, steps=SAMPLES + 7), tmp_path / "ended")
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "ended").read_bytes()


def command(folder: Path, save: Path) -> list[str]:
    return [
        sys.executable, "-m", "microtune", "train", str(folder), "--data", str(embedded.DATA),
        "--epochs", "3", "--lr", "0.02", "--save", str(save),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def unbroken(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a run on the embedded data saves."""
    save = tmp_path_factory.mktemp("unbroken") / "saved"
    done = subprocess.run(command(folder, save), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return save.read_bytes()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    folder: Path, unbroken: bytes, tmp_path: Path, stop: signal.Signals
) -> None:
    """The signal comes behind the first epoch, wherever that is."""
    saved = tmp_path / "saved"
    process = subprocess.Popen(
        command(folder, saved), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not saved.is_file() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(stop)
    _, message = process.communicate(timeout=60)
    assert process.returncode != 0 and b"Traceback" not in message
    assert b"--load" in message and saved.is_file()
    step = read_learnt(saved).steps
    assert 1000 <= step < 3000
    go_on = [*command(folder, saved), "--load", str(saved)]
    end = subprocess.run(go_on, capture_output=True, check=False)
    assert end.returncode == 0, end.stderr
    assert saved.read_bytes() == unbroken
    assert [path.name for path in tmp_path.iterdir()] == ["saved"], "nothing half-written"
