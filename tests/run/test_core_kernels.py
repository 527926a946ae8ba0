"""The kernels of the emulated cores against the numpy meaning on networks of every odd shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microtune import pipeline
from microtune.ir.evaluate import evaluate
from microtune.ir.execution import Execution
from microtune.ir.graph import Graph
from microtune.ir.modelfile import ModelFile
from microtune.project.project import Project, write_project
from microtune.run.emulator import run_firmware
from microtune.run.job import (
    JOB_NAME,
    RESULT_NAME,
    Call,
    Record,
    read_results,
    write_job,
)
from microtune.targets import load_target
from microtune.tools.toolchain import build_firmware
from tests.passes.prefixes import CLASSES, RandomPrefix, random_prefix

CASES = 12
MEGABYTE = 1 << 20


def write_prefix(folder: Path, prefix: RandomPrefix, graph: Graph, core: str) -> None:
    """A project of the finished prefix, streamed or layer by layer, by frame or by rows."""
    graph.execution = Execution("rows" if prefix.rng.integers(2) else "resident")
    graph = pipeline.schedule(graph, "stream" if prefix.rng.integers(3) else "in-place")
    project = Project(
        model=ModelFile(graph, {}, "", ""), graph=graph, plan=pipeline.plan_graph(graph),
        target=load_target(core), scheme_name="none", scheme_sha256="00" * 32, sram_bytes=MEGABYTE,
        flash_bytes=MEGABYTE, model_sha256="00" * 32, classes=CLASSES,
        formats={"bias": "int16", "head": "int16"}, analytic_kb=None,
    )  # fmt: skip
    write_project(project, folder)


def firmware_logits(folder: Path, prefix: RandomPrefix, core: str) -> tuple[list[int], list[int]]:
    """(on the core, by numpy)."""
    target = load_target(core)
    graph = prefix.finish()
    expected = evaluate(graph, {"input": prefix.frame})["logits"].reshape(-1)
    write_prefix(folder / "p", prefix, graph, core)
    firmware = build_firmware(folder / "p", target, folder / "firmware.elf")
    record = Record(Call.INFER, np.ascontiguousarray(prefix.frame[0]))
    job = write_job(folder / JOB_NAME, 0, [record], prefix.frame.nbytes, CLASSES, measure=False)
    run_firmware(firmware.elf, target, folder).require_success()
    result = next(iter(read_results(folder / RESULT_NAME, job)))
    return result.logits.tolist(), expected.tolist()


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7"])
@pytest.mark.parametrize("seed", range(CASES))
def test_random_networks(tmp_path: Path, seed: int, core: str) -> None:
    found, expected = firmware_logits(tmp_path, random_prefix(seed), core)
    assert found == expected
