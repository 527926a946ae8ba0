"""Runs side by side have the bits of runs one by one, and end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from microtune import embedded
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.run.job import Call, Record
from microtune.run.runners import HostRunner, Runner
from microtune.train.seeds import SeedRuns
from microtune.train.trainer import Progress, TrainingPlan, TrainingReport
from tests.processes import INTERRUPTIBLE, microtune
from tests.projects import compile_project, load_train


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model, three layers trained."""
    folder = tmp_path_factory.mktemp("seeds") / "p"
    compile_project(folder, "last-3")
    return folder


def command(project: Path, *more: object) -> list[str]:
    """microtune train on the embedded data."""
    words = ("train", project, "--data", embedded.DATA, *more)
    return [*INTERRUPTIBLE, *map(str, words)]


def test_seeds_have_the_bits_of_single_runs(project: Path, tmp_path: Path) -> None:
    """More seeds than this machine may have cores, each also run alone."""

    def figures(*more: object) -> dict[str, object]:
        target = tmp_path / "figures.json"
        subprocess.run(command(project, "--steps", 30, "--json", target, *more), check=True)
        found: dict[str, object] = json.loads(target.read_text())
        return found

    together = figures("--seeds", "3,1,2")
    runs = together["runs"]
    assert isinstance(runs, list) and [run["seed"] for run in runs] == [3, 1, 2]
    accuracies = []
    for run in runs:
        alone = figures("--seed", run["seed"])
        assert {**run, "seconds": 0} == {**alone, "seconds": 0}
        accuracies.append(run["test_accuracy"])
    assert together["test_accuracy_mean"] == pytest.approx(sum(accuracies) / 3)


def test_inferences_on_several_cores_have_the_same_bits(project: Path) -> None:
    """Between training steps, in order, with the parameters of that moment."""
    train = load_train(embedded.DATA, load_any(embedded.MODEL))
    records = [Record(Call.TRAIN, train.frames[i], int(train.labels[i]), 0.01)
               for i in range(8)]  # fmt: skip
    records += [Record(Call.INFER, frame) for frame in train.frames[:50]]
    records += [records[0], *records[8:20]]

    def logits(threads: int) -> tuple[list[list[int]], bytes]:
        runner = HostRunner(project, 5, threads=threads)
        return [result.logits.tolist() for result in runner.run(records)], runner.saved()

    assert logits(3) == logits(1)


def members(group: int) -> dict[int, str]:
    """Live processes of a process group and the names of their programs."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().rpartition(")")
        except OSError:
            continue
        state, _, owner = rest.split()[:3]
        if int(owner) == group and state != "Z":
            found[int(folder.name)] = name.partition("(")[2]
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_an_interrupted_run(project: Path, word: signal.Signals) -> None:
    """Ctrl-C reaches all processes of the terminal; a kill only the first."""
    run = subprocess.Popen(
        command(project, "--epochs", 1000, "--seeds", "1,2"), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while sum(name.startswith("python") for name in members(run.pid).values()) < 2:
            assert run.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)
        (os.killpg if word is signal.SIGINT else os.kill)(run.pid, word)
        out, error = run.communicate(timeout=60)
        assert run.returncode not in (0, 2) and "Traceback" not in out + error
        while members(run.pid):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        for process in members(run.pid):
            os.kill(process, signal.SIGKILL)


@pytest.fixture
def _sigterm_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_run_that_fails_is_named(project: Path, _sigterm_ignored: None) -> None:
    """With its own words; the other run is ended, also where this process ignores SIGTERM."""

    def train(runner: Runner, plan: TrainingPlan, progress: Progress) -> TrainingReport:
        if plan.seed == 2:
            raise MicrotuneError("no luck")
        time.sleep(60)
        return TrainingReport(plan)

    plan = TrainingPlan(1, 0.01, "constant", 0)
    start = time.monotonic()
    with (
        pytest.raises(MicrotuneError, match="seed 2: no luck"),
        SeedRuns(HostRunner(project, 0), plan, [2, 1], train) as runs,
    ):
        runs.reports(lambda done, total, note: None)
    assert time.monotonic() - start < 50


@pytest.mark.parametrize(("more", "words"), [
    (("--seeds", "1,,2"), "no list of seeds"), (("--seeds", "1,1"), "twice"),
    (("--seeds", "1,2", "--on", "numpy"), "needs --on host"),
    (("--seeds", "1,2", "--save", "x.bin"), "keeps one run"),
])  # fmt: skip
def test_refusals(project: Path, more: tuple[str, ...], words: str) -> None:
    done = microtune(*command(project, *more)[len(INTERRUPTIBLE) :])
    assert done.returncode == 2 and words in " ".join(done.stderr.split())
