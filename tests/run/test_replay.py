"""The replay memory: its policy in numpy, the same bits on the host and on the emulated chip."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtune import embedded, pipeline
from microtune.data import Preprocessing, Split, open_dataset
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.measure.measure import measure
from microtune.memory.latent import replay_bytes
from microtune.project.project import CONTEXT, REPLAY, STACK
from microtune.run.host import HostLibrary
from microtune.run.job import Call
from microtune.run.replay import ReplayMemory
from microtune.run.runners import HostRunner, NumpyRunner, QemuRunner, Runner
from microtune.targets import load_target
from microtune.train.trainer import TrainingPlan, TrainingReport, run_training
from tests.projects import compile_project

LATENT = 640  # of the embedded model's last-3
SLOTS = 5
MEMORY = 24 + SLOTS * (LATENT + 2)


@pytest.fixture(scope="module")
def train() -> Split:
    model = load_any(embedded.MODEL)
    split = open_dataset(embedded.DATA).load("train", Preprocessing.from_json(model.preprocessing))
    return split.take(np.arange(24, dtype=np.int64))


def learn(runner: Runner, folder: Path, train: Split, rehearse: int = 2) -> TrainingReport:
    project = compile_project(folder, "last-3", replay=MEMORY + 7)
    plan = TrainingPlan(1, 0.01, "constant", 3, rehearse=rehearse)
    return run_training(runner, project.graph, plan, train, None)


def test_host_chip_and_numpy_rehearse_the_same_samples(tmp_path: Path, train: Split) -> None:
    compile_project(tmp_path / "p", "last-3", replay=MEMORY + 7)
    host = learn(HostRunner(tmp_path / "p", 3), tmp_path / "p", train)
    numpy = learn(NumpyRunner(tmp_path / "p", 3), tmp_path / "p", train)
    assert (host.parameters_sha256, host.logits_sha256) == (
        numpy.parameters_sha256, numpy.logits_sha256,
    )  # fmt: skip
    assert host.steps == len(train.labels)


@pytest.mark.chip
@pytest.mark.parametrize("input_mode", ["resident", "rows"])
def test_the_chip_rehearses_the_same_samples(
    tmp_path: Path, train: Split, input_mode: pipeline.InputMode
) -> None:
    project = compile_project(tmp_path / "p", "last-3", replay=MEMORY, input_mode=input_mode)
    plan = TrainingPlan(1, 0.01, "constant", 3, rehearse=1)
    host, chip = (
        run_training(runner, project.graph, plan, train, None)
        for runner in (HostRunner(tmp_path / "p", 3), QemuRunner(tmp_path / "p", 3))
    )
    assert host.parameters_sha256 == chip.parameters_sha256
    assert host.logits_sha256 == chip.logits_sha256


def test_from_latents_the_same_bits(tmp_path: Path, train: Split) -> None:
    compile_project(tmp_path / "p", "last-3", replay=MEMORY)
    plain = learn(HostRunner(tmp_path / "p", 3), tmp_path / "p", train)
    runner = HostRunner(tmp_path / "p", 3)
    latent = learn(runner, tmp_path / "p", runner.use_latents(train))
    assert latent.parameters_sha256 == plain.parameters_sha256
    assert latent.logits_sha256 == plain.logits_sha256


def test_a_kept_sample_changes_no_bit(tmp_path: Path, train: Split) -> None:
    """Steps that keep learn as steps that do not, whatever the memory does."""
    compile_project(tmp_path / "p", "last-3", replay=MEMORY)
    keeping, plain = HostLibrary(tmp_path / "p", 1), HostLibrary(tmp_path / "p", 1)
    for library in (keeping, plain):
        library.set_learning_rate(0.01)
    for frame, label in zip(train.frames, train.labels, strict=True):
        assert keeping.step(Call.TRAIN_KEEP, frame, int(label)) == plain.train_step(
            frame, int(label)
        )
    assert keeping.save() == plain.save()


@pytest.mark.chip
def test_the_planner_charges_what_the_linker_counts(tmp_path: Path) -> None:
    with_memory = compile_project(tmp_path / "a", "last-3", replay=MEMORY + 7)
    without = compile_project(tmp_path / "b", "last-3")
    assert with_memory.graph.execution.replay_slots == SLOTS
    assert replay_bytes(with_memory.graph) == MEMORY
    planned = [pipeline.planned_sram(p.graph, p.plan) for p in (with_memory, without)]
    linked = [measure(tmp_path / name).firmware.sizes.static_bytes for name in ("a", "b")]
    assert planned[0] - planned[1] == MEMORY
    assert linked[0] - linked[1] == -(-MEMORY // 8) * 8


def test_a_cold_memory_goes_to_the_slow_bank(tmp_path: Path) -> None:
    """The fast bank could hold it, but not beside what is accessed more often."""
    project = compile_project(tmp_path / "p", "last-3", replay=50_000, target="cortex-m7-banks")
    fast, slow = load_target("cortex-m7-banks").memories
    assert (fast.speed, slow.speed) == (1, 2) and fast.bytes > 50_000
    places = project.plan.resident_banks
    assert places == {STACK: fast.name, CONTEXT: fast.name, REPLAY: slow.name}
    assert [arena.bank for arena in project.plan.arenas] == [fast.name]


@pytest.mark.parametrize(("scheme", "size", "message"), [
    ("full", MEMORY, "no latent"), ("none", MEMORY, "trains nothing"),
    ("last-3", 24 + LATENT + 1, "one sample takes 666 bytes"),
])  # fmt: skip
def test_what_cannot_be_kept(tmp_path: Path, scheme: str, size: int, message: str) -> None:
    with pytest.raises(MicrotuneError, match=message):
        compile_project(tmp_path / "p", scheme, replay=size)


def test_rehearsing_needs_a_memory(tmp_path: Path, train: Split) -> None:
    project = compile_project(tmp_path / "p", "last-3")
    plan = TrainingPlan(1, 0.01, "constant", 3, rehearse=1)
    with pytest.raises(MicrotuneError, match="--replay"):
        run_training(HostRunner(tmp_path / "p", 3), project.graph, plan, train, None)


def test_bad_calls_are_refused(tmp_path: Path, train: Split) -> None:
    """An empty memory has nothing to rehearse, a label out of range keeps nothing."""
    compile_project(tmp_path / "p", "last-3", replay=MEMORY)
    library = HostLibrary(tmp_path / "p", 1)
    with pytest.raises(MicrotuneError, match="no row"):
        library.step(Call.REHEARSE)
    with pytest.raises(MicrotuneError, match="bad argument"):
        library.step(Call.TRAIN_KEEP, train.frames[0], 5)
    with pytest.raises(MicrotuneError, match="no row"):
        library.step(Call.REHEARSE)


@given(st.integers(1, 6), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_never_the_sample_kept_last(slots: int, count: int, seed: int) -> None:
    memory = ReplayMemory(slots, seed)
    for i in range(count):
        memory.keep(np.array([i]), i % 5, i)
        stored = {int(sample[0]) for sample, _ in memory.samples}
        assert len(memory.samples) == min(i + 1, slots) == len(stored)
        sample, label = memory.rehearsed(1000 + i)
        assert label == sample[0] % 5
        assert int(sample[0]) in stored
        assert int(sample[0]) != i or len(stored) == 1


def test_every_sample_is_equally_likely_to_stay() -> None:
    """Of 20 samples 5 stay: each in a quarter of 2,000 runs, within five standard deviations."""
    stays: Counter[int] = Counter()
    for seed in range(2000):
        memory = ReplayMemory(5, seed)
        for i in range(20):
            memory.keep(np.array([i]), 0, i)
        stays.update(int(sample[0]) for sample, _ in memory.samples)
    assert all(abs(count - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75) for count in stays.values())
    assert len(stays) == 20
