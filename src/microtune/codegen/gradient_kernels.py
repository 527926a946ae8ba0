"""Op -> kernel call: gradients and updates."""

from __future__ import annotations

import numpy as np

from microtune.codegen.emitter import Emitter, struct_text
from microtune.codegen.kernels import (
    EMITTERS,
    STATE,
    conv_shape,
    emits,
    hwc,
    multiplier_tables,
    pool_fields,
    split_fields,
)
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.forward import multipliers_of, weight_shape
from microtune.ir.ops.int8_gradients import input_grad_constants, sum_multiplier
from microtune.ir.ops.updates import (
    FactorTable,
    bias_factors,
    weight_factors,
)

__all__ = ["EMITTERS"]

FORWARD = ("conv2d", "fully_connected")


def round_params(node: Node, delta: int) -> str:
    """Initialiser of mt_round_params."""
    return struct_text({"site": f"{node.int('site')}u", "acc_exponent_delta": delta})


def round_io(e: Emitter, node: Node, rest: tuple[str, ...]) -> str:
    """Initialiser of mt_round_io; `rest` is (base, offset, seed, step[, mask])."""
    return struct_text({
        "exponent": e.address(node.outputs[1]), "offset": e.address(rest[1]),
        "base": e.address(rest[0]), "state": STATE,
        "mask": e.address(rest[4]) if len(rest) > 4 else "NULL",
    })  # fmt: skip


@emits("q_conv2d_input_grad")
def _input_grad(e: Emitter, node: Node) -> None:
    g, exponent, w, scales = node.inputs[:4]
    position = 6 if node.attrs["trained"] else 4
    split, rest = node.inputs[4:position], node.inputs[position:]
    dx, graph = node.outputs[0], e.graph
    weight = weight_shape(graph, Node("conv2d", (g, w, scales, *split), (), node.attrs), 1, 3)
    constants = input_grad_constants(graph, node, weight)
    trained, order = split if split else (None, None)
    params = e.params("mt_conv2d_input_grad_params", dx, {
        "shape": conv_shape(hwc(graph, dx), hwc(graph, g), (weight[1], weight[2]), node),
        "multiplier": e.table(dx, "int32_t", constants.multiplier, "lanes"),
        "depthwise_shift": str(constants.depthwise_shift),
        **split_fields(e, order, trained, w in e.depthwise),
        "round": round_params(node, constants.exponent_delta),
    })  # fmt: skip
    e.call("mt_conv2d_input_grad", "mt_conv2d_input_grad_io", params, {
        "g": e.address(g), "g_exponent": e.address(exponent), "weight": e.address(w),
        "trained_weight": e.address(trained) if trained else "NULL", "dx": e.address(dx),
        "scratch": e.scratch(node), "round": round_io(e, node, rest),
    })  # fmt: skip


@emits("q_gradient_sum")
def _gradient_sum(e: Emitter, node: Node) -> None:
    a, e_a, b, e_b, *rest = node.inputs
    y = node.outputs[0]
    params = e.params("mt_gradient_sum_params", y, {
        "count": str(e.graph.tensors[y].elements),
        "b_multiplier": str(sum_multiplier(e.graph, node)), "round": round_params(node, 0),
    })  # fmt: skip
    e.call("mt_gradient_sum", "mt_gradient_sum_io", params, {
        "a": e.address(a), "a_exponent": e.address(e_a), "b": e.address(b),
        "b_exponent": e.address(e_b), "y": e.address(y), "round": round_io(e, node, tuple(rest)),
    })  # fmt: skip


@emits("q_average_pool_grad")
def _average_pool_grad(e: Emitter, node: Node) -> None:
    g, exponent, *rest = node.inputs
    dx, graph = node.outputs[0], e.graph
    overlapping = bool(node.attrs["overlapping"])
    params = e.params("mt_average_pool_grad_params", dx, {
        "pool": struct_text(pool_fields(graph, hwc(graph, dx), node)),
        "round": round_params(node, node.int("exponent_delta")),
        "overlapping": str(int(overlapping)),
    })  # fmt: skip
    if overlapping:
        rounding = round_io(e, node, tuple(rest))
    else:
        rounding = struct_text({
            "exponent": e.address(node.outputs[1]),
            "mask": e.address(rest[0]) if rest else "NULL",
        })  # fmt: skip
    e.call("mt_average_pool_grad", "mt_average_pool_grad_io", params, {
        "g": e.address(g), "g_exponent": e.address(exponent), "dx": e.address(dx),
        "round": rounding,
    })  # fmt: skip


@emits("q_scale_gradient")
def _scale_gradient(e: Emitter, node: Node) -> None:
    """A view of the mantissas; the exponent moves by a constant."""
    source, target = e.address(node.inputs[1]), e.address(node.outputs[1])
    e.line(f"*({target}) = *({source}) + ({node.int('exponent_delta')});")


@emits("q_mask_gradient")
def _mask_gradient(e: Emitter, node: Node) -> None:
    (g, mask), y = node.inputs, node.outputs[0]
    count = str(e.graph.tensors[y].elements)
    params = e.params("mt_mask_params", y, {"count": count})
    e.call("mt_apply_mask", "mt_mask_io", params, {
        "g": e.address(g), "mask": e.address(mask), "y": e.address(y),
    })  # fmt: skip


# -- updates --------------------------------------------------------------------------------------


def factor_params(e: Emitter, name: str, table: FactorTable) -> str:
    """Initialiser of mt_factor_params: the tables are those of the layer's forward pass, whose
    dead channels are marked apart."""
    layer = layer_of(e.graph, name)
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


def layer_of(graph: Graph, param: str) -> Node:
    """The layer that a param belongs to, directly or as the difference to a frozen bias."""
    readers = graph.consumers()
    names = [param]
    for node in readers[param]:
        if node.op == "bias_from_delta":
            names += node.outputs
    return next(n for name in names for n in readers[name] if n.op in FORWARD)


@emits("conv2d_weight_update")
def _weight_update(e: Emitter, node: Node) -> None:
    g, exponent, x, w, *_ = node.inputs
    order = node.inputs[8] if len(node.inputs) > 8 else None
    graph, shape = e.graph, e.graph.tensors[w].shape
    kernel = (shape[1], shape[2]) if len(shape) == 4 else (1, 1)
    height, width, channels = hwc(graph, x)
    full = graph.tensors[order].elements if order else channels
    params = e.params("mt_conv2d_weight_update_params", w, {
        "shape": conv_shape((height, width, full), hwc(graph, g), kernel, node),
        "x_zero": str(node.int("x_zero")),
        "factor": factor_params(e, w, weight_factors(graph, node)),
        **split_fields(e, order, w if order else None, w in e.depthwise),
        "site": f"{node.int('site')}u",
    })  # fmt: skip
    e.call("mt_conv2d_weight_update", "mt_conv2d_weight_update_io", params, {
        "g": e.address(g), "g_exponent": e.address(exponent), "x": e.address(x),
        "weight": e.address(w), "state": STATE, "scratch": e.scratch(node),
    })  # fmt: skip


@emits("bias_update")
def _bias_update(e: Emitter, node: Node) -> None:
    g, exponent, b = node.inputs[:3]
    height, width, channels = hwc(e.graph, g)
    params = e.params("mt_bias_update_params", b, {
        "pixels": str(height * width), "channels": str(channels),
        "factor": factor_params(e, b, bias_factors(e.graph, node)),
        "site": f"{node.int('site')}u",
    })  # fmt: skip
    narrow = e.graph.tensors[b].dtype == "i16"
    kind, field = ("int16", "delta") if narrow else ("int32", "bias")
    e.call(f"mt_bias_update_{kind}", f"mt_bias_update_{kind}_io", params, {
        "g": e.address(g), "g_exponent": e.address(exponent), field: e.address(b),
        "state": STATE,
    })  # fmt: skip
