"""Turn what a scheme trains from const into param; split partly trained weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir.convolution import ConvKind, split_axis
from microtune.ir.graph import Graph, Node, Tensor
from microtune.ir.ops.registry import conv_kind
from microtune.ir.verifier import verify
from microtune.training.scheme import Scheme, channel_count, trained_channels


def apply_scheme(graph: Graph, scheme: Scheme) -> Graph:
    """A graph whose params are exactly what the scheme trains.

    A weight of which T of C channels are trained becomes const `NAME.frozen` (C - T channels),
    param `NAME.trained` (T channels) and const `NAME.order` (uint16, trained channels first).
    """
    result = verify(graph).copy()
    for layer in scheme.biases:
        result.set_role(_node(result, layer).inputs[2], "param")
    for layer, count in scheme.weights.items():
        node = _node(result, layer)
        weight = result.tensors[node.inputs[1]]
        if count >= channel_count(result, layer):
            result.set_role(weight.name, "param")
        elif not can_split(result, layer):
            raise MicrotuneError(
                f"scheme {scheme.name}: a ratio needs a dense or depthwise convolution, which "
                f"{layer} is not; train all or none of its weights"
            )
        else:
            _split(result, node, count)
    if not scheme.head:
        for name in ("head.weight", "head.bias"):
            result.set_role(name, "const")
    return verify(result)


def _node(graph: Graph, layer: str) -> Node:
    return next(node for node in graph.nodes if node.outputs[0] == layer)


def can_split(graph: Graph, layer: str) -> bool:
    """Whether a part of its channels can be trained: dense (input channels) or plain depthwise
    (output channels) convolutions."""
    node = _node(graph, layer)
    return node.op == "conv2d" and conv_kind(graph, node) is not ConvKind.GROUPED


def _split(graph: Graph, node: Node, count: int) -> None:
    name = node.inputs[1]
    tensor, data = graph.tensors[name], graph.data[name]
    order = trained_channels(graph, node.outputs[0], count)
    axis = split_axis(node.int("groups"))
    parts = (("frozen", order[count:], "const"), ("trained", order[:count], "param"))
    for suffix, channels, role in parts:
        part = np.take(data, channels, axis=axis)
        declared = Tensor(f"{name}.{suffix}", part.shape, "i8", "const", tensor.quant)
        graph.add_tensor(declared, part)
        if role == "param":
            graph.set_role(declared.name, "param")
    graph.constant(f"{name}.order", order.astype(np.uint16), "u16")
    x, _, bias = node.inputs
    inputs = (x, f"{name}.frozen", bias, f"{name}.trained", f"{name}.order")
    graph.nodes[graph.nodes.index(node)] = replace(node, inputs=inputs)
    del graph.tensors[name], graph.data[name]
