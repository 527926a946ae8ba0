"""Op -> kernel call: the one table that says which C runs a node."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from microtune.codegen.emitter import Emitter, float_literal, struct_text
from microtune.ir import numerics
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.float_gradients import real_attr
from microtune.ir.ops.forward import pool_windows, weight_shape
from microtune.ir.ops.int8_gradients import input_grad_constants, site, sum_multiplier
from microtune.ir.ops.updates import bias_factors, head_factors, parameter_name, weight_factors

Emit = Callable[[Emitter, Node], None]
EMITTERS: dict[str, Emit] = {}
STATE = "&ctx->state"


def emits(op: str) -> Callable[[Emit], Emit]:
    """Register the emitter of an op."""

    def register(function: Emit) -> Emit:
        EMITTERS[op] = function
        return function

    return register


def hwc(graph: Graph, name: str) -> tuple[int, int, int]:
    """(H, W, C); a vector is a 1x1 image."""
    shape = graph.tensors[name].shape
    return (shape[1], shape[2], shape[3]) if len(shape) == 4 else (1, 1, shape[-1])


def conv_shape(
    x: tuple[int, int, int], y: tuple[int, int, int], kernel: tuple[int, int], node: Node
) -> str:
    """Initialiser of mt_conv_shape."""
    plain = node.op == "fully_connected"
    stride = [1, 1] if plain else node.ints("stride")
    padding = [0, 0, 0, 0] if plain else node.ints("padding")
    return struct_text({
        "in_h": x[0], "in_w": x[1], "in_c": x[2], "out_h": y[0], "out_w": y[1], "out_c": y[2],
        "k_h": kernel[0], "k_w": kernel[1], "stride_h": stride[0], "stride_w": stride[1],
        "pad_top": padding[0], "pad_left": padding[1],
        "groups": 1 if plain else node.int("groups"),
    })  # fmt: skip


def split_fields(
    e: Emitter, order: str | None, trained: str | None, depthwise: bool
) -> dict[str, str]:
    """channel_order and trained_channels."""
    if order is None or trained is None:
        return {"channel_order": "NULL", "trained_channels": "0"}
    count = e.graph.tensors[trained].shape[0 if depthwise else -1]
    return {"channel_order": e.constant(order), "trained_channels": str(count)}


def clamp_fields(node: Node) -> dict[str, str]:
    """clamp_lo and clamp_hi."""
    lo, hi = node.ints("clamp") if "clamp" in node.attrs else (-128, 127)
    return {"clamp_lo": str(lo), "clamp_hi": str(hi)}


def mask_field(e: Emitter, node: Node) -> str:
    """The mask operand of a forward op: only a training step writes masks."""
    if len(node.outputs) < 2:
        return "NULL"
    return f"train ? {e.address(node.outputs[1])} : NULL"


@emits("conv2d")
def _conv2d(e: Emitter, node: Node) -> None:
    x, w, b, *split = node.inputs
    y, graph = node.outputs[0], e.graph
    scales = graph.scale(x) * graph.channel_scales(w) / graph.scale(y)
    pairs = [numerics.quantize_multiplier(float(m)) for m in scales]
    _, kh, kw, _ = weight_shape(graph, node, 1, 3)
    trained, order = split if split else (None, None)
    params = e.params("mt_conv2d_params", y, {
        "shape": conv_shape(hwc(graph, x), hwc(graph, y), (kh, kw), node),
        "multiplier": e.table(f"{y}.multiplier", "int32_t", np.array([p[0] for p in pairs])),
        "shift": e.table(f"{y}.shift", "uint8_t", np.array([p[1] for p in pairs])),
        "x_zero": str(graph.quant(x).zero_point), "y_zero": str(graph.quant(y).zero_point),
        **clamp_fields(node), **split_fields(e, order, trained, w in e.depthwise),
    })  # fmt: skip
    e.call("mt_conv2d", "mt_conv2d_io", params, {
        "x": e.address(x), "weight": e.address(w),
        "trained_weight": e.address(trained) if trained else "NULL", "bias": e.address(b),
        "y": e.address(y), "mask": mask_field(e, node), "scratch": e.scratch(node),
    })  # fmt: skip


EMITTERS["fully_connected"] = _conv2d


@emits("add")
def _add(e: Emitter, node: Node) -> None:
    (x1, x2), y, graph = node.inputs, node.outputs[0], e.graph
    a1, a2, k = numerics.add_constants(graph.scale(x1), graph.scale(x2), graph.scale(y))
    params = e.params("mt_add_params", y, {
        "count": str(graph.tensors[y].elements), "x1_zero": str(graph.quant(x1).zero_point),
        "x2_zero": str(graph.quant(x2).zero_point), "a1": str(a1), "a2": str(a2),
        "shift": str(k), "y_zero": str(graph.quant(y).zero_point), **clamp_fields(node),
    })  # fmt: skip
    e.call("mt_add", "mt_add_io", params, {
        "x1": e.address(x1), "x2": e.address(x2), "y": e.address(y), "mask": mask_field(e, node),
    })  # fmt: skip


def pool_fields(graph: Graph, x: tuple[int, int, int], node: Node) -> dict[str, object]:
    """Fields of mt_pool_params for an input (H, W, C)."""
    (kh, kw), (sh, sw) = node.ints("kernel"), node.ints("stride")
    out = pool_windows(x[:2], node)
    return {
        "in_h": x[0], "in_w": x[1], "channels": x[2], "out_h": out[0], "out_w": out[1],
        "k_h": kh, "k_w": kw, "stride_h": sh, "stride_w": sw,
    }  # fmt: skip


@emits("average_pool")
def _average_pool(e: Emitter, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    fields = pool_fields(e.graph, hwc(e.graph, x), node)
    params = e.params("mt_pool_params", y, {key: str(value) for key, value in fields.items()})
    e.call("mt_average_pool", "mt_pool_io", params, {"x": e.address(x), "y": e.address(y)})


@emits("clamp")
def _clamp(e: Emitter, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    lo, hi = node.ints("clamp")
    count = str(e.graph.tensors[x].elements)
    params = e.params("mt_clamp_params", y, {"count": count, "lo": str(lo), "hi": str(hi)})
    e.call("mt_clamp", "mt_clamp_io", params, {
        "x": e.address(x), "y": e.address(y), "mask": mask_field(e, node),
    })  # fmt: skip


@emits("reshape")
def _reshape(e: Emitter, node: Node) -> None:
    """A view: nothing runs."""


@emits("gather_channels")
def _gather_channels(e: Emitter, node: Node) -> None:
    (x, order), y = node.inputs, node.outputs[0]
    height, width, channels = hwc(e.graph, x)
    params = e.params("mt_gather_params", y, {
        "pixels": str(height * width), "channels": str(channels),
        "selected": str(node.int("selected")), "order": e.constant(order),
    })  # fmt: skip
    e.line("if (train)")
    e.call("mt_gather_channels", "mt_gather_io", params, {"x": e.address(x), "y": e.address(y)})


@emits("bias_from_delta")
def _bias_from_delta(e: Emitter, node: Node) -> None:
    (base, delta), y = node.inputs, node.outputs[0]
    params = e.params("mt_bias_delta_params", y, {
        "count": str(e.graph.tensors[y].elements), "shift": str(node.int("shift")),
        "base": e.constant(base),
    })  # fmt: skip
    e.call("mt_bias_from_delta", "mt_bias_delta_io", params, {
        "delta": e.address(delta), "bias": e.address(y),
    })  # fmt: skip


# -- head and loss --------------------------------------------------------------------------------


def head_fields(e: Emitter, x: str, w: str, node: Node) -> dict[str, object]:
    """Fields of mt_head_params."""
    classes, features = e.graph.tensors[w].shape
    return {
        "classes": classes, "features": features, "x_zero": e.graph.quant(x).zero_point,
        "fraction_bits": node.int("fraction_bits", 0),
        "x_scale": float_literal(e.graph.scale(x)),
    }  # fmt: skip


def head_kind(e: Emitter, w: str) -> str:
    """int16 or float32."""
    return "int16" if e.graph.tensors[w].dtype == "i16" else "float32"


@emits("head")
def _head(e: Emitter, node: Node) -> None:
    x, w, b = node.inputs
    fields = {key: str(value) for key, value in head_fields(e, x, w, node).items()}
    params = e.params("mt_head_params", node.outputs[0], fields)
    kind = head_kind(e, w)
    e.call(f"mt_head_{kind}", f"mt_head_{kind}_io", params, {
        "x": e.address(x), "weight": e.address(w), "bias": e.address(b),
        "logits": e.address(node.outputs[0]),
    })  # fmt: skip


@emits("softmax_cross_entropy")
def _loss(e: Emitter, node: Node) -> None:
    logits, (_, gradient) = node.inputs[0], node.outputs
    tensor = e.graph.tensors[logits]
    kind = "int16" if tensor.dtype == "i32" else "float32"
    params = e.params("mt_loss_params", "loss", {"classes": str(tensor.elements)})
    e.call(f"mt_loss_{kind}", f"mt_loss_{kind}_io", params, {
        "logits": e.address(logits), "label": "label", "d_logits": e.address(gradient),
        "loss_q16": "loss_q16",
    })  # fmt: skip


@emits("q_head_input_grad")
def _head_input_grad(e: Emitter, node: Node) -> None:
    d, w = node.inputs[:2]
    g, exponent = node.outputs
    head = next(n for n in e.graph.nodes if n.op == "head")
    x_scale = real_attr(node, "x_scale")
    params = e.params("mt_head_input_grad_params", g, {
        "head": struct_text(head_fields(e, head.inputs[0], w, head)), "site": f"{site(g)}u",
        "exponent_delta": str(numerics.normalize_factor(x_scale)[1]),
    })  # fmt: skip
    kind = head_kind(e, w)
    e.call(f"mt_head_input_grad_{kind}", f"mt_head_input_grad_{kind}_io", params, {
        "d_logits": e.address(d), "weight": e.address(w), "g": e.address(g),
        "exponent": e.address(exponent), "state": STATE,
    })  # fmt: skip


@emits("head_update")
def _head_update(e: Emitter, node: Node) -> None:
    d, x, w, b = node.inputs[:4]
    kind = head_kind(e, w)
    bits = node.int("fraction_bits", 15)
    weight, bias = head_factors(e.graph.scale(x), bits)
    params = e.params("mt_head_update_params", "head", {
        "head": struct_text(head_fields(e, x, w, node)),
        "weight_mantissa": str(weight[0]), "weight_exponent": str(weight[1]),
        "bias_mantissa": str(bias[0]), "bias_exponent": str(bias[1]),
        "weight_site": f"{site(w)}u", "bias_site": f"{site(b)}u",
    })  # fmt: skip
    e.call(f"mt_head_update_{kind}", f"mt_head_update_{kind}_io", params, {
        "x": e.address(x), "d_logits": e.address(d), "weight": e.address(w),
        "bias": e.address(b), "state": STATE,
    })  # fmt: skip


# -- gradients ------------------------------------------------------------------------------------


def round_params(name: str, delta: int) -> str:
    """Initialiser of mt_round_params."""
    return struct_text({"site": f"{site(name)}u", "acc_exponent_delta": delta})


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
    name = f"{dx}.lanes"
    params = e.params("mt_conv2d_input_grad_params", dx, {
        "shape": conv_shape(hwc(graph, dx), hwc(graph, g), (weight[1], weight[2]), node),
        "multiplier": e.table(name, "int32_t", constants.multiplier),
        "depthwise_shift": str(constants.depthwise_shift),
        **split_fields(e, order, trained, w in e.depthwise),
        "round": round_params(dx, constants.exponent_delta),
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
        "b_multiplier": str(sum_multiplier(e.graph, node)), "round": round_params(y, 0),
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
        "round": round_params(dx, node.int("exponent_delta")),
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


def factor_fields(e: Emitter, name: str, factors: tuple[np.ndarray, np.ndarray]) -> dict[str, str]:
    """factor_mantissa and factor_exponent tables."""
    return {
        "factor_mantissa": e.table(f"{name}.factor", "int32_t", factors[0]),
        "factor_exponent": e.table(f"{name}.factor.exponent", "int16_t", factors[1]),
    }


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
        "x_zero": str(node.int("x_zero")), **factor_fields(e, w, weight_factors(graph, node)),
        **split_fields(e, order, w if order else None, w in e.depthwise),
        "site": f"{site(parameter_name(w))}u",
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
        **factor_fields(e, b, bias_factors(e.graph, node)),
        "site": f"{site(parameter_name(b))}u",
    })  # fmt: skip
    narrow = e.graph.tensors[b].dtype == "i16"
    kind, field = ("int16", "delta") if narrow else ("int32", "bias")
    e.call(f"mt_bias_update_{kind}", f"mt_bias_update_{kind}_io", params, {
        "g": e.address(g), "g_exponent": e.address(exponent), field: e.address(b),
        "state": STATE,
    })  # fmt: skip
