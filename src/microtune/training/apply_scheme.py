"""Turn what a scheme trains from const into param; split partly trained weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir.convolution import split_axis
from microtune.ir.graph import Graph, Node, Tensor
from microtune.ir.ops.convolution_operands import Layer, Split
from microtune.ir.ops.head import head_of
from microtune.ir.ops.layer import can_split_weight, layer_of
from microtune.ir.verifier import verify
from microtune.training.scheme import Scheme, channel_count, trained_channels


def apply_scheme(graph: Graph, scheme: Scheme) -> Graph:
    """A graph whose params are exactly what the scheme trains.

    A weight of which T of C channels are trained becomes three operands of its layer: a const of
    the C - T frozen channels, a param of the T trained ones, which is a part of the weight, and a
    const of their order (uint16, trained channels first).
    """
    result = verify(graph).copy()
    for layer in scheme.biases:
        result.set_role(layer_of(_node(result, layer)).bias, "param")
    for layer, count in scheme.weights.items():
        node = _node(result, layer)
        weight = result.tensors[layer_of(node).weight]
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
        head = head_of(result)
        for name in (head.weight, head.bias):
            result.set_role(name, "const")
    return verify(result)


def _node(graph: Graph, layer: str) -> Node:
    return next(node for node in graph.nodes if node.outputs[0] == layer)


def can_split(graph: Graph, layer: str) -> bool:
    """Whether a part of its channels can be trained: dense (input channels) or plain depthwise
    (output channels) convolutions."""
    return can_split_weight(graph, _node(graph, layer))


def _split(graph: Graph, node: Node, count: int) -> None:
    o = layer_of(node)
    name = o.weight
    tensor, data = graph.tensors[name], graph.data[name]
    order = trained_channels(graph, node.outputs[0], count)
    axis = split_axis(node.int("groups"))
    frozen, trained = (np.take(data, part, axis=axis) for part in (order[count:], order[:count]))
    names = [graph.fresh(f"{name}.{part}") for part in ("frozen", "trained", "order")]
    graph.constant(names[0], frozen, "i8", tensor.quant)
    graph.add_tensor(
        Tensor(names[1], trained.shape, "i8", "param", tensor.quant, part_of=tensor.parameter),
        trained,
    )
    graph.constant(names[2], order.astype(np.uint16), "u16")
    operands = Layer(o.x, names[0], o.bias, Split(names[1], names[2]))
    graph.nodes[graph.nodes.index(node)] = replace(node, inputs=operands.flat())
    del graph.tensors[name], graph.data[name]
