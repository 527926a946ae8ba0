"""Row streaming changes where rows live and never what they are."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtune.codegen.model_source import model_header, model_source
from microtune.codegen.scratch import scratch_rule
from microtune.ir.builder import Builder
from microtune.ir.evaluate import evaluate
from microtune.ir.execution import Execution, InputMode
from microtune.ir.graph import Array, Graph, Quant
from microtune.ir.verifier import InvalidGraphError, verify
from microtune.memory.banks import MemoryPlan
from microtune.memory.lifetimes import in_segment, step_buffers
from microtune.memory.planner import plan_arena
from microtune.memory.rings import image_height, prefix_length, segments_of
from microtune.passes.in_place import in_place
from microtune.passes.stream import stream
from microtune.pipeline import Schedule, plan_graph, schedule
from microtune.runtime.files import (
    RUNTIME,
    core_sources,
    kernel_sources,
    runtime_includes,
)
from microtune.tools.sets import without_other_sets
from tests.passes.prefixes import RandomPrefix, random_prefix

seeds = st.integers(0, 2**32 - 1)


class Memory(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("bytes", ctypes.c_size_t))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime as objects, under the sanitizers' eyes."""
    folder = tmp_path_factory.mktemp("runtime")
    sources = without_other_sets(gcc(), RUNTIME, [*core_sources(), *kernel_sources()])
    command = [*gcc(), "-c", *(str(RUNTIME / source) for source in sources)]
    subprocess.run(command, cwd=folder, check=True)
    return folder


def gcc() -> list[str]:
    return ["gcc", "-std=c99", "-O1", "-fPIC", "-fsanitize=undefined",
            "-fno-sanitize-recover=all", *runtime_includes()]  # fmt: skip


def run_c(runtime: Path, graph: Graph, plan: MemoryPlan, frame: Array) -> Array:
    """Logits of the generated C; the arenas are as large as planned, with guards around each."""
    folder = runtime / f"{graph.name}"
    folder.mkdir(exist_ok=True)
    (folder / "microtune_model.h").write_text(model_header(graph, plan))
    (folder / "microtune_model.c").write_text(model_source(graph, plan, "00" * 32, "00" * 32))
    objects = sorted(str(p) for p in runtime.glob("*.o"))
    library = folder / f"{np.random.default_rng().integers(2**60)}.so"
    command = [*gcc(), "-O0", "-w", "-shared", "microtune_model.c", *objects, "-o", str(library)]
    subprocess.run(command, cwd=folder, check=True)
    c = ctypes.CDLL(str(library))
    for name in ("mt_context_bytes", "mt_arena_bytes"):
        getattr(c, name).restype = ctypes.c_size_t
    for name in ("mt_input", "mt_output"):
        getattr(c, name).restype = ctypes.c_void_p
    guard, sizes = 64, [c.mt_arena_bytes(i) for i in range(c.mt_arena_count())]
    assert sizes == [arena.plan.arena_bytes for arena in plan.arenas]
    context, memory = ctypes.c_void_p(), np.zeros(c.mt_context_bytes() + 8, np.int64)
    arenas = [np.full(size + 2 * guard, 0x5A, np.uint8) for size in sizes]
    bases = [a.ctypes.data + guard + -(a.ctypes.data + guard) % 8 for a in arenas]
    pointer = ctypes.c_void_p
    c.mt_init.argtypes = [Memory, pointer, ctypes.c_uint32, ctypes.c_uint32, pointer]
    listed = (Memory * len(sizes))(*map(Memory, bases, sizes))
    block = Memory(memory.ctypes.data, memory.nbytes)
    assert c.mt_init(block, listed, len(sizes), 0, ctypes.byref(context)) == 0
    if graph.execution.by_rows:
        read = ctypes.cast(c.mt_read_frame_row, pointer)
        assert c.mt_set_row_source(context, read, pointer(frame.ctypes.data)) == 0
    else:
        ctypes.memmove(c.mt_input(context), frame.ctypes.data, frame.nbytes)
    result = (ctypes.c_int32 * 2)()
    assert c.mt_infer(context, result) == 0
    for arena, base, size in zip(arenas, bases, sizes, strict=True):
        begin = base - arena.ctypes.data
        assert (arena[:begin] == 0x5A).all() and (arena[begin + size :] == 0x5A).all()
    classes = graph.tensors["logits"].elements
    return np.frombuffer(ctypes.string_at(c.mt_output(context), 4 * classes), "<i4")


def random_cuts(graph: Graph, rng: np.random.Generator) -> Graph:
    """Segments wherever chance puts them."""
    result, number = in_place(graph), 0
    for index in range(prefix_length(graph)):
        number += int(rng.random() < 0.4)
        if number % 3:
            result = in_segment(result, [result.nodes[index]], number)
    return verify(result)


@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_rows_are_the_same_bits(runtime: Path, seed: int) -> None:
    """Best and random cuts, frame and rows, against the layer-by-layer meaning."""
    prefix = random_prefix(seed)
    graph = prefix.finish()
    expected = evaluate(graph, {"input": prefix.frame})["logits"].reshape(-1)
    graph.execution = Execution("rows" if prefix.rng.integers(2) else "resident")
    scheduled = schedule(graph, "stream")
    if prefix.rng.integers(2):
        scheduled = random_cuts(graph, prefix.rng)
    plan = plan_graph(scheduled)
    assert (run_c(runtime, scheduled, plan, prefix.frame) == expected).all()


@settings(max_examples=200, deadline=None)
@given(seed=seeds)
def test_no_row_is_made_twice_or_missed(seed: int) -> None:
    """The order makes rows upwards, at most once, and never reads a row that was overwritten."""
    prefix = random_prefix(seed)
    graph = prefix.finish()
    graph.execution = Execution("rows")
    for segment in segments_of(random_cuts(graph, prefix.rng)):
        made = dict.fromkeys(segment.stages, 0)
        nodes = {n.outputs[0]: n for n in graph.nodes[segment.first : segment.last]}
        for number in segment.order:
            name = segment.stages[number]
            row = made[name]
            made[name] += 1
            for source in nodes[name].inputs if name in nodes else ():
                if source not in made:
                    continue
                node, height = nodes[name], image_height(graph, source)
                first = last = row
                if node.op == "conv2d":
                    kernel = graph.tensors[node.inputs[1]].shape[1]
                    first = row * node.ints("stride")[0] - node.ints("padding")[0]
                    last = first + kernel - 1
                elif node.op == "average_pool":
                    first = row * node.ints("stride")[0]
                    last = first + node.ints("kernel")[0] - 1
                if last >= 0 and first < height:
                    assert made[source] > min(last, height - 1)
                    assert made[source] - segment.rings[source] <= max(first, 0)
        assert all(made[name] <= image_height(graph, name) for name in made)
        assert made[segment.stages[-1]] == image_height(graph, segment.stages[-1])


def all_cuts(graph: Graph) -> Iterator[Graph]:
    """Each layer of the prefix whole, in the segment of the one before, or in a new segment."""
    graph = in_place(graph)
    for kinds in product(["whole", "before", "new"], repeat=prefix_length(graph)):
        if any(b == "before" and a == "whole" for a, b in pairwise(("whole", *kinds))):
            continue
        result, number = graph.copy(), 0
        for index, kind in enumerate(kinds):
            number += kind == "new"
            if kind != "whole":
                result = in_segment(result, [result.nodes[index]], number)
        yield verify(result)


@pytest.mark.parametrize("mode", ["resident", "rows"])
@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_cuts_are_the_best_of_all(length: int, mode: InputMode) -> None:
    """None of all ways to cut has a smaller live set."""
    found = 0
    for seed in range(200):
        graph = random_prefix(seed).finish()
        graph.execution = Execution(mode)
        if prefix_length(graph) == length:
            bounds = [_bound(cut) for cut in all_cuts(graph)]
            assert _bound(stream(in_place(graph), scratch_rule)) == min(bounds), seed
            found += min(bounds) < max(bounds)
        if found == 3:
            return
    pytest.fail(f"only {found} graphs of this length")


def _bound(graph: Graph) -> int:
    return plan_arena(step_buffers(graph, scratch_rule(graph))).lower_bound


def test_the_examples_cover_the_hard_cases() -> None:
    tags: set[str] = set()
    for seed in range(60):
        tags |= random_prefix(seed).tags
    wanted = {f"kernel {k}" for k in range(1, 8)} | {"stride 1", "stride 2", "residual"}
    assert wanted | {"asymmetric", "depthwise True", "depthwise False"} <= tags


def test_a_broken_segment_is_refused() -> None:
    prefix = RandomPrefix(3)
    for _ in range(3):
        prefix.x = prefix.conv(prefix.x, same=True)
    graph = prefix.finish()
    for index, number in ((0, 1), (1, 2), (2, 1)):
        graph = in_segment(graph, [graph.nodes[index]], number)
    with pytest.raises(InvalidGraphError, match="not one run"):
        verify(graph)


Layer = tuple[int, tuple[int, int], tuple[int, int], tuple[int, int, int, int]]
SHAPES: dict[str, tuple[tuple[int, ...], list[Layer]]] = {
    "one pixel": ((1, 1, 1, 1), [(1, (1, 1), (1, 1), (0, 0, 0, 0))]),
    "kernel over all": ((1, 1, 1, 1), [(3, (7, 7), (1, 1), (3, 3, 3, 3))]),
    "kernel larger than the frame": ((1, 3, 2, 1), [(4, (7, 5), (2, 2), (6, 4, 6, 4))]),
    "odd, stride 2": ((1, 7, 9, 3), [(8, (3, 3), (2, 2), (1, 1, 1, 1))] * 3),
    "rows nobody reads": ((1, 9, 9, 2), [(4, (1, 1), (3, 3), (0, 0, 0, 0))] * 2),
    "rows of padding": ((1, 2, 2, 2), [(4, (3, 3), (2, 2), (2, 2, 5, 5))] * 2),
    "no layer": ((1, 6, 5, 2), []),
    "a vector": ((1, 12), []),
}


@pytest.mark.parametrize("schedule_level", ["layers", "in-place", "stream"])
@pytest.mark.parametrize("mode", ["resident", "rows"])
@pytest.mark.parametrize("shape", SHAPES)
def test_extreme_shapes(
    runtime: Path, shape: str, mode: InputMode, schedule_level: Schedule
) -> None:
    prefix = RandomPrefix(5)
    prefix.builder = Builder(shape.replace(" ", "_").replace(",", ""))
    frame_shape, layers = SHAPES[shape]
    prefix.x = prefix.builder.input(frame_shape, 0.02, 5)
    prefix.frame = prefix.rng.integers(-128, 128, frame_shape).astype(np.int8)
    for number, (outputs, kernel, stride, padding) in enumerate(layers):
        channels = prefix.builder.graph.tensors[prefix.x].shape[3]
        weight = prefix.rng.integers(-127, 128, (outputs, *kernel, channels)).astype(np.int8)
        prefix.x = prefix.builder.conv2d(
            f"conv{number}", prefix.x, weight, np.full(outputs, 0.004),
            np.zeros(outputs, np.int32), Quant(0.03, 3), stride=list(stride), padding=padding,
        )  # fmt: skip
    graph = prefix.finish()
    expected = evaluate(graph, {"input": prefix.frame})["logits"].reshape(-1)
    graph.execution = Execution(mode)
    scheduled = schedule(graph, schedule_level)
    plan = plan_graph(scheduled)
    assert len(set(expected.tolist())) > 1
    assert (run_c(runtime, scheduled, plan, prefix.frame) == expected).all()


def test_a_segment_has_no_more_stages_than_a_byte_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = RandomPrefix(3)
    prefix.builder = Builder("long")
    prefix.x = prefix.builder.input((1, 40, 8, 1), 0.02, 5)
    for _ in range(9):
        prefix.x = prefix.conv(prefix.x, same=True)
    graph = prefix.finish()
    graph.execution = Execution("rows")
    longest = max(len(s.stages) for s in segments_of(stream(graph, scratch_rule)))
    for module in ("memory.rings", "passes.stream"):
        monkeypatch.setattr(f"microtune.{module}.ALL_STAGES", 4)
    cut = [len(s.stages) for s in segments_of(stream(graph, scratch_rule))]
    assert longest > 4 and max(cut) <= 4
