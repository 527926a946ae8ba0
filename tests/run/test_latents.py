"""A step from a latent learns the bits of a step from the frame, on the host and on the chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microtune import embedded, pipeline
from microtune.data import Preprocessing, Split, open_dataset
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.project.project import Project
from microtune.run.emulator import run_firmware
from microtune.run.host import HostLibrary
from microtune.run.job import (
    JOB_NAME,
    RESULT_NAME,
    Call,
    Record,
    read_results,
    write_job,
)
from microtune.run.runners import HostRunner
from microtune.targets import load_target
from microtune.tools.toolchain import build_firmware
from microtune.train.trainer import TrainingPlan, run_training
from tests.projects import compile_project

STEPS = 12


@pytest.fixture(scope="module")
def splits() -> tuple[Split, Split]:
    model = load_any(embedded.MODEL)
    data = open_dataset(embedded.DATA)
    preprocessing = Preprocessing.from_json(model.preprocessing)
    few = np.arange(60, dtype=np.int64)
    train, test = (data.load(name, preprocessing).take(few) for name in ("train", "test"))
    return train, test


@pytest.mark.parametrize("input_mode", ["resident", "rows"])
@pytest.mark.parametrize("scheme", ["last-7", "head-only"])
def test_the_same_run_from_latents(
    tmp_path: Path, splits: tuple[Split, Split], scheme: str, input_mode: pipeline.InputMode
) -> None:
    project = compile_project(tmp_path / "p", scheme, input_mode=input_mode)
    plan = TrainingPlan(2, 0.01, "cosine", 3)
    plain = run_training(HostRunner(tmp_path / "p", 3), project.graph, plan, *splits)
    runner = HostRunner(tmp_path / "p", 3, threads=2)
    train, test = (runner.use_latents(split) for split in splits)
    latent = run_training(runner, project.graph, plan, train, test)
    assert latent.parameters_sha256 == plain.parameters_sha256
    assert latent.logits_sha256 == plain.logits_sha256
    assert latent.test_accuracy == plain.test_accuracy


def test_without_a_frozen_layer_there_is_none(tmp_path: Path, splits: tuple[Split, Split]) -> None:
    compile_project(tmp_path / "p", "full")
    runner = HostRunner(tmp_path / "p", 0)
    assert runner.library.latent_bytes == 0
    with pytest.raises(MicrotuneError, match="first layer is trained"):
        runner.use_latents(splits[0])


def test_a_latent_of_another_size_is_refused(tmp_path: Path) -> None:
    compile_project(tmp_path / "p", "last-3")
    library = HostLibrary(tmp_path / "p")
    for wrong in (np.zeros(library.latent_bytes - 1, np.int8), np.zeros(640, np.int16)):
        with pytest.raises(MicrotuneError, match="640 values of int8"):
            library.step(Call.INFER_LATENT, wrong)


@pytest.mark.chip
@pytest.mark.parametrize("scheme", ["last-7", "none"])
def test_the_chip_runs_from_latents(
    tmp_path: Path, splits: tuple[Split, Split], scheme: str
) -> None:
    """Every second step from a latent; then inferences both ways. Fewer instructions, same bits."""
    project = compile_project(tmp_path / "p", scheme)
    train = splits[0]
    calls = [Call.TRAIN, Call.TRAIN_LATENT] if project.graph.updates else []
    frames = list(zip(train.frames[:STEPS], train.labels[:STEPS], strict=True))
    mixed = [
        Record(calls[i % 2], frame, int(label), 0.01)
        for i, (frame, label) in enumerate(frames)
        if calls
    ] + [Record(call, frames[0][0]) for call in (Call.INFER, Call.INFER_LATENT)]
    plain = [
        Record(Call.TRAIN if record.learning_rate else Call.INFER, record.frame,
               record.label, record.learning_rate) for record in mixed
    ]  # fmt: skip
    found, counts = chip(tmp_path / "chip", project, tmp_path / "p", mixed)
    expected, whole = chip(tmp_path / "plain", project, tmp_path / "p", plain)
    assert found == expected
    assert found[-1] == found[-2]
    pairs = list(zip(mixed, counts, whole, strict=True))
    assert all(n < m for record, n, m in pairs if record.call.source == "latent")


def chip(
    folder: Path, project: Project, directory: Path, records: list[Record]
) -> tuple[list[tuple[int, list[int]]], list[int]]:
    """((predicted, logits) and the instructions) of each record on the emulated Cortex-M7."""
    folder.mkdir()
    target = load_target("cortex-m7")
    firmware = build_firmware(directory, target, folder / "firmware.elf")
    graph = project.graph
    size = graph.tensors["input"].bytes
    job = write_job(folder / JOB_NAME, 0, records, size, project.classes)
    run = run_firmware(firmware.elf, target, folder, plugin=True)
    run.require_success()
    results = list(read_results(folder / RESULT_NAME, job))
    assert all(result.status == 0 for result in results)
    return [(r.predicted, r.logits.tolist()) for r in results], list(run.call_instructions)
