"""A search on a network of which it is known what deserves the memory: one layer loses all that
tells the classes apart, and only its own weights can mend it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from microtune import pipeline
from microtune.ir.builder import Builder
from microtune.ir.graph import Quant
from microtune.ir.modelfile import ModelFile
from microtune.parallel.tasks import Backend
from microtune.search.costs.planned import Limits
from microtune.search.problem import Choice
from microtune.search.search import SearchOptions, SearchResult, search
from microtune.targets import load_target

pytest.importorskip("ortools", reason="the selection needs ortools")
CLASSES, SIZE = 3, 9
# What is planted takes 5,594 bytes, half of the dense layer 5,794: layers compete.
ROOM = Limits(5650, 1 << 20)
MENDS = Choice(0, Fraction(1))


def colour_blind_model() -> ModelFile:
    """The first layer adds red, green and blue with equal weights, the others are random."""
    rng, builder = np.random.default_rng(3), Builder("colour-blind", "mcunet")
    x = builder.input((1, SIZE, SIZE, 3), 1 / 64, 0)
    for name, outputs, inputs, kernel, scale in (
        ("grey", 8, 1, 3, 0.02 / 3), ("dense", 8, 8, 3, 0.02 / 8), ("pointwise", 16, 8, 1, 0.01),
    ):  # fmt: skip
        weight = rng.integers(-100, 101, (outputs, kernel, kernel, inputs)).astype(np.int8)
        if name == "grey":
            weight = weight.repeat(3, axis=3)
        x = builder.conv2d(
            name, x, weight, [scale] * outputs, np.zeros(outputs, np.int32), Quant(1 / 64, -128),
            padding=(kernel // 2,) * 4,
        )  # fmt: skip
    x = builder.average_pool("pool", x)
    weight = np.ones((5, 1, 1, 16), np.int8)
    y = builder.conv2d("classifier", x, weight, [0.01] * 5, np.zeros(5, np.int32), Quant(0.1, 0))
    preprocessing = {"height": SIZE, "width": SIZE, "channels": 3, "resize_ratio": 1.0}
    return ModelFile(builder.finish(y), preprocessing, "", "a test")


def write_hues(path: Path, count: int = 240) -> Path:
    """An npz: noise about red, green or blue of equal sums; every third image is for the test."""
    rng, labels = np.random.default_rng(4), np.arange(count) % CLASSES
    hues = 60 * np.eye(CLASSES) - 20
    noise = rng.normal(0, 30, (count, SIZE, SIZE, 3)) + rng.normal(0, 30, (count, 1, 1, 1))
    images = np.clip(128 + hues[labels][:, None, None] + noise, 0, 255).astype(np.uint8)
    test = rng.permutation(np.arange(count) % 3 == 0)
    np.savez(path, images=images, label=labels, test=test, classes=np.array(["r", "g", "b"]))
    return path


@pytest.fixture(scope="module", params=[False, True], ids=["measured", "estimated"])
def result(
    request: pytest.FixtureRequest, kept: Path, tmp_path_factory: pytest.TempPathFactory
) -> SearchResult:
    project = pipeline.Request(
        2, "none", load_target("cortex-m7"), ROOM.sram_bytes, ROOM.flash_bytes
    )
    options = SearchOptions(
        project, ROOM, kept, request.param, epochs=15, lr=0.02, backend=Backend(workers=1),
        verify=True,
    )  # fmt: skip
    images = write_hues(tmp_path_factory.mktemp("hues") / "hues.npz")
    return search(colour_blind_model(), images, options, lambda *_: None)


def test_what_mends_the_network_is_found(result: SearchResult) -> None:
    """Alone, with all channels, within the budget, and no known scheme is better on val."""
    found = result.solution.selection
    assert found.choices == (MENDS,) and result.planned.sram <= ROOM.sram_bytes
    assert result.chosen == found and result.chosen_name == "found"


def test_the_scheme_learns_what_nothing_else_can(result: SearchResult) -> None:
    """In percent, on images that chose nothing; a third of them is chance."""
    tested = {row.name: row.accuracy for row in result.verified if row.split == "test"}
    assert tested.pop("found") > 95
    assert {"head-only", "bias-only"} <= set(tested) and max(tested.values()) < 50
