"""Images of another size are means of what lies around a place; sums that overflow are refused."""

from __future__ import annotations

import numpy as np
import pytest

from microtune.ir.builder import Builder
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Attr, Graph, Quant
from microtune.ir.ops.resize import Places
from microtune.ir.verifier import verify
from microtune.training.build import Formats, build_training_graph
from microtune.training.scheme import resolve_scheme


def resized(
    shape: tuple[int, ...], size: tuple[int, int], method: str = "bilinear", *,
    corners: bool = False, centers: bool = False,
) -> Builder:  # fmt: skip
    builder = Builder("one")
    x = builder.input(shape, 0.05, 3)
    attrs: dict[str, Attr] = {
        "size": list(size), "method": method, "corners": int(corners), "centers": int(centers),
    }  # fmt: skip
    builder.apply("resize", "y", (x,), Quant(0.05, 3), attrs)
    return builder


@pytest.mark.parametrize("size", [(8, 10), (4, 5), (13, 17), (3, 3), (1, 1)])
@pytest.mark.parametrize("way", ["plain", "corners", "centers"])
def test_a_bilinear_code_is_the_mean_of_its_neighbours_to_a_code(
    size: tuple[int, int], way: str
) -> None:
    frame = np.random.default_rng(4).integers(-128, 128, (1, 4, 5, 3)).astype(np.int8)
    builder = resized(frame.shape, size, corners=way == "corners", centers=way == "centers")
    graph = builder.finish("y")
    found = evaluate(graph, {"input": frame}, keep={"y"})["y"][0].astype(float)
    axes = []
    for n, m in zip(frame.shape[1:3], size, strict=True):
        place = np.arange(m) * (n / m)
        if way == "corners" and m > 1:
            place = np.arange(m) * ((n - 1) / (m - 1))
        if way == "centers":
            place = np.maximum((np.arange(m) + 0.5) * (n / m) - 0.5, 0)
        axes.append(np.minimum(place, n - 1))
    image = frame[0].astype(float)
    lines = np.array([
        [np.interp(axes[0], range(4), image[:, w, c]) for w in range(5)] for c in range(3)
    ])  # (C, W, H')  # fmt: skip
    wanted = np.array([
        [np.interp(axes[1], range(5), lines[c, :, h]) for h in range(size[0])] for c in range(3)
    ]).transpose(1, 2, 0)  # fmt: skip
    # Half a code of rounding, and places to 1/1024 that lie up to 17/2048 off.
    assert np.abs(found - wanted).max() < 0.5 + 2 * 255 * 17 / 2048 / 2
    assert np.abs(found - wanted).mean() < 0.5


def test_the_weights_of_each_result_are_one_together() -> None:
    for method in ("nearest", "bilinear"):
        for size in (1, 2, 7, 9, 64):
            for corners, centers in ((0, 0), (1, 0), (0, 1)):
                builder = resized(
                    (1, 7, 7, 1), (size, size), method, corners=bool(corners),
                    centers=bool(centers),
                )  # fmt: skip
                weights = Places.of(builder.graph.nodes[-1], 0, 7).matrix()
                assert (weights.sum(axis=1) == 1024).all() and (weights >= 0).all()
                assert ((weights > 0).sum(axis=1) <= (2 if method == "bilinear" else 1)).all()


def test_a_gradient_that_can_overflow_is_refused() -> None:
    builder = Builder("one")
    x = builder.input((1, 1, 1, 1), 0.05, 3)
    weight, one = np.ones((2, 1, 1, 1), np.int8), np.ones(2, np.float32)
    x = builder.conv2d("conv", x, weight[:1], one[:1], np.zeros(1, np.int32), Quant(0.05, 0))
    attrs: dict[str, Attr] = {"size": [600, 600], "method": "nearest", "corners": 0, "centers": 0}
    x = builder.apply("resize", "y", (x,), Quant(0.05, 0), attrs)
    x = builder.average_pool("pool", x)
    graph: Graph = builder.finish(
        builder.conv2d("logits", x, weight, one, np.zeros(2, np.int32), Quant(1.0, 0))
    )
    with pytest.raises(ValueError, match="the sum of what one element became can overflow int32"):
        build_training_graph(
            graph, 2, resolve_scheme("full", graph, "one"), Formats(), calibrate=False
        )


def test_another_scale_behind_it_is_refused() -> None:
    builder = Builder("one")
    x = builder.input((1, 2, 2, 1), 0.05, 3)
    attrs: dict[str, Attr] = {"size": [4, 4], "method": "nearest", "corners": 0, "centers": 0}
    builder.apply("resize", "y", (x,), Quant(0.06, 3), attrs)
    with pytest.raises(ValueError, match="another scale"):
        verify(builder.finish("y"))
    with pytest.raises(ValueError, match="no method cubic"):
        builder.apply("resize", "z", (x,), Quant(0.05, 3), attrs | {"method": "cubic"})
