"""Layers with a weight and a bias: their operands, geometry, weights and multipliers.

A weight of which a part is trained lies in two tensors (`Split`); the functions here put it
together.
"""

from __future__ import annotations

import numpy as np

from microtune.ir import convolution, numerics
from microtune.ir.convolution import ConvKind, Geometry, kind_of
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.common import as_ohwi
from microtune.ir.ops.convolution_operands import Layer, Split
from microtune.ir.ops.registry import Shape


def geometry_of(node: Node) -> Geometry:
    """Stride, padding and groups of a convolution node; a fully connected layer is 1x1."""
    if "stride" not in node.attrs:
        return Geometry((1, 1), (0, 0, 0, 0), 1)
    stride, padding = node.ints("stride"), node.ints("padding")
    return Geometry(
        (stride[0], stride[1]),
        (padding[0], padding[1], padding[2], padding[3]),
        node.int("groups"),
    )


def layer_of(node: Node) -> Layer[str]:
    """The operands of a node whose op is a LAYER."""
    found: Layer[str] = Layer.of(node.inputs)  # Layer[str].of takes twice the time
    return found


def conv_kind(graph: Graph, layer: Node) -> ConvKind:
    """The kind of a layer: dense, grouped or depthwise."""
    names = (layer_of(layer).x, layer.outputs[0])
    inputs, outputs = (graph.tensors[name].shape[-1] for name in names)
    return kind_of(layer.int("groups", 1), inputs, outputs)


def is_depthwise(graph: Graph, layer: Node) -> bool:
    """Whether a layer is a depthwise convolution."""
    image = len(graph.tensors[layer_of(layer).weight].shape) == 4
    return image and conv_kind(graph, layer) is ConvKind.DEPTHWISE


def can_split_weight(graph: Graph, layer: Node) -> bool:
    """Whether a part of a layer's channels can be trained: convolutions that are not grouped."""
    image = len(graph.tensors[layer_of(layer).weight].shape) == 4
    return image and conv_kind(graph, layer) is not ConvKind.GROUPED


def merge_channels(w: Array, trained: Array, order: Array, groups: int) -> Array:
    """The full weight from its frozen and its trained channels.

    `order` (C,) lists the original channel numbers, trained ones first.
    """
    axis = convolution.split_axis(groups)
    joined = np.concatenate([trained, w], axis=axis)
    full = np.empty_like(joined)
    np.moveaxis(full, axis, 0)[order] = np.moveaxis(joined, axis, 0)
    return full


def full_weight(groups: int, w: Array, split: Split[Array] | None) -> Array:
    """O·KH·KW·I weight of a layer of which all, or a part in `split`, is in `w`."""
    if split is None:
        return as_ohwi(w)
    return merge_channels(w, split.trained, split.order, groups)


def weight_shape(graph: Graph, weight: str, split: Split[str] | None, groups: int) -> Shape:
    """Shape O·KH·KW·I of the full weight."""
    shape = graph.tensors[weight].shape
    shape = shape if len(shape) == 4 else (shape[0], 1, 1, shape[1])
    if split is None:
        return shape
    part = graph.tensors[split.trained].shape
    if convolution.split_axis(groups) == 0:
        return (shape[0] + part[0], *shape[1:])
    return (*shape[:3], shape[3] + part[3])


def layer_weight_shape(graph: Graph, layer: Node) -> Shape:
    """Shape O·KH·KW·I of a layer's full weight."""
    o = layer_of(layer)
    return weight_shape(graph, o.weight, o.split, layer.int("groups", 1))


def group_channels(graph: Graph, node: Node, name: str) -> int:
    """Channels of a group of tensor `name`: what shares one element of the other operand."""
    return max(graph.tensors[name].shape[-1] // node.int("groups", 1), 1)


def shared_reads(
    graph: Graph, macs: int, weight: str, split: Split[str] | None
) -> dict[str, float]:
    """The reads of a weight, one for each MAC, shared between its parts."""
    parts = {"weight": weight} | ({"split.trained": split.trained} if split else {})
    sizes = {part: graph.tensors[name].elements for part, name in parts.items()}
    return {part: macs * size / sum(sizes.values()) for part, size in sizes.items()}


def multipliers_of(graph: Graph, layer: Node) -> tuple[Array, Array]:
    """(m, n) of a layer's requantisation in mode device, each int64 (O,)."""
    o = layer_of(layer)
    real = graph.scale(o.x) * graph.channel_scales(o.weight) / graph.scale(layer.outputs[0])
    return numerics.quantize_multipliers(real)
