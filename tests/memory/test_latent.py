"""Where the frozen prefix ends."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from microtune import embedded, pipeline
from microtune.importers import load_any
from microtune.memory.latent import latent_cut
from microtune.targets import load_target

Input = Literal["resident", "rows"]


def cut_of(scheme: str, input_mode: Input, schedule: pipeline.Schedule) -> tuple[int, str] | None:
    model = load_any(embedded.MODEL)
    request = pipeline.Request(
        5, scheme, load_target("cortex-m7"), 1 << 28, 1 << 28, input=input_mode, schedule=schedule
    )
    graph, _ = pipeline.training_graph(model, request)
    cut = latent_cut(graph)
    if cut is None:
        return None
    trained = {t.name for t in graph.with_role("param")}
    assert not trained & {name for node in graph.nodes[: cut.index] for name in node.inputs}
    made = {name for node in graph.nodes[: cut.index] for name in node.outputs}
    read = {name for node in graph.nodes[cut.index :] for name in node.inputs}
    assert made & read == {cut.tensor}
    assert "input" not in read
    return graph.tensors[cut.tensor].bytes, cut.tensor


@pytest.mark.parametrize("schedule", ["layers", "in-place", "stream"])
@pytest.mark.parametrize("input_mode", ["resident", "rows"])
@pytest.mark.parametrize(("scheme", "expected"), [
    ("head-only", (128, "pool")),
    ("last-3", (640, "block5_project_add")),
    ("full", None),
])  # fmt: skip
def test_the_cut_is_one_whole_tensor(
    scheme: str, expected: tuple[int, str] | None, input_mode: Input, schedule: pipeline.Schedule
) -> None:
    assert cut_of(scheme, input_mode, schedule) == expected


def test_a_branch_around_the_first_trained_layer_moves_the_cut_up(tmp_path: Path) -> None:
    """The middle layer of a residual block is trained: its input alone does not stand for the
    frame, that of the block does."""
    (tmp_path / "s.toml").write_text('name = "s"\n[weights]\nblock6_depthwise = 1.0\n')
    found = cut_of(str(tmp_path / "s.toml"), "resident", "stream")
    assert found is not None
    assert found[1] == "block5_project_add"
