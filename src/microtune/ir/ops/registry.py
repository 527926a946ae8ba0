"""The op table: one entry per op with its shape rule and its one executable meaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.ir.convolution import ConvKind, Geometry, kind_of
from microtune.ir.graph import Graph, Node

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Context:
    """What a meaning may know besides its input arrays.

    `real` is the type that float32 tensors are computed in: float32, or float64 for oracles.
    """

    graph: Graph
    node: Node
    real: type[np.floating[Any]] = np.float32

    @property
    def mode(self) -> str:
        """Requantisation mode of the graph: "device" or "mcunet"."""
        return str(self.graph.attrs.get("requantize", "device"))

    def geometry(self) -> Geometry:
        """Stride, padding and groups of a convolution node."""
        return geometry_of(self.node)


ShapeRule = Callable[[Graph, Node], list[tuple[Shape, str]]]
Meaning = Callable[[Context, list[Array]], list[Array]]


@dataclass(frozen=True)
class OpDef:
    """An op: allowed numbers of inputs, attributes with their kind, shape rule, meaning."""

    name: str
    inputs: tuple[int, int]
    attrs: frozenset[str]
    optional: frozenset[str]
    shapes: ShapeRule
    meaning: Meaning


OPS: dict[str, OpDef] = {}

CONV_ATTRS = "stride padding groups"


def geometry_of(node: Node) -> Geometry:
    """Stride, padding and groups of a convolution node."""
    stride, padding = node.ints("stride"), node.ints("padding")
    return Geometry(
        (stride[0], stride[1]),
        (padding[0], padding[1], padding[2], padding[3]),
        node.int("groups"),
    )


# Positions of (input, output) among a node's inputs; -1: its first output.
_ENDS = {
    "conv2d": (0, -1), "fully_connected": (0, -1), "conv2d_input_grad": (-1, 0),
    "q_conv2d_input_grad": (-1, 0), "conv2d_weight_update": (2, 0),
}  # fmt: skip


def conv_kind(graph: Graph, node: Node) -> ConvKind:
    """The kind of a layer, of its input gradient or of its weight update."""
    names = (*node.inputs, node.outputs[0])
    inputs, outputs = (graph.tensors[names[i]].shape[-1] for i in _ENDS[node.op])
    if node.op == "conv2d_weight_update" and len(node.inputs) > 8:
        inputs = graph.tensors[node.inputs[8]].elements
    return kind_of(node.int("groups", 1), inputs, outputs)


def op(
    name: str, inputs: tuple[int, int], shapes: ShapeRule, attrs: str = "", optional: str = ""
) -> Callable[[Meaning], Meaning]:
    """Register the decorated function as the meaning of op `name`."""

    def register(meaning: Meaning) -> Meaning:
        if name in OPS:
            raise ValueError(f"op {name} is defined twice")
        OPS[name] = OpDef(
            name, inputs, frozenset(attrs.split()), frozenset(optional.split()), shapes, meaning
        )
        return meaning

    return register


def as_hwc(x: Array) -> Array:
    """(1, H, W, C) or (1, C) -> (H, W, C)."""
    return x[0] if x.ndim == 4 else x.reshape(1, 1, -1)


def as_ohwi(w: Array) -> Array:
    """(O, KH, KW, I) or (O, I) -> (O, KH, KW, I)."""
    return w if w.ndim == 4 else w.reshape(w.shape[0], 1, 1, -1)


def shape_of(graph: Graph, node: Node, index: int) -> Shape:
    """Shape of the index-th input."""
    return graph.tensors[node.inputs[index]].shape


def same_as(index: int, dtype: str | None = None) -> ShapeRule:
    """Shape rule: one output like input `index` (plus a mask where a second output is named)."""

    def rule(graph: Graph, node: Node) -> list[tuple[Shape, str]]:
        tensor = graph.tensors[node.inputs[index]]
        return with_mask(node, tensor.shape, dtype or tensor.dtype)

    return rule


def with_mask(node: Node, shape: Shape, dtype: str) -> list[tuple[Shape, str]]:
    """One output, and a mask of the same shape where the node has a second output."""
    first = [(shape, dtype)]
    return [*first, (shape, "b1")] if len(node.outputs) == 2 else first
