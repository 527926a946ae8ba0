"""Kernels of the layers, and of what a partly trained layer adds (`ir/ops/convolution.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter, struct_text
from microtune.codegen.kernels.common import address_or_null, clamp_fields, hwc, mask_field
from microtune.codegen.kernels.registry import Stage, Work, kernel
from microtune.ir.convolution import ConvKind, Geometry, is_per_channel, kind_of
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.convolution_operands import BiasFromDelta, Gather, Split
from microtune.ir.ops.layer import (
    conv_kind,
    geometry_of,
    layer_of,
    layer_weight_shape,
    multipliers_of,
)
from microtune.memory.lifetimes import aligned
from microtune.runtime.facts import BLOCK, EIGHT_LANES

# -- C structs ------------------------------------------------------------------------------------


def conv_shape(
    x: tuple[int, int, int], y: tuple[int, int, int], kernel: tuple[int, int], geometry: Geometry
) -> str:
    """C text: the initialiser of mt_conv_shape of a layer or of one of its gradients."""
    groups = geometry.groups
    return struct_text({
        "in_h": x[0], "in_w": x[1], "in_c": x[2], "out_h": y[0], "out_w": y[1], "out_c": y[2],
        "k_h": kernel[0], "k_w": kernel[1],
        "stride_h": geometry.stride[0], "stride_w": geometry.stride[1],
        "pad_top": geometry.padding[0], "pad_left": geometry.padding[1],
        "groups": groups, "kind": kind_of(groups, x[2], y[2]).value,
    })  # fmt: skip


def split_fields(e: Emitter, split: Split[str] | None, depthwise: bool) -> dict[str, str]:
    """The C fields channel_order and trained_channels of a partly trained layer."""
    if split is None:
        return {"channel_order": "NULL", "trained_channels": "0"}
    count = e.graph.tensors[split.trained].shape[0 if depthwise else -1]
    return {"channel_order": e.constant(split.order), "trained_channels": str(count)}


def multiplier_tables(e: Emitter, layer: Node) -> tuple[str, str]:
    """Symbols of the requantisation tables of a layer."""
    y, (m, n) = layer.outputs[0], multipliers_of(e.graph, layer)
    return e.table(y, "int32_t", m, "multiplier"), e.table(y, "uint8_t", n, "shift")


def _params(e: Emitter, node: Node) -> str:
    o, y, graph = layer_of(node), node.outputs[0], e.graph
    multiplier, shift = multiplier_tables(e, node)
    _, kh, kw, _ = layer_weight_shape(graph, node)
    return e.params("mt_conv2d_params", y, {
        "shape": conv_shape(hwc(graph, o.x), hwc(graph, y), (kh, kw), geometry_of(node)),
        "multiplier": multiplier, "shift": shift,
        "x_zero": str(graph.quant(o.x).zero_point), "y_zero": str(graph.quant(y).zero_point),
        **clamp_fields(node), **split_fields(e, o.split, o.weight in e.depthwise),
    })  # fmt: skip


# -- scratch: the formulas of mt_kernels_forward.h ------------------------------------------------


def image_size(graph: Graph, name: str) -> tuple[int, int]:
    """Height and width; a vector is a 1x1 image."""
    height, width, _ = hwc(graph, name)
    return height, width


def block_copy(graph: Graph, node: Node, name: str) -> int:
    """A block of channels of what a depthwise kernel overwrites."""
    if node.outputs[0] not in graph.execution.in_place:
        return 0
    tensor = graph.tensors[name]
    return tensor.elements // tensor.shape[-1] * BLOCK


def _scratch(graph: Graph, node: Node) -> int:
    o = layer_of(node)
    _, kh, kw, per_group = layer_weight_shape(graph, node)
    if conv_kind(graph, node) is not ConvKind.DEPTHWISE:
        return _patches(graph, node, kh * kw, per_group)
    merged = kh * kw * BLOCK if o.split else 0
    return merged + max(block_copy(graph, node, o.x), _lines(graph, node, kh, kw))


def _patches(graph: Graph, node: Node, taps: int, channels: int) -> int:
    """Eight widened patches (four of a small image or of many channels) and one of bytes, each part
    of the channels a multiple of 8."""
    split, parts = layer_of(node).split, [channels]
    if split:
        trained = graph.tensors[split.trained].shape[3]
        parts = [trained, channels - trained]
    padded = [aligned(taps * part) for part in parts]
    output = graph.tensors[node.outputs[0]]
    eight = output.elements // output.shape[-1] >= 8 and sum(padded) <= EIGHT_LANES
    return (16 if eight else 8) * sum(padded) + max(padded)


def _lines(graph: Graph, node: Node, kh: int, kw: int) -> int:
    """Four channels of the weights and of the rows under the kernel, widened and padded."""
    out_w, in_h = image_size(graph, node.outputs[0])[1], image_size(graph, node.inputs[0])[0]
    pitch = (-(-out_w // 4) * 4 - 1) * geometry_of(node).stride[1] + kw
    spare = 1 if node.outputs[0] in graph.execution.segments else 2
    return 8 * (kh * kw + min(in_h, spare * kh) * pitch)


# -- work -----------------------------------------------------------------------------------------


def _work(graph: Graph, node: Node) -> Work:
    o, kh, kw, per_group = layer_weight_shape(graph, node)
    x, y, geometry = (
        graph.tensors[layer_of(node).x],
        graph.tensors[node.outputs[0]],
        geometry_of(node),
    )
    depthwise = is_per_channel(geometry.groups, per_group * geometry.groups, o)
    return Work(
        f"conv {'depthwise ' if depthwise else ''}{kh}x{kw}",
        image_text(x.shape, y.shape, geometry.stride[0]), kh * kw * per_group, kw, x.elements,
        y.elements, "convolution", depthwise,
    )  # fmt: skip


def image_text(read: tuple[int, ...], made: tuple[int, ...], stride: int) -> str:
    """Channels read and made, and the size of what is made."""
    square = "x".join(str(n) for n in made[1:-1]) or "1x1"
    return f"{read[-1]}→{made[-1]} at {square}" + (f" s{stride}" if stride > 1 else "")


# -- the kernels ----------------------------------------------------------------------------------


def _stage(e: Emitter, node: Node) -> Stage:
    o = layer_of(node)
    weight, bias = e.constant(o.weight), e.constant(o.bias)
    return Stage("mt_conv2d_stage", _params(e, node), weight=weight, bias=bias)


@kernel("conv2d", _work, stage=_stage, scratch=_scratch, faster="mt_dense_rows mt_depthwise_rows")
@kernel("fully_connected", _work, scratch=_scratch, faster="mt_dense_rows")
def _conv2d(e: Emitter, node: Node) -> None:
    o = layer_of(node)
    e.call("mt_conv2d", "mt_conv2d_io", _params(e, node), {
        "x": e.address(o.x), "weight": e.address(o.weight),
        "trained_weight": address_or_null(e, o.split.trained if o.split else None),
        "bias": e.address(o.bias), "y": e.address(node.outputs[0]), "mask": mask_field(e, node),
        "scratch": e.scratch(node),
    })  # fmt: skip


@kernel("gather_channels", "save input")
def _gather_channels(e: Emitter, node: Node) -> None:
    o, y = Gather[str].of(node.inputs), node.outputs[0]
    height, width, channels = hwc(e.graph, o.x)
    params = e.params("mt_gather_params", y, {
        "pixels": str(height * width), "channels": str(channels),
        "selected": str(node.int("selected")), "order": e.constant(o.order),
    })  # fmt: skip
    io = {"x": e.address(o.x), "y": e.address(y)}
    e.call("mt_gather_channels", "mt_gather_io", params, io)


@kernel("bias_from_delta", "bias from delta")
def _bias_from_delta(e: Emitter, node: Node) -> None:
    o, y = BiasFromDelta[str].of(node.inputs), node.outputs[0]
    params = e.params("mt_bias_delta_params", y, {
        "count": str(e.graph.tensors[y].elements), "shift": str(node.int("shift")),
        "base": e.constant(o.base),
    })  # fmt: skip
    e.call("mt_bias_from_delta", "mt_bias_delta_io", params, {
        "delta": e.address(o.delta), "bias": e.address(y),
    })  # fmt: skip
