"""Dilated convolutions of every kind in random graphs, with phases of rows, of columns and of both,
and transposed convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.cases.case import OpCase
from tests.cases.moves import TORCH

if TYPE_CHECKING:
    from tests.training.graphs import RandomGraph

LARGE = 900  # elements from which on nothing grows
TAGS = {
    "phases of rows", "phases of columns", "phases of both", "one row", "dilated depthwise",
    "dilated dense", "dilated grouped", "dilated strides", "dilated padding", "transposed",
    "transposed by strides", "transposed and cut", "transposed by phases",
}  # fmt: skip


def _one_row(graph: RandomGraph, x: str) -> str:
    """x as an image of one row, as one-dimensional signals are."""
    _, height, width, channels = graph.shape(x)
    if height == 1:
        return x
    return graph.builder.reshape(graph._name("row"), x, (1, 1, height * width, channels))


def _kind(graph: RandomGraph, inputs: int) -> tuple[int, int]:
    """(groups, outputs)"""
    rng = graph.rng
    kind = str(rng.choice(["dense", "depthwise", "grouped"], p=[0.5, 0.3, 0.2]))
    if kind == "depthwise":
        graph.tags.add("dilated depthwise")
        return inputs, inputs
    groups = int(rng.choice([g for g in range(1, inputs + 1) if inputs % g == 0]))
    groups = groups if kind == "grouped" else 1
    graph.tags.add("dilated dense" if groups == 1 else "dilated grouped")
    return groups, groups * int(rng.integers(1, 5))


def grow(graph: RandomGraph, x: str) -> str:
    """A dilated or a transposed convolution."""
    small = np.prod(graph.shape(x)) < LARGE
    return _transposed(graph, x) if small and graph.rng.random() < 0.4 else _dilated(graph, x)


def _transposed(graph: RandomGraph, x: str) -> str:
    """A transposed convolution of any kernel, stride and size that fit."""
    rng, shape = graph.rng, graph.shape(x)
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 4)))
    kernel = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    if rng.random() < 0.7 and max(stride) > 1:
        kernel = (stride[0] * int(rng.integers(1, 3)), stride[1] * int(rng.integers(1, 3)))
    cut, size = [0, 0], [0, 0]
    for axis in (0, 1):
        cut[axis] = int(rng.integers(0, kernel[axis]))
        whole = (shape[axis + 1] - 1) * stride[axis] + kernel[axis]
        least = (shape[axis + 1] - 1) * stride[axis] + 1 - cut[axis]
        size[axis] = int(rng.integers(max(least, 1), whole + stride[axis] - cut[axis]))
    graph.tags |= {"transposed", *(["transposed by strides"] if max(stride) > 1 else [])}
    graph.tags |= {"transposed and cut"} if max(cut) > 0 else set()
    parameters = (int(rng.integers(1, 6)), *kernel, shape[3])
    weight, scales, bias, quant = graph._parameters(x, parameters, float(rng.uniform(0, 4)))
    made = graph.builder.transposed_conv2d(
        graph._name("transposed"), x, weight, scales, bias, quant, (size[0], size[1]),
        stride=stride, cut=(cut[0], cut[1]),
    )  # fmt: skip
    if any("tied" in node.attrs for node in graph.builder.graph.nodes):
        graph.tags.add("transposed by phases")
    return made


def _dilated(graph: RandomGraph, x: str) -> str:
    """A dilated convolution of any kind, whose kernel fits into the padded image."""
    rng = graph.rng
    one_row = rng.random() < 0.25
    x = _one_row(graph, x) if one_row else x
    _, height, width, inputs = graph.shape(x)
    groups, outputs = _kind(graph, inputs)
    kernel = [1 if one_row else int(rng.integers(1, 4)), int(rng.integers(2, 4))]
    dilation = [int(rng.choice([1, 2, 3, 5], p=[0.25, 0.45, 0.2, 0.1])) for _ in range(2)]
    stride = [int(rng.choice([1, 2])) if rng.random() < 0.15 else 1 for _ in range(2)]
    padding = [0, 0, 0, 0]
    for axis, size in enumerate((height, width)):
        reach = (kernel[axis] - 1) * dilation[axis]
        before = int(rng.integers(0, reach + 1))
        padding[axis], padding[axis + 2] = before, reach - before
        if size > reach and rng.random() < 0.3:
            padding[axis] = padding[axis + 2] = 0
    apart = (min(kernel[0], dilation[0]) > 1, min(kernel[1], dilation[1]) > 1)
    places = {(True, True): "both", (True, False): "rows", (False, True): "columns"}
    if apart in places:
        graph.tags.add("one row" if one_row else f"phases of {places[apart]}")
        graph.tags |= {"dilated strides"} if max(stride) > 1 else set()
        graph.tags |= {"dilated padding"} if max(padding) > 0 else set()
    shape = (outputs, *kernel, inputs // groups)
    weight, scales, bias, quant = graph._parameters(x, shape, float(rng.uniform(0, 4)))
    return graph.builder.conv2d(
        graph._name("dilated"), x, weight, scales, bias, quant, stride=stride, padding=padding,
        groups=groups, dilation=dilation,
    )  # fmt: skip


MOVES = {op: TORCH[op] for op in ("pad", "slice", "transpose")}
CASE = OpCase("dilation", grow, MOVES, frozenset(TAGS))
