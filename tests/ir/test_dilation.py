"""Dilated and transposed convolutions mean what PyTorch and a kernel full of zeros mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from microtune.ir.builder import Builder
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array, Graph, Quant
from microtune.ir.verifier import verify


@dataclass(frozen=True)
class Drawn:
    """A dilated convolution of any size, and a frame."""

    weight: Array
    dilation: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    groups: int
    zero: int
    frame: Array

    def graph(self, *, stuffed: bool) -> Graph:
        """The graph with the dilation, or with a kernel that has zeros between its taps."""
        weight, dilation, builder = self.weight, self.dilation, Builder("one")
        outputs = len(weight)
        x = builder.input(self.frame.shape, 0.05, self.zero)
        if stuffed:
            (down, across), (o, kh, kw, i) = dilation, weight.shape
            large = np.zeros((o, (kh - 1) * down + 1, (kw - 1) * across + 1, i), np.int8)
            large[:, ::down, ::across] = weight
            weight, dilation = large, (1, 1)
        bias = np.arange(outputs, dtype=np.int32) * 300 - 500
        y = builder.conv2d(
            "conv", x, weight, np.full(outputs, 0.01, np.float32), bias, Quant(0.2, 3),
            stride=self.stride, padding=self.padding, groups=self.groups, dilation=dilation,
            clamp=(-90, 100),
        )  # fmt: skip
        graph = builder.finish(y)
        verify(graph)
        return graph

    def codes(self, *, stuffed: bool) -> Array:
        """What the graph makes of the frame."""
        graph = self.graph(stuffed=stuffed)
        y = graph.outputs[0]
        found: Array = evaluate(graph, {"input": self.frame}, keep={y})[y]
        return found


def drawn(seed: int) -> Drawn:
    """A convolution whose kernel fits."""
    rng = np.random.default_rng(seed)
    down, across = (int(n) for n in rng.integers(1, 6, 2))
    kh, kw = (int(n) for n in rng.integers(1, 5, 2))
    kh = 1 if rng.random() < 0.3 else kh
    kw = 1 if rng.random() < 0.2 else kw
    height = 1 if kh == 1 and rng.random() < 0.5 else 14
    width = 1 if kw == 1 and rng.random() < 0.7 else 13
    height, width = (int(rng.integers(1, n + 1)) for n in (height, width))
    groups = int(rng.integers(1, 4))
    padding = [int(n) for n in rng.integers(0, 12, 4)] if rng.random() < 0.7 else [0] * 4
    padding[0::2] = [0, 0] if height == 1 and rng.random() < 0.7 else padding[0::2]
    padding[1::2] = [0, 0] if width == 1 and rng.random() < 0.7 else padding[1::2]
    padding[2] += max(0, (kh - 1) * down + 1 - height - padding[0] - padding[2])
    padding[3] += max(0, (kw - 1) * across + 1 - width - padding[1] - padding[3])
    per_group = int(rng.integers(1, 4))
    shape = (groups * int(rng.integers(1, 4)), kh, kw, per_group)
    return Drawn(
        rng.integers(-127, 128, shape).astype(np.int8), (down, across),
        (int(rng.choice([1, 1, 2])), int(rng.choice([1, 1, 3]))),
        (padding[0], padding[1], padding[2], padding[3]), groups, int(rng.integers(-128, 128)),
        rng.integers(-128, 128, (1, height, width, groups * per_group)).astype(np.int8),
    )  # fmt: skip


def test_a_dilated_convolution_equals_one_whose_kernel_has_zeros_between_its_taps() -> None:
    for seed in range(400):
        case = drawn(seed)
        found, wanted = case.codes(stuffed=False), case.codes(stuffed=True)
        assert found.shape == wanted.shape, seed
        assert (found == wanted).all(), seed


def test_one_dimension_whose_length_is_a_multiple_of_the_dilation_moves_nothing() -> None:
    """A signal of 64 with dilation 8, padded at both ends or before it only: reshapes, which are
    views, and a convolution without waste."""
    weight = np.ones((4, 1, 3, 2), np.int8)
    for padding in ((0, 8, 0, 8), (0, 16, 0, 0)):
        case = Drawn(weight, (1, 8), (1, 1), padding, 1, 5, np.zeros((1, 1, 64, 2), np.int8))
        graph = case.graph(stuffed=False)
        assert {node.op for node in graph.nodes} == {"reshape", "conv2d"}
        conv = next(node for node in graph.nodes if node.op == "conv2d")
        assert graph.tensors[conv.outputs[0]].elements == 64 * 4


def test_the_phases_of_a_depthwise_signal_are_rows_whichever_way_it_lies() -> None:
    """The depthwise kernels run along rows: a kernel of one column would be slow."""
    weight = np.ones((4, 1, 3, 1), np.int8)
    row = Drawn(weight, (1, 8), (1, 1), (0, 8, 0, 8), 4, 5, np.zeros((1, 1, 64, 4), np.int8))
    column = Drawn(weight.transpose(0, 2, 1, 3), (8, 1), (1, 1), (8, 0, 8, 0), 4, 5,
                   np.zeros((1, 64, 1, 4), np.int8))  # fmt: skip
    for case in (row, column):
        graph = case.graph(stuffed=False)
        conv = next(node for node in graph.nodes if node.op == "conv2d")
        assert graph.tensors[conv.inputs[0]].shape == (1, 8, 8, 4)
        assert graph.tensors[conv.inputs[1]].shape == (4, 1, 3, 1)


def test_a_dilated_kernel_that_does_not_fit_is_refused() -> None:
    case = Drawn(np.ones((1, 3, 3, 1), np.int8), (3, 3), (1, 1), (0,) * 4, 1, 0,
                 np.zeros((1, 6, 9, 1), np.int8))  # fmt: skip
    with pytest.raises(ValueError, match="a kernel of 3 with dilation 3 is larger than 6"):
        case.graph(stuffed=False)
