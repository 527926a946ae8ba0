"""Dead channels: output codes that are the same for every int8 input.

Imported networks hold channels with scales of 1e-9 and saturated biases. Their accumulators would
overflow int32 and their quantisation-aware factor 1/s_w^2 is absurd. Where an interval bound proves
that the code is constant, the channel becomes all-zero weights with a bias that gives this very
code in every requantisation mode: not one bit of the forward pass changes. A dead channel is never
trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from microtune.ir import numerics
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops import Trait, with_trait
from microtune.ir.ops.common import clamp_bounds
from microtune.ir.ops.layer import layer_of

_MARGIN = 1e-6


@dataclass(frozen=True)
class ChannelReport:
    """The channels of one layer that are dead, and those whose QAS factor is bounded."""

    layer: str
    dead: int
    tiny: int


def _layers(graph: Graph) -> list[Node]:
    return list(with_trait(graph, Trait.LAYER))


def _code_interval(graph: Graph, node: Node) -> tuple[Array, Array]:
    """Bounds (O,) of acc·scale, before the zero point, over all int8 inputs."""
    o = layer_of(node)
    zero = graph.quant(o.x).zero_point
    weight = graph.data[o.weight].astype(np.float64).reshape(graph.data[o.weight].shape[0], -1)
    lo, hi = -128 - zero, 127 - zero
    # Padding contributes 0, which lies between lo and hi or beside them for an extreme zero point.
    lo, hi = min(lo, 0), max(hi, 0)
    most = np.where(weight > 0, weight * hi, weight * lo).sum(axis=1)
    least = np.where(weight > 0, weight * lo, weight * hi).sum(axis=1)
    scale = graph.scale(o.x) * graph.channel_scales(o.weight) / graph.scale(node.outputs[0])
    bias = graph.data[o.bias].astype(np.float64)
    return (bias + least) * scale, (bias + most) * scale


def dead_codes(graph: Graph, node: Node) -> dict[int, int]:
    """Channel -> its constant code, for the channels that an interval bound proves dead."""
    zero = graph.quant(node.outputs[0]).zero_point
    lo, hi = clamp_bounds(node)
    low, high = _code_interval(graph, node)
    slack = _MARGIN * np.maximum(np.abs(low), np.abs(high))
    codes: dict[int, int] = {}
    for channel, (a, b) in enumerate(zip(low - slack, high + slack, strict=True)):
        # A half-way value could round either way, so the margins must agree on the code.
        first, last = (min(max(math.floor(v + 0.5) + zero, lo), hi) for v in (a, b))
        if first == last:
            codes[channel] = first
    return codes


def _unit_scale(graph: Graph, node: Node) -> np.float32:
    """A float32 weight scale for which M is exactly 1 in mode mcunet and rounds to 1 in device."""
    sx, sy = np.float32(graph.scale(layer_of(node).x)), np.float32(graph.scale(node.outputs[0]))
    scale = np.float32(sy / sx)
    for candidate in (
        scale, np.nextafter(scale, np.float32(0)), np.nextafter(scale, np.float32(np.inf)),
    ):  # fmt: skip
        if np.float32(sx * candidate) / sy == np.float32(1):
            return candidate
    return scale


def _in_all_parts(graph: Graph, node: Node, codes: dict[int, int]) -> dict[int, int]:
    """Those channels that are dead with the same code in all parts of tied biases."""
    channels = graph.tensors[node.outputs[0]].shape[-1]
    one = channels // node.int("tied", 1)
    return {
        channel: code for channel, code in codes.items()
        if all(codes.get(each) == code for each in range(channel % one, channels, one))
    }  # fmt: skip


def neutralize_dead_channels(graph: Graph) -> None:
    """Rewrite the dead channels of every layer in place, without changing a bit of the output."""
    for node in _layers(graph):
        codes = _in_all_parts(graph, node, dead_codes(graph, node))
        w, b = layer_of(node).weight, layer_of(node).bias
        scales_name = graph.quant(w).scales or ""
        weight, bias = graph.data[w].copy(), graph.data[b].copy()
        scales = graph.data[scales_name].copy()
        zero = graph.quant(node.outputs[0]).zero_point
        for channel, code in codes.items():
            weight[channel] = 0
            bias[channel] = code - zero
            scales[channel] = _unit_scale(graph, node)
        graph.data.update({w: weight, b: bias, scales_name: scales})


def channel_reports(graph: Graph) -> list[ChannelReport]:
    """The dead and the tiny channels of every layer."""
    reports = []
    for node in _layers(graph):
        o = layer_of(node)
        weight = graph.data[o.weight]
        live = weight.reshape(weight.shape[0], -1).any(axis=1)
        x, y = graph.scale(o.x), graph.scale(node.outputs[0])
        real = x * np.where(live, graph.channel_scales(o.weight), 0) / y
        tiny = int((live & numerics.is_tiny(*numerics.quantize_multipliers(real))).sum())
        reports.append(ChannelReport(node.outputs[0], int((~live).sum()), tiny))
    return reports
