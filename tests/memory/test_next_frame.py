"""The logits of a call outlive the filling of the next frame, in every plan and in the C."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import memory as reference
import pytest

from microtune import embedded, pipeline
from microtune.importers import load_any
from microtune.ir.graph import Array
from microtune.ir.modelfile import ModelFile
from microtune.memory.banks import MemoryPlan
from microtune.memory.next_frame import validate_logits
from microtune.memory.planner import PlanError
from microtune.run.host import HostLibrary
from microtune.run.job import Call
from microtune.targets import load_target
from microtune.training.build import Formats
from microtune.training.calibrate import synthetic_frame
from microtune.training.scheme import published_schemes
from tests.projects import compile_project

SCHEDULES: tuple[pipeline.Schedule, ...] = ("layers", "in-place", "stream")


def bytes_of(plan: MemoryPlan, name: str) -> set[tuple[int, int]]:
    """(arena, address) of every byte of a buffer; none if the plan does not hold it."""
    size = {buffer.name: buffer.bytes for buffer in plan.buffers}[name]
    arena, offset = plan.place(name)
    return {(arena, offset + i) for i in range(size)}


def check(model: ModelFile, request: pipeline.Request) -> None:
    graph, _ = pipeline.training_graph(model, request)
    plan = pipeline.plan_graph(graph, request)
    assert not bytes_of(plan, "logits") & bytes_of(plan, "input")


@pytest.mark.parametrize("target", ["cortex-m7", "cortex-m7-banks"])
@pytest.mark.parametrize("scheme", ["none", "head-only", "last-6"])
def test_no_plan_lets_the_next_frame_overwrite_the_logits(target: str, scheme: str) -> None:
    model, heads = load_any(embedded.MODEL), ("int16", "float32")
    for schedule, head in ((s, h) for s in SCHEDULES for h in heads):
        request = pipeline.Request(
            5, scheme, load_target(target), 1 << 28, 1 << 28,
            Formats(head="float32" if head == "float32" else "int16"), schedule=schedule,
        )  # fmt: skip
        check(model, request)


@pytest.mark.data
@pytest.mark.parametrize("name", ["mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3"])
def test_no_plan_of_a_large_network_does(data_folder: Path, name: str) -> None:
    model = load_any(data_folder / f"models/mit_tiny-training/{name}.pkl")
    for scheme in (next(iter(published_schemes(name))), "head-only"):
        row = reference.Row(name, scheme, "resident", 0, 0)
        check(model, reference.request_of(row))


def test_a_plan_that_does_is_refused() -> None:
    request = pipeline.Request(5, "head-only", load_target("cortex-m7"), 1 << 28, 1 << 28)
    graph, _ = pipeline.training_graph(load_any(embedded.MODEL), request)
    plan = pipeline.plan_graph(graph, request)
    validate_logits(plan, graph)
    own = plan.arenas[0].plan
    moved = replace(own, offsets=own.offsets | {"logits": own.offsets["input"] + 8})
    broken = replace(plan, arenas=(replace(plan.arenas[0], plan=moved),))
    with pytest.raises(PlanError, match="next frame"):
        validate_logits(broken, graph)


CALLS: dict[str, Callable[[HostLibrary, Array, Array], object]] = {
    "infer": lambda c, frame, _: c.infer(frame),
    "train": lambda c, frame, _: c.train_step(frame, 1),
    "infer_latent": lambda c, _, latent: c.step(Call.INFER_LATENT, latent),
    "train_latent": lambda c, _, latent: c.step(Call.TRAIN_LATENT, latent, 2),
    "keep": lambda c, frame, _: c.step(Call.TRAIN_KEEP, frame, 3),
    "rehearse": lambda c, *_: c.step(Call.REHEARSE),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_logits_stay_while_the_next_frame_is_written(
    tmp_path: Path, schedule: pipeline.Schedule
) -> None:
    """After every call that classifies; without a next frame's step the small network's plan by
    layers lays the logits into the frame."""
    project = compile_project(tmp_path / "p", "head-only", schedule=schedule, replay=1024)
    library = HostLibrary(tmp_path / "p", flags=("-O1",))
    library.set_learning_rate(0.01)
    frame = synthetic_frame(project.graph.tensors["input"].shape, 1)[0]
    latent = library.make_latent(frame)
    for name, call in CALLS.items():
        call(library, frame, latent)
        before = library.logits().tolist()
        address = library._c.mt_input(library._context)
        for byte in (0x5A, 0x80):
            ctypes.memset(address, byte, frame.nbytes)
            assert library.logits().tolist() == before, name
