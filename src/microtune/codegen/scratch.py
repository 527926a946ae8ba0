"""Bytes of scratch that each kernel needs (the formulas of `mt_kernels_*.h`)."""

from __future__ import annotations

from collections.abc import Callable

from microtune.ir.convolution import ConvKind
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.forward import weight_shape
from microtune.ir.ops.registry import conv_kind
from microtune.memory.lifetimes import aligned

BLOCK = 32  # MT_BLOCK
EIGHT_LANES = 256  # MT_EIGHT_LANES
WEIGHT_SUMS = 1040  # MT_SUM_BYTES + MT_SUM_ROOM


def scratch_rule(graph: Graph) -> Callable[[Node], int]:
    """The function node -> scratch bytes for this graph."""

    def depthwise(node: Node) -> bool:
        return conv_kind(graph, node) is ConvKind.DEPTHWISE

    def size(name: str) -> tuple[int, int]:
        """Height and width; a vector is a 1x1 image."""
        shape = graph.tensors[name].shape
        return (shape[1], shape[2]) if len(shape) == 4 else (1, 1)

    def scratch_bytes(node: Node) -> int:
        if node.op in ("conv2d", "fully_connected"):
            _, kh, kw, per_group = weight_shape(graph, node, 1, 3)
            if depthwise(node):
                merged = kh * kw * BLOCK if len(node.inputs) > 3 else 0
                return merged + max(_copy(node, node.inputs[0]), _lines(node, kh, kw))
            return _patches(node, kh * kw, per_group)
        if node.op == "q_conv2d_input_grad":
            return _input_grad(node)
        if node.op == "conv2d_weight_update":
            return 0 if depthwise(node) else WEIGHT_SUMS
        return 0

    def _patches(node: Node, taps: int, channels: int) -> int:
        """Eight widened patches (four of a small image or of many channels) and one of bytes, each
        part of the channels a multiple of 8."""
        split = [channels]
        if len(node.inputs) > 3:
            trained = graph.tensors[node.inputs[3]].shape[3]
            split = [trained, channels - trained]
        padded = [aligned(taps * part) for part in split]
        output = graph.tensors[node.outputs[0]]
        eight = output.elements // output.shape[-1] >= 8 and sum(padded) <= EIGHT_LANES
        return (16 if eight else 8) * sum(padded) + max(padded)

    def _lines(node: Node, kh: int, kw: int) -> int:
        """Four channels of the weights and of the rows under the kernel, widened and padded."""
        out_w, in_h = size(node.outputs[0])[1], size(node.inputs[0])[0]
        stride = node.ints("stride")[1] if "stride" in node.attrs else 1
        pitch = (-(-out_w // 4) * 4 - 1) * stride + kw
        spare = 1 if "segment" in node.attrs else 2
        return 8 * (kh * kw + min(in_h, spare * kh) * pitch)

    def _copy(node: Node, name: str) -> int:
        """A block of channels of what a depthwise kernel overwrites."""
        if "in_place" not in node.attrs:
            return 0
        tensor = graph.tensors[name]
        return tensor.elements // tensor.shape[-1] * BLOCK

    def _spread(node: Node, kh: int, kw: int) -> int:
        """Four channels of the flipped weights and of the gradient, spread to stride 1."""
        rows = (size(node.inputs[0])[0] - 1) * node.ints("stride")[0] + 1
        pitch = aligned(size(node.outputs[0])[1], 4) + kw - 1
        return 8 * (kh * kw + min(rows, 2 * kh) * pitch)

    def _input_grad(node: Node) -> int:
        g, w, scales = node.inputs[0], node.inputs[2], node.inputs[3]
        split = node.inputs[4:6] if node.attrs["trained"] else ()
        as_conv = Node("conv2d", (g, w, scales, *split), (), node.attrs)
        o, kh, kw, per_group = weight_shape(graph, as_conv, 1, 3)
        if depthwise(node):
            return (kh * kw * BLOCK if split else 0) + max(_copy(node, g), _spread(node, kh, kw))
        outputs = o // node.int("groups")
        one_pixel = outputs * 4 + per_group * (8 if split else 4)
        strided = node.ints("stride") != [1, 1] or any(node.ints("padding"))
        if kh * kw != 1 or node.int("groups") != 1 or strided:
            return max(one_pixel, outputs * 8 + per_group * 16)
        four_pixels = aligned(o) * 8 + max(BLOCK * 16 + (per_group * 2 if split else 0),
                                  per_group * 16 if split else 0)  # fmt: skip
        return max(one_pixel, four_pixels)

    return scratch_bytes
