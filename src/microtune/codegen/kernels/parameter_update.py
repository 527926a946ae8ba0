"""Kernels of the updates in place (`ir/ops/parameter_update.py`)."""

from __future__ import annotations

import numpy as np

from microtune.codegen.emitter import Emitter, struct_text
from microtune.codegen.kernels.common import STATE, hwc
from microtune.codegen.kernels.convolution import conv_shape, multiplier_tables, split_fields
from microtune.codegen.kernels.registry import Work, elementwise, kernel
from microtune.ir.convolution import ConvKind
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.convolution import layer_with
from microtune.ir.ops.convolution_operands import BiasUpdate, Split, WeightUpdate
from microtune.ir.ops.layer import geometry_of, multipliers_of
from microtune.ir.ops.momentum import trained_param
from microtune.ir.ops.parameter_update import (
    FactorTable,
    bias_factors,
    weight_factors,
    weight_update_kind,
)
from microtune.runtime.facts import WEIGHT_SUM_BYTES


def factor_params(e: Emitter, name: str, table: FactorTable) -> str:
    """Initialiser of mt_factor_params: the tables are those of the layer's forward pass, whose
    dead channels are marked apart."""
    layer = layer_with(e.graph, trained_param(e.graph, name))
    m, n = multipliers_of(e.graph, layer)
    live = table.multiplier != 0
    if (m[live] != table.multiplier[live]).any() or (n[live] != table.shift[live]).any():
        raise ValueError(f"{name} is not trained with the multipliers of {layer.outputs[0]}")
    multiplier, shift = multiplier_tables(e, layer)
    dead = "NULL"
    if m[~live].any():
        bits = np.packbits(~live, bitorder="little")
        dead = e.table(layer.outputs[0], "uint8_t", bits, "dead")
    return struct_text({
        "multiplier": multiplier, "shift": shift, "mantissa": table.scale[0],
        "exponent": table.scale[1], "cap": table.cap, "dead": dead,
    })  # fmt: skip


def _scratch(graph: Graph, node: Node) -> int:
    return 0 if weight_update_kind(graph, node) is ConvKind.DEPTHWISE else WEIGHT_SUM_BYTES


def _work(graph: Graph, node: Node) -> Work:
    o = WeightUpdate[str].of(node.inputs)
    gradient, weight = graph.tensors[o.g.codes], graph.tensors[o.weight]
    saved = graph.tensors[o.x]
    kh, kw = weight.shape[1:3] if len(weight.shape) == 4 else (1, 1)
    depthwise = weight_update_kind(graph, node) is ConvKind.DEPTHWISE
    positions = gradient.elements // gradient.shape[-1]
    return Work(
        f"dW {'depthwise ' if depthwise else ''}{kh}x{kw}",
        f"{weight.elements:,} weights over {positions} positions", positions, kw,
        gradient.elements + saved.elements, weight.elements, "weight gradient", depthwise,
    )  # fmt: skip


@kernel(
    "conv2d_weight_update", _work, scratch=_scratch,
    faster="mt_pointwise_sums mt_dense_weight_update",
)  # fmt: skip
def _weight_update(e: Emitter, node: Node) -> None:
    o, graph = WeightUpdate[str].of(node.inputs), e.graph
    shape = graph.tensors[o.weight].shape
    kernel_size = (shape[1], shape[2]) if len(shape) == 4 else (1, 1)
    height, width, channels = hwc(graph, o.x)
    full = graph.tensors[o.order].elements if o.order else channels
    split = Split(o.weight, o.order) if o.order else None
    params = e.params("mt_conv2d_weight_update_params", o.weight, {
        "shape": conv_shape(
            (height, width, full), hwc(graph, o.g.codes), kernel_size, geometry_of(node)
        ),
        "x_zero": str(node.int("x_zero")),
        "factor": factor_params(e, o.weight, weight_factors(graph, node)),
        **split_fields(e, split, o.weight in e.depthwise),
        "site": f"{node.int('site')}u",
    })  # fmt: skip
    e.call("mt_conv2d_weight_update", "mt_conv2d_weight_update_io", params, {
        "g": e.address(o.g.codes), "g_exponent": e.address(o.g.exponent), "x": e.address(o.x),
        "weight": e.address(o.weight), "state": STATE, "scratch": e.scratch(node),
    })  # fmt: skip


def _bias_fields(e: Emitter, node: Node, parts: int) -> dict[str, str]:
    """Fields of mt_bias_update_params. Parts lie side by side in the gradient, as if there were
    more positions."""
    o = BiasUpdate[str].of(node.inputs)
    height, width, channels = hwc(e.graph, o.g.codes)
    return {
        "pixels": str(height * width * parts), "channels": str(channels // parts),
        "factor": factor_params(e, o.bias, bias_factors(e.graph, node)),
        "site": f"{node.int('site')}u",
    }  # fmt: skip


def _call_bias(e: Emitter, node: Node, function: str, params: str) -> None:
    o = BiasUpdate[str].of(node.inputs)
    narrow = e.graph.tensors[o.bias].dtype == "i16"
    kind, field = ("int16", "delta") if narrow else ("int32", "bias")
    e.call(f"{function}_{kind}", f"mt_bias_update_{kind}_io", params, {
        "g": e.address(o.g.codes), "g_exponent": e.address(o.g.exponent),
        field: e.address(o.bias), "state": STATE,
    })  # fmt: skip


@kernel("bias_update", elementwise("bias update", "bias gradient"), faster="mt_channel_sums")
def _bias_update(e: Emitter, node: Node) -> None:
    bias = BiasUpdate[str].of(node.inputs).bias
    params = e.params("mt_bias_update_params", bias, _bias_fields(e, node, 1))
    _call_bias(e, node, "mt_bias_update", params)


@kernel(
    "tied_bias_update", elementwise("bias update", "bias gradient"), header="mt_tied_bias",
    faster="mt_channel_sums",
)  # fmt: skip
def _tied_bias_update(e: Emitter, node: Node) -> None:
    parts = node.int("tied")
    params = e.params("mt_tied_bias_update_params", BiasUpdate[str].of(node.inputs).bias, {
        "update": struct_text(_bias_fields(e, node, parts)), "parts": str(parts),
    })  # fmt: skip
    _call_bias(e, node, "mt_tied_bias_update", params)
