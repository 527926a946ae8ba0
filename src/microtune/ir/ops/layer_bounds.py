"""What a layer's sums can reach: the proof that no int32 accumulator overflows, and its clamp.

Bounds hold for partial sums in any order (docs/numerics.md). Frozen weights and biases count as
they are; trained ones count as what training can make of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from microtune.ir import convolution, numerics
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.common import clamp_bounds
from microtune.ir.ops.convolution_operands import BiasFromDelta
from microtune.ir.ops.layer import layer_of, multipliers_of

ACCUMULATOR_LIMIT = 2**31  # of |accumulator|, exclusive
REACH = 255  # of |code - zero point|, for any zero point
MOST = 127  # of |trained weight| and of |gradient|


def layer_proof(graph: Graph, node: Node) -> Iterator[str]:
    """What could overflow in a layer, as a sentence each."""
    y, bias = node.outputs[0], layer_of(node).bias
    try:
        _, n = multipliers_of(graph, node)
    except (ValueError, OverflowError) as error:
        yield f"{node.op} %{y}: {error}"
        return
    if graph.tensors[bias].role == "param" and np.abs(graph.data[bias]).max() > numerics.BIAS_MAX:
        yield f"{node.op} %{y}: its trained bias starts outside ±2^30"
    if n.max() > 31:
        yield f"{node.op} %{y}: its scales have a multiplier of 2^31 or more"
    if bias in graph.data and not _is_tied(graph.data[bias], node.int("tied", 1)):
        yield f"{node.op} %{y}: its biases are no {node.int('tied')} equal parts"
    made = _maker_of_bias(graph, bias)
    most = _bias_bound(graph, bias, made)
    total = most + _products_bound(graph, node)
    if (total < ACCUMULATOR_LIMIT).all():
        return
    channel = int(total.argmax())
    wide = made is not None and most[channel] > numerics.BIAS_MAX
    yield (
        f"{node.op} %{y}: the accumulator of channel {channel} can overflow int32 (bias up to "
        f"{int(most[channel]):,}, products up to {int(total[channel] - most[channel]):,})"
        f"{'; an int16 bias delta is too coarse here: --bias int32' if wide else ''}"
    )


def _is_tied(bias: Array, parts: int) -> bool:
    """Whether a bias is this many copies of one."""
    return bool((bias.reshape(parts, -1) == bias[: len(bias) // parts]).all())


def _maker_of_bias(graph: Graph, name: str) -> Node | None:
    """The node that makes a bias from its delta."""
    if graph.tensors[name].role != "value":
        return None
    return next(n for n in graph.nodes if name in n.outputs)


def _bias_bound(graph: Graph, name: str, made: Node | None) -> Array:
    """|bias| int64 (O,) at most."""
    if made is not None:
        o = BiasFromDelta[str].of(made.inputs)
        trained = graph.tensors[o.delta].role == "param"
        span = 32767 << min(made.int("shift"), 40) if trained else 0
        moved: Array = np.abs(graph.data[o.base].astype(np.int64)) + span
        return moved
    bias = np.abs(graph.data[name].astype(np.int64))
    trained = graph.tensors[name].role == "param"
    return np.maximum(bias, numerics.BIAS_MAX) if trained else bias


def _products_bound(graph: Graph, node: Node) -> Array:
    """Sum of |(code - zero)·weight| int64 (O,) at most."""
    o = layer_of(node)
    zero = graph.quant(o.x).zero_point
    reach = max(127 - zero, zero + 128)
    weight = _part_bound(graph, o.weight, reach)
    if o.split is None:
        return weight
    trained = _part_bound(graph, o.split.trained, reach)
    if convolution.split_axis(node.int("groups")) == 0:
        order = graph.data[o.split.order]
        total = np.zeros(len(order), np.int64)
        total[order] = np.concatenate([trained, weight])
        return total
    return trained + weight


def _part_bound(graph: Graph, name: str, reach: int) -> Array:
    weight = graph.data[name]
    if graph.tensors[name].role == "param":
        return np.full(len(weight), REACH * MOST * (weight.size // len(weight)), np.int64)
    bound: Array = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1) * reach
    return bound


def layer_clamps(graph: Graph, node: Node) -> bool:
    """Whether the clamp can be active: always where something is trained."""
    frozen = all(graph.tensors[n].role == "const" for n in node.inputs[1:])
    return not frozen or _bound_exceeds(graph, node)


def _bound_exceeds(graph: Graph, node: Node) -> bool:
    """Interval bound of a frozen layer: can any int8 input leave the clamp's bounds?"""
    o = layer_of(node)
    quant, y = graph.quant(o.x), graph.quant(node.outputs[0])
    weight = graph.data[o.weight].astype(np.float64).reshape(graph.data[o.weight].shape[0], -1)
    reach = max(127 - quant.zero_point, quant.zero_point + 128)
    spread = np.abs(weight).sum(axis=1) * reach
    scale = graph.scale(o.x) * graph.channel_scales(o.weight) / graph.scale(node.outputs[0])
    bias = graph.data[o.bias].astype(np.float64)
    lo, hi = clamp_bounds(node)
    highest = (bias + spread) * scale + y.zero_point + 1
    lowest = (bias - spread) * scale + y.zero_point - 1
    return bool((highest > hi).any() or (lowest < lo).any())
