"""The proof that no int32 accumulator overflows, whatever the input and whatever is learnt.

Bounds hold for partial sums in any order (docs/numerics.md). Frozen weights and biases count as
they are; trained ones count as what training can make of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from microtune.ir import numerics
from microtune.ir.convolution import split_axis
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.forward import multipliers_of

LIMIT = 2**31  # of |accumulator|, exclusive
_REACH = 255  # of |code - zero point|, for any zero point
_MOST = 127  # of |trained weight| and of |gradient|


def accumulators_rule(graph: Graph) -> Iterator[str]:
    """Layers and updates whose accumulator could leave int32, and constants without an encoding."""
    deltas = {n.outputs[0]: n for n in graph.nodes if n.op == "bias_from_delta"}
    for node in graph.nodes:
        if node.op in ("conv2d", "fully_connected"):
            yield from _layer(graph, node, deltas)
        elif node.op in ("q_conv2d_input_grad", "conv2d_input_grad"):
            yield from _input_gradient(graph, node)
        elif node.op in ("conv2d_weight_update", "conv2d_weight_grad"):
            yield from _weight_gradient(graph, node)
        elif node.op == "add":
            yield from _add(graph, node)


def _layer(graph: Graph, node: Node, deltas: dict[str, Node]) -> Iterator[str]:
    y = node.outputs[0]
    try:
        _, n = multipliers_of(graph, node)
    except (ValueError, OverflowError) as error:
        yield f"{node.op} %{y}: {error}"
        return
    name = node.inputs[2]
    if graph.tensors[name].role == "param" and np.abs(graph.data[name]).max() > numerics.BIAS_MAX:
        yield f"{node.op} %{y}: its trained bias starts outside ±2^30"
    if n.max() > 31:
        yield f"{node.op} %{y}: its scales have a multiplier of 2^31 or more"
    bias = _bias_bound(graph, node.inputs[2], deltas)
    total = bias + _products_bound(graph, node)
    if (total < LIMIT).all():
        return
    channel = int(total.argmax())
    wide = node.inputs[2] in deltas and bias[channel] > numerics.BIAS_MAX
    yield (
        f"{node.op} %{y}: the accumulator of channel {channel} can overflow int32 (bias up to "
        f"{int(bias[channel]):,}, products up to {int(total[channel] - bias[channel]):,})"
        f"{'; an int16 bias delta is too coarse here: --bias int32' if wide else ''}"
    )


def _bias_bound(graph: Graph, name: str, deltas: dict[str, Node]) -> Array:
    """|bias| int64 (O,) at most."""
    if name in deltas:
        base, delta = deltas[name].inputs
        trained = graph.tensors[delta].role == "param"
        span = 32767 << min(deltas[name].int("shift"), 40) if trained else 0
        moved: Array = np.abs(graph.data[base].astype(np.int64)) + span
        return moved
    bias = np.abs(graph.data[name].astype(np.int64))
    trained = graph.tensors[name].role == "param"
    return np.maximum(bias, numerics.BIAS_MAX) if trained else bias


def _products_bound(graph: Graph, node: Node) -> Array:
    """Sum of |(code - zero)·weight| int64 (O,) at most."""
    zero = graph.quant(node.inputs[0]).zero_point
    reach = max(127 - zero, zero + 128)
    parts = [_part_bound(graph, name, reach) for name in (*node.inputs[3:4], node.inputs[1])]
    if len(parts) == 2 and split_axis(node.int("groups")) == 0:
        order = graph.data[node.inputs[4]]
        total = np.zeros(len(order), np.int64)
        total[order] = np.concatenate(parts)
        return total
    summed: Array = np.sum(parts, axis=0)
    return summed


def _part_bound(graph: Graph, name: str, reach: int) -> Array:
    weight = graph.data[name]
    if graph.tensors[name].role == "param":
        return np.full(len(weight), _REACH * _MOST * (weight.size // len(weight)), np.int64)
    bound: Array = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1) * reach
    return bound


def _input_gradient(graph: Graph, node: Node) -> Iterator[str]:
    """The lanes of a gradient are made for weights within ±127."""
    lowered = node.op == "q_conv2d_input_grad"
    split = node.inputs[4:5] if lowered and node.attrs["trained"] else node.inputs[3:4]
    for name in (node.inputs[2 if lowered else 1], *split):
        if graph.data[name].size and graph.data[name].min() < -_MOST:
            yield f"{node.op} %{node.outputs[0]}: a weight of %{name} is below -127; gradients " \
                "pass only through weights within ±127"  # fmt: skip


def _weight_gradient(graph: Graph, node: Node) -> Iterator[str]:
    g = graph.tensors[node.inputs[0]]
    pixels = g.elements // g.shape[-1]
    if pixels * _MOST * _REACH >= LIMIT:
        yield f"{node.op} %{node.outputs[0]}: the sum over {pixels:,} pixels can overflow int32; " \
            "freeze this layer or take a smaller input"  # fmt: skip


def _add(graph: Graph, node: Node) -> Iterator[str]:
    scales = [graph.scale(name) for name in (*node.inputs, node.outputs[0])]
    try:
        numerics.add_constants(*scales)
    except (ValueError, OverflowError) as error:
        yield f"add %{node.outputs[0]}: {error}"
