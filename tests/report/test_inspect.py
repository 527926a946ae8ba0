"""What `microtune inspect` shows: figures ready for JSON, and a table of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from microtune.importers import load_any
from microtune.ir.builder import Builder
from microtune.ir.graph import Quant
from microtune.ir.modelfile import ModelFile
from microtune.measure.inspection import inspect_model
from microtune.report.inspect_text import render


@pytest.fixture
def model() -> ModelFile:
    """A stride-2 conv with one dead and one tiny channel, a depthwise conv, pool, classifier."""
    rng = np.random.default_rng(0)
    builder = Builder("small", "mcunet")

    def codes(*shape: int) -> Any:
        return rng.integers(1, 100, shape).astype(np.int8)

    x = builder.input((1, 8, 8, 3), 0.02, -1)
    first = codes(4, 3, 3, 3)
    first[0] = 0
    scales = [0.01, 1e-5, 0.01, 0.01]
    x = builder.conv2d(
        "conv0", x, first, scales, np.zeros(4, np.int32), Quant(0.05, -128),
        stride=(2, 2), padding=(1, 1, 1, 1),
    )  # fmt: skip
    x = builder.conv2d(
        "conv1", x, codes(4, 3, 3, 1), [0.01] * 4, np.zeros(4, np.int32), Quant(0.06, 2),
        padding=(1, 1, 1, 1), groups=4,
    )  # fmt: skip
    x = builder.average_pool("pool", x)
    weight, bias = codes(5, 1, 1, 4), np.zeros(5, np.int32)
    y = builder.conv2d("classifier", x, weight, [0.01] * 5, bias, Quant(0.1, 0))
    preprocessing = {"height": 8, "width": 8, "channels": 3, "resize_ratio": 0.875}
    return ModelFile(builder.finish(y), preprocessing, "\nSome licence\nmore\n", "a test")


def test_layers_and_totals_are_counted(model: ModelFile) -> None:
    figures = inspect_model(model).to_json()
    rows = {row["name"]: row for row in figures["layers"]}
    assert list(rows) == ["conv0", "conv1", "pool", "classifier"]
    assert [row["index"] for row in rows.values()] == [0, 1, None, None]
    first = rows["conv0"]
    assert (first["output"], first["weight"], first["stride"]) == (
        [1, 4, 4, 4],
        [4, 3, 3, 3],
        [2, 2],
    )
    assert (first["scale"], first["zero_point"]) == (0.05, -128)
    assert first["weight_scale_min"] == pytest.approx(1e-5)
    assert (first["dead_channels"], first["tiny_channels"]) == (1, 1)
    assert [row["macs"] for row in rows.values()] == [16 * 4 * 27, 16 * 4 * 9, 0, 20]
    assert figures["macs"] == 16 * 4 * 27 + 16 * 4 * 9 + 20
    # int8 weights and int32 biases, and nothing of scales.
    assert first["weight_bytes"] == 4 * 27 + 4 * 4
    assert figures["weight_bytes"] == sum(row["weight_bytes"] for row in rows.values())
    assert (figures["dead_channels"], figures["tiny_channels"]) == (1, 1)
    # The frame and conv0's output are alive at once; no other pair is larger.
    assert figures["peak_activation_bytes"] == 8 * 8 * 3 + 4 * 4 * 4
    assert figures["peak_at"] == "conv0"
    assert figures["licence"] == "Some licence" and figures["source"] == "a test"


def test_figures_survive_json_and_are_drawn(model: ModelFile) -> None:
    figures = inspect_model(model)
    assert json.loads(json.dumps(figures.to_json(), allow_nan=False)) == figures.to_json()
    text = io.StringIO()
    Console(file=text, width=120).print(render(figures))
    drawn = text.getvalue()
    for word in ("conv0", "3x3 s2", "dw 3x3 s1", "classifier", "head-only", "Some licence"):
        assert word in drawn, word
    assert "--head keep" not in drawn
    model.classes.extend(f"class{i}" for i in range(20))
    Console(file=text, width=200).print(render(inspect_model(model)))
    assert "class11, and 8 more (compile --head keep goes on with them)" in text.getvalue()


@pytest.mark.data
def test_a_reference_model(data_folder: Path) -> None:
    path = data_folder / "models/mit_tiny-training/mcunet-5fps.pkl"
    figures = inspect_model(load_any(path)).to_json()
    assert figures["dead_channels"] == 64
    assert max(row["index"] or 0 for row in figures["layers"]) == 41
    assert {"49KB", "74KB", "99KB", "124KB", "148KB"} <= set(figures["schemes"])
    assert figures["preprocessing"]["resize_ratio"] == 0.875
    json.dumps(figures, allow_nan=False)
