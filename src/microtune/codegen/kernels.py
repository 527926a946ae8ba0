"""Op -> kernel call: the one table that says which C runs a node. Here: forward ops and heads."""

from __future__ import annotations

from collections.abc import Callable

from microtune.codegen.emitter import Emitter, float_literal, struct_text
from microtune.ir import numerics
from microtune.ir.convolution import kind_of
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.float_gradients import real_attr
from microtune.ir.ops.forward import multipliers_of, pool_windows, weight_shape
from microtune.ir.ops.updates import head_factors

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
    groups = 1 if plain else node.int("groups")
    stride = [1, 1] if plain else node.ints("stride")
    padding = [0, 0, 0, 0] if plain else node.ints("padding")
    return struct_text({
        "in_h": x[0], "in_w": x[1], "in_c": x[2], "out_h": y[0], "out_w": y[1], "out_c": y[2],
        "k_h": kernel[0], "k_w": kernel[1], "stride_h": stride[0], "stride_w": stride[1],
        "pad_top": padding[0], "pad_left": padding[1],
        "groups": groups, "kind": kind_of(groups, x[2], y[2]).value,
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


def multiplier_tables(e: Emitter, layer: Node) -> tuple[str, str]:
    """Symbols of the requantisation tables of a layer."""
    y, (m, n) = layer.outputs[0], multipliers_of(e.graph, layer)
    return e.table(y, "int32_t", m, "multiplier"), e.table(y, "uint8_t", n, "shift")


def conv2d_params(e: Emitter, node: Node) -> str:
    """Parameters of a forward convolution."""
    x, w, _, *split = node.inputs
    y, graph = node.outputs[0], e.graph
    multiplier, shift = multiplier_tables(e, node)
    _, kh, kw, _ = weight_shape(graph, node, 1, 3)
    trained, order = split if split else (None, None)
    return e.params("mt_conv2d_params", y, {
        "shape": conv_shape(hwc(graph, x), hwc(graph, y), (kh, kw), node),
        "multiplier": multiplier, "shift": shift,
        "x_zero": str(graph.quant(x).zero_point), "y_zero": str(graph.quant(y).zero_point),
        **clamp_fields(node), **split_fields(e, order, trained, w in e.depthwise),
    })  # fmt: skip


@emits("conv2d")
def _conv2d(e: Emitter, node: Node) -> None:
    x, w, b, *split = node.inputs
    e.call("mt_conv2d", "mt_conv2d_io", conv2d_params(e, node), {
        "x": e.address(x), "weight": e.address(w),
        "trained_weight": e.address(split[0]) if split else "NULL", "bias": e.address(b),
        "y": e.address(node.outputs[0]), "mask": mask_field(e, node), "scratch": e.scratch(node),
    })  # fmt: skip


EMITTERS["fully_connected"] = _conv2d


def add_params(e: Emitter, node: Node, count: int) -> str:
    """Parameters of a residual add of `count` elements."""
    (x1, x2), y, graph = node.inputs, node.outputs[0], e.graph
    a1, a2, k = numerics.add_constants(graph.scale(x1), graph.scale(x2), graph.scale(y))
    return e.params("mt_add_params", y, {
        "count": str(count), "x1_zero": str(graph.quant(x1).zero_point),
        "x2_zero": str(graph.quant(x2).zero_point), "a1": str(a1), "a2": str(a2),
        "shift": str(k), "y_zero": str(graph.quant(y).zero_point), **clamp_fields(node),
    })  # fmt: skip


@emits("add")
def _add(e: Emitter, node: Node) -> None:
    (x1, x2), y = node.inputs, node.outputs[0]
    params = add_params(e, node, e.graph.tensors[y].elements)
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


def pool_params(e: Emitter, node: Node) -> str:
    """Parameters of an average pool."""
    fields = pool_fields(e.graph, hwc(e.graph, node.inputs[0]), node)
    values = {key: str(value) for key, value in fields.items()}
    return e.params("mt_pool_params", node.outputs[0], values)


@emits("average_pool")
def _average_pool(e: Emitter, node: Node) -> None:
    x, y, params = node.inputs[0], node.outputs[0], pool_params(e, node)
    e.call("mt_average_pool", "mt_pool_io", params, {"x": e.address(x), "y": e.address(y)})


def clamp_params(e: Emitter, node: Node, count: int) -> str:
    """Parameters of a clamp of `count` elements."""
    lo, hi = node.ints("clamp")
    fields = {"count": str(count), "lo": str(lo), "hi": str(hi)}
    return e.params("mt_clamp_params", node.outputs[0], fields)


@emits("clamp")
def _clamp(e: Emitter, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    params = clamp_params(e, node, e.graph.tensors[x].elements)
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
        "logits": e.address(logits), "label": "target->class_index",
        "d_logits": e.address(gradient),
        "loss_q16": "loss_q16",
    })  # fmt: skip


@emits("q_head_input_grad")
def _head_input_grad(e: Emitter, node: Node) -> None:
    d, w = node.inputs[:2]
    g, exponent = node.outputs
    head = next(n for n in e.graph.nodes if n.op == "head")
    x_scale = real_attr(node, "x_scale")
    params = e.params("mt_head_input_grad_params", g, {
        "head": struct_text(head_fields(e, head.inputs[0], w, head)),
        "site": f"{node.int('site')}u",
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
        "weight_site": f"{node.int('weight_site')}u", "bias_site": f"{node.int('bias_site')}u",
    })  # fmt: skip
    e.call(f"mt_head_update_{kind}", f"mt_head_update_{kind}_io", params, {
        "x": e.address(x), "d_logits": e.address(d), "weight": e.address(w),
        "bias": e.address(b), "state": STATE,
    })  # fmt: skip
