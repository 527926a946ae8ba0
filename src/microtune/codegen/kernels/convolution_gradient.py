"""The kernel of a layer's input gradient (`ir/ops/convolution_gradient.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter
from microtune.codegen.kernels.common import address_or_null, hwc, round_io, round_params
from microtune.codegen.kernels.convolution import (
    block_copy,
    conv_shape,
    image_size,
    image_text,
    split_fields,
)
from microtune.codegen.kernels.registry import Work, kernel
from microtune.ir.convolution import ConvKind, is_per_channel
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.convolution_gradient import InputGradConstants, input_grad_kind
from microtune.ir.ops.convolution_operands import QConvInputGrad
from microtune.ir.ops.layer import geometry_of, weight_shape
from microtune.ir.ops.registry import Shape
from microtune.memory.lifetimes import aligned
from microtune.runtime.facts import BLOCK


def _weight(graph: Graph, node: Node) -> Shape:
    o = QConvInputGrad[str].of(node.inputs)
    return weight_shape(graph, o.weight, o.split, node.int("groups"))


def _scratch(graph: Graph, node: Node) -> int:
    operands = QConvInputGrad[str].of(node.inputs)
    o, kh, kw, per_group = _weight(graph, node)
    if input_grad_kind(graph, node) is ConvKind.DEPTHWISE:
        merged = kh * kw * BLOCK if operands.split else 0
        copy = block_copy(graph, node, operands.g.codes)
        return merged + max(copy, _spread(graph, node, kh, kw))
    outputs = o // node.int("groups")
    one_pixel = outputs * 4 + per_group * (8 if operands.split else 4)
    strided = node.ints("stride") != [1, 1] or any(node.ints("padding"))
    if kh * kw != 1 or node.int("groups") != 1 or strided:
        return max(one_pixel, outputs * 8 + per_group * 16)
    four_pixels = aligned(o) * 8 + max(
        BLOCK * 16 + (per_group * 2 if operands.split else 0),
        per_group * 16 if operands.split else 0,
    )
    return max(one_pixel, four_pixels)


def _spread(graph: Graph, node: Node, kh: int, kw: int) -> int:
    """Four channels of the flipped weights and of the gradient, spread to stride 1."""
    height = image_size(graph, QConvInputGrad[str].of(node.inputs).g.codes)[0]
    rows = (height - 1) * node.ints("stride")[0] + 1
    pitch = aligned(image_size(graph, node.outputs[0])[1], 4) + kw - 1
    return 8 * (kh * kw + min(rows, 2 * kh) * pitch)


def _work(graph: Graph, node: Node) -> Work:
    g = graph.tensors[QConvInputGrad[str].of(node.inputs).g.codes]
    dx, geometry = graph.tensors[node.outputs[0]], geometry_of(node)
    o, kh, kw, per_group = _weight(graph, node)
    depthwise = is_per_channel(geometry.groups, per_group * geometry.groups, o)
    return Work(
        f"dx {'depthwise ' if depthwise else ''}{kh}x{kw}",
        image_text(g.shape, dx.shape, geometry.stride[0]), kh * kw * (o // geometry.groups), kw,
        g.elements, dx.elements, "input gradient", depthwise,
    )  # fmt: skip


@kernel(
    "q_conv2d_input_grad", _work, scratch=_scratch,
    faster="mt_pointwise_input_grad mt_dense_input_grad mt_depthwise_input_grad mt_round_run",
)  # fmt: skip
def _input_grad(e: Emitter, node: Node) -> None:
    o, dx, graph = QConvInputGrad[str].of(node.inputs), node.outputs[0], e.graph
    constants = InputGradConstants(graph, node)
    _, kh, kw, _ = constants.weight
    params = e.params("mt_conv2d_input_grad_params", dx, {
        "shape": conv_shape(hwc(graph, dx), hwc(graph, o.g.codes), (kh, kw), geometry_of(node)),
        "multiplier": e.table(dx, "int32_t", constants.multiplier, "lanes"),
        "depthwise_shift": str(constants.depthwise_shift),
        **split_fields(e, o.split, o.weight in e.depthwise),
        "round": round_params(node, constants.exponent_delta),
    })  # fmt: skip
    e.call("mt_conv2d_input_grad", "mt_conv2d_input_grad_io", params, {
        "g": e.address(o.g.codes), "g_exponent": e.address(o.g.exponent),
        "weight": e.address(o.weight),
        "trained_weight": address_or_null(e, o.split.trained if o.split else None),
        "dx": e.address(dx),
        "scratch": e.scratch(node), "round": round_io(e, node, o.rounding, o.mask),
    })  # fmt: skip
