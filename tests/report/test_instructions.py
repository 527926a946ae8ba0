"""Bounds, rows and pictures of the instruction report."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from microtune import embedded, pipeline
from microtune.codegen.instructions_bound import (
    Work,
    bound,
    dense_cost,
    depthwise_cost,
    instruction_set,
    work_of,
)
from microtune.importers import load_any
from microtune.ir.graph import Graph
from microtune.measure.instruction_rows import Row, rows_by_kind, rows_by_shape, sum_rows
from microtune.report.instructions_picture import save_ladder, save_reference
from microtune.report.instructions_text import rows_table
from microtune.targets import load_target

ROWS = [
    Row("a", "conv 1x1", "8→8 at 4x4", 128, 1024, 2048, 1024.0, 2048),
    Row("b", "conv 1x1", "8→8 at 4x4", 128, 1024, 1024, 1024.0, 1024),
    Row("c", "loss", "10 elements", 10, 0, 100, None),
]


def training_graph() -> Graph:
    request = pipeline.Request(5, "last-13", load_target("cortex-m7"), 1 << 20, 1 << 20)
    return pipeline.training_graph(load_any(embedded.MODEL), request)[0]


def test_the_kernels_of_a_core() -> None:
    isa = {name: instruction_set(load_target(name).isa) for name in
           ("cortex-m7", "cortex-m4", "cortex-m55", "cortex-m3", "cortex-m0plus")}  # fmt: skip
    assert isa == {"cortex-m7": "dsp", "cortex-m4": "dsp", "cortex-m55": "mve",
                   "cortex-m3": "mla", "cortex-m0plus": "thumb1"}  # fmt: skip
    assert instruction_set(load_target("cortex-m55").isa, portable=True) == "mla"


def test_cost_of_a_product() -> None:
    """Counted by hand: docs/instructions.md."""
    assert dense_cost("dsp", 64) == 27 / 32
    assert dense_cost("dsp", 6) == 27 / 32 * 8 / 6
    assert dense_cost("mve", 24) == pytest.approx(11 / 96 * 32 / 24)
    assert depthwise_cost("dsp", 3) == pytest.approx(9 / 9)
    assert depthwise_cost("dsp", 7) == pytest.approx(42 / 49)


def test_bound_of_a_layer() -> None:
    layer = Work("conv 1x1", "", length=64, inputs=100, outputs=10, cost="convolution")
    assert bound(layer, 640, "dsp") == 640 * 27 / 32 + 3 * 10 + 100
    assert bound(Work("add", "", inputs=8, outputs=8, cost="add"), 0, "dsp") == 52
    assert bound(layer, 640, "thumb1") is None
    assert bound(Work("loss", ""), 0, "dsp") is None


def test_layers_of_a_training_graph() -> None:
    graph = training_graph()
    found = {work_of(graph, node).kind for node in graph.nodes}
    assert {"conv 3x3", "conv 1x1", "conv depthwise 3x3", "dx 1x1", "dx depthwise 3x3", "dW 1x1",
            "bias update", "head", "loss"} <= found  # fmt: skip
    first = work_of(graph, graph.nodes[0])
    made = graph.tensors[graph.nodes[0].outputs[0]]
    assert first.outputs == made.elements and first.length == 9
    for node in graph.nodes:
        if node.op == "q_conv2d_input_grad":
            assert work_of(graph, node).outputs == graph.tensors[node.outputs[0]].elements


def test_sums() -> None:
    total = sum_rows(ROWS)
    assert (total.macs, total.instructions, total.bound) == (2048, 3172, 2048)
    assert total.over_bound == 3072 / 2048  # of the layers that have a bound
    assert [row.kind for row in rows_by_kind(ROWS)] == ["conv 1x1", "loss"]
    assert [row.name for row in rows_by_shape(ROWS)] == ["2 x", "c"]
    assert ROWS[2].per_mac is None and ROWS[2].per_element == 10


def test_table_shows_counts_and_bounds() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(rows_table("title", ROWS))
    text = console.export_text()
    assert "2,048" in text and "3,172" in text and "1.50" in text


def test_pictures(tmp_path: Path) -> None:
    ours = {"cortex-m7": {"infer": 10, "train": 20}}
    published = {"engine": {"cortex-m7": {"infer": 15, "train": 30}}, "cmsis_nn": {}}
    save_reference(tmp_path / "a.png", ROWS, ours, published)
    save_ladder(tmp_path / "b.png", {"m": {"full": 30, "sparse": 10}})
    for name in ("a.png", "b.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
