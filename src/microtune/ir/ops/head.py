"""The classifier head: its logits, its gradients, its update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.ir.graph import Array, Attr, Graph, Node
from microtune.ir.ops.common import centred, declared_shape, real_attr, scalar
from microtune.ir.ops.operands import Operands, Single, T
from microtune.ir.ops.parameter_update import rate, units_of, update_noise
from microtune.ir.ops.registry import Context, ShapeList, Trait, first_with, op, operand_names
from microtune.ir.ops.rules import Lowering, Tape


@dataclass(frozen=True)
class Head(Operands[T]):
    """Operands of head, the classifier."""

    x: T
    weight: T
    bias: T


@dataclass(frozen=True)
class HeadInputGrad(Operands[T]):
    """Operands of head_input_grad; `d` is the gradient of the logits."""

    d: T
    weight: T


@dataclass(frozen=True)
class HeadWeightGrad(Operands[T]):
    """Operands of head_weight_grad, in reals."""

    d: T
    x: T


@dataclass(frozen=True)
class QHeadInputGrad(Operands[T]):
    """Operands of q_head_input_grad, in int8 codes."""

    d: T
    weight: T
    seed: T
    step: T


@dataclass(frozen=True)
class HeadUpdate(Operands[T]):
    """Operands of head_update, weight and bias together."""

    d: T
    x: T
    weight: T
    bias: T
    lr: T
    seed: T
    step: T


def head_node(graph: Graph) -> Node:
    """The node of the head. Raises MicrotuneError where there is none."""
    node = first_with(graph, Trait.HEAD)
    if node is None:
        raise MicrotuneError(f"{graph.name}: there is no head")
    return node


def head_of(graph: Graph) -> Head[str]:
    """The operands of the graph's head. Raises MicrotuneError where there is none."""
    return Head[str].of(head_node(graph).inputs)


def _macs(graph: Graph, node: Node) -> int:
    return graph.tensors[operand_names(node)["weight"]].elements


def _twice(graph: Graph, node: Node) -> dict[str, float]:
    """A head, its gradient and its update read their first two operands once per MAC."""
    first, second, *_ = operand_names(node)
    return dict.fromkeys((first, second), float(_macs(graph, node)))


# -- forward --------------------------------------------------------------------------------------


def _shapes(graph: Graph, node: Node) -> ShapeList:
    o = Head[str].of(node.inputs)
    x, w = graph.tensors[o.x], graph.tensors[o.weight]
    if w.shape[1] != x.elements:
        raise ValueError(f"head: weight {w.shape} does not fit features {x.shape}")
    return [((1, w.shape[0]), "i32" if w.dtype == "i16" else "f32")]


def _gradient(tape: Tape, node: Node, d: str) -> None:
    o = Head[str].of(node.inputs)
    extra = {name: node.attrs[name] for name in ("fraction_bits",) if name in node.attrs}
    if tape.wants(o.x):
        dx = tape.emit(
            "head_input_grad", "head.dx", HeadInputGrad(d, o.weight), shape=tape.shape(o.x),
            x_scale=tape.graph.scale(o.x), **extra,
        )  # fmt: skip
        tape.contribute(o.x, dx)
    if tape.wants(o.weight):
        dw = tape.emit("head_weight_grad", f"{o.weight}.grad", HeadWeightGrad(d, o.x))
        tape.contribute(o.weight, dw)
    if tape.wants(o.bias):
        tape.contribute(o.bias, tape.emit("head_bias_grad", f"{o.bias}.grad", Single(d)))


@op(
    "head", Head, _shapes, Trait.HEAD, optional="fraction_bits", gradient=_gradient, macs=_macs,
    reads=_twice,
    back={"dx": "q_head_input_grad", "dW": "head_update", "db": "head_update"},
)  # fmt: skip
def head(ctx: Context, o: Head[Array]) -> list[Array]:
    """Logits (1, N) of features x: int16 weights -> int32 in Q16, float32 weights -> float32."""
    w, b = o.weight, o.bias
    name = Head[str].of(ctx.node.inputs).x
    features = centred(ctx, name, o.x)
    if w.dtype == np.int16:
        acc = w.astype(np.int64) @ features + b.astype(np.int64)
        drop = ctx.node.int("fraction_bits") - 16
        logits = numerics.round_shift(acc, drop) if drop >= 0 else acc << -drop
        return [numerics.saturate_int32(logits).astype(np.int32)[None]]
    real = features.astype(ctx.real) * ctx.real(ctx.graph.scale(name))
    if ctx.real is np.float64:
        return [(w @ real + b)[None]]
    return [numerics.ordered_dot32(lambda j: real[j] * w[:, j], real.size, b)[None]]


# -- gradients in real numbers --------------------------------------------------------------------


def output_unit(graph: Graph, d: str) -> float:
    """The real value of one code of an int16 gradient of the outputs: its scale, or 2^-15."""
    quant = graph.tensors[d].quant
    return 2.0**-15 if quant is None or quant.scale is None else quant.scale


def _dequantized(ctx: Context, d: Array) -> Array:
    """Gradients of the outputs (the op's first operand) as reals."""
    values = d.reshape(-1).astype(ctx.real)
    unit = output_unit(ctx.graph, ctx.node.inputs[0])
    return values * ctx.real(unit) if d.dtype == np.int16 else values


def _weight_unit(ctx: Context, w: Array, x_scale: float) -> float:
    """The real value of one code of a head weight (1 for float weights)."""
    if w.dtype != np.int16:
        return 1.0
    return 2.0 ** -ctx.node.int("fraction_bits") / x_scale


def _lower_input_grad(low: Lowering, node: Node) -> None:
    o, name, attrs = HeadInputGrad[str].of(node.inputs), node.outputs[0], dict(node.attrs)
    attrs["site"] = numerics.random_site(name)
    factor = numerics.normalize_factor(real_attr(node, "x_scale"))[0]
    if "fraction_bits" in attrs:
        factor = numerics.normalize_factor(output_unit(low.source, o.d))[0]
    operands = QHeadInputGrad(o.d, o.weight, low.seed, low.step)
    low.emit_gradient("q_head_input_grad", name, operands, attrs, factor)
    low.enter(name)
    mask = low.mask_of(name)
    if mask is not None:
        low.apply_mask(name, mask)


@op(
    "head_input_grad", HeadInputGrad, declared_shape, Trait.FLOAT, attrs="shape x_scale",
    optional="fraction_bits", lowering=_lower_input_grad,
)  # fmt: skip
def head_input_grad(ctx: Context, o: HeadInputGrad[Array]) -> list[Array]:
    """The gradient with respect to the codes of the features, in their shape: s_x · Wᵀ d."""
    x_scale = real_attr(ctx.node, "x_scale")
    unit = _weight_unit(ctx, o.weight, x_scale) * x_scale
    g = o.weight.astype(ctx.real).T @ _dequantized(ctx, o.d) * ctx.real(unit)
    return [g.reshape(ctx.node.ints("shape"))]


def _grad_w_shapes(graph: Graph, node: Node) -> ShapeList:
    o = HeadWeightGrad[str].of(node.inputs)
    return [((graph.tensors[o.d].elements, graph.tensors[o.x].elements), "f32")]


def _lower_weight_grad(low: Lowering, node: Node) -> None:
    o = HeadWeightGrad[str].of(node.inputs)
    layer = head_node(low.source)
    w, b = Head[str].of(layer.inputs).weight, Head[str].of(layer.inputs).bias
    attrs: dict[str, Attr] = {k: v for k, v in layer.attrs.items() if k == "fraction_bits"}
    attrs |= {"weight_site": low.site_of(w), "bias_site": low.site_of(b)}
    operands = HeadUpdate(o.d, o.x, w, b, low.rate, low.seed, low.step)
    low.emit_update("head_update", operands, (w, b), attrs)


@op("head_weight_grad", HeadWeightGrad, _grad_w_shapes, Trait.FLOAT, lowering=_lower_weight_grad)
def head_weight_grad(ctx: Context, o: HeadWeightGrad[Array]) -> list[Array]:
    """The gradient with respect to the real weights, (N, C): d · s_x(q_x - z_x)."""
    name = HeadWeightGrad[str].of(ctx.node.inputs).x
    features = centred(ctx, name, o.x).astype(ctx.real) * ctx.real(ctx.graph.scale(name))
    return [np.outer(_dequantized(ctx, o.d), features)]


def _grad_b_shapes(graph: Graph, node: Node) -> ShapeList:
    return [((graph.tensors[Single[str].of(node.inputs).x].shape[1],), "f32")]


def _with_the_weight(low: Lowering, node: Node) -> None:
    """The bias is updated together with the weight."""


@op("head_bias_grad", Single, _grad_b_shapes, Trait.FLOAT, lowering=_with_the_weight)
def head_bias_grad(ctx: Context, o: Single[Array]) -> list[Array]:
    """The gradient with respect to the real biases, (N,): d."""
    return [_dequantized(ctx, o.x)]


# -- on the device --------------------------------------------------------------------------------


def entering_bits(graph: Graph, node: Node) -> int:
    """Exponent of one unit of Wᵀ d in the int16 q_head_input_grad."""
    unit = output_unit(graph, QHeadInputGrad[str].of(node.inputs).d)
    return numerics.normalize_factor(unit)[1] - node.int("fraction_bits")


def _entering_shapes(graph: Graph, node: Node) -> ShapeList:
    return [(tuple(node.ints("shape")), "i8"), ((1,), "i32")]


@op(
    "q_head_input_grad", QHeadInputGrad, _entering_shapes, Trait.ENTERING,
    attrs="shape x_scale site", optional="fraction_bits", macs=_macs, reads=_twice,
)  # fmt: skip
def q_head_input_grad(ctx: Context, o: QHeadInputGrad[Array]) -> list[Array]:
    """The gradient that enters the backbone: int8 codes in the shape of the features, and their
    exponent, int32 (1,), the smallest at which no code exceeds 127."""
    d, w = o.d.reshape(-1), o.weight
    key = numerics.random_key(scalar(o.seed), scalar(o.step), ctx.node.int("site"))
    r8 = numerics.random8(key, np.arange(w.shape[1], dtype=np.int64))
    if w.dtype == np.int16:
        acc = w.astype(np.int64).T @ d.astype(np.int64)
        k = numerics.shift_to_mantissa(int(np.abs(acc).max()))
        g = numerics.stochastic_round(acc >> max(k - 22, 0), min(k, 22), r8)
        exponent = k + entering_bits(ctx.graph, ctx.node)
    else:
        v = numerics.ordered_dot32(lambda i: d[i] * w[i], d.size, np.zeros(w.shape[1], np.float32))
        g, exponent = _entering_float32(v, r8, real_attr(ctx.node, "x_scale"))
    codes = np.clip(g, -127, 127).astype(np.int8).reshape(ctx.node.ints("shape"))
    return [codes, np.array([exponent], np.int32)]


def _entering_float32(v: Array, r8: Array, x_scale: float) -> tuple[Array, int]:
    largest = np.abs(v).max()
    if largest < numerics.ENTERING_ZERO:
        return np.zeros(v.shape, np.int64), 0
    k = int(np.frexp(largest)[1]) - 1 - 6
    t = np.floor(np.ldexp(v.astype(np.float64), 8 - k)).astype(np.int64)
    return (t + r8) >> 8, k + numerics.normalize_factor(x_scale)[1]


def head_factors(graph: Graph, node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
    """((fm, fe) of the weights, (fm, fe) of the biases) of the int16 head of a head_update node."""
    o = HeadUpdate[str].of(node.inputs)
    unit = output_unit(graph, o.d) * 2.0 ** node.int("fraction_bits", 15)
    weight, bias = units_of(node)
    return (
        numerics.split_factor(graph.scale(o.x) ** 2 * unit * 2.0**weight),
        numerics.split_factor(unit * 2.0**bias),
    )


def _update_shapes(graph: Graph, node: Node) -> ShapeList:
    o = HeadUpdate[str].of(node.inputs)
    return [(graph.tensors[n].shape, graph.tensors[n].dtype) for n in (o.weight, o.bias)]


@op(
    "head_update", HeadUpdate, _update_shapes, Trait.UPDATE,
    attrs="weight_site bias_site", optional="fraction_bits units", macs=_macs,
    reads=_twice, writes=("weight", "bias"),
)  # fmt: skip
def head_update(ctx: Context, o: HeadUpdate[Array]) -> list[Array]:
    """The next weight (N, C) and the next bias (N,): a step of size lr against their gradients, in
    the types that they have."""
    names, w, b = HeadUpdate[str].of(ctx.node.inputs), o.weight, o.bias
    features = centred(ctx, names.x, o.x)
    if w.dtype == np.float32:
        return _float_head_update(ctx, o, features)
    weight, bias = head_factors(ctx.graph, ctx.node)
    grad = o.d.reshape(-1).astype(np.int64)
    pairs: tuple[tuple[Any, ...], ...] = (
        (w, np.outer(grad, features), weight, numerics.INT16_STEP_LIMIT, 32767, "weight_site"),
        (b, grad, bias, numerics.BIAS_STEP_LIMIT, numerics.BIAS_MAX, "bias_site"),
    )
    results = []
    for value, acc, (fm, fe), limit, bound, site in pairs:
        steps = numerics.step16(
            acc, np.array(fm, np.int64), np.array(fe, np.int64), rate(o.lr), 0, limit
        )
        index = np.arange(value.size, dtype=np.int64).reshape(value.shape)
        r16 = update_noise(ctx, site, o.seed, o.step, index)
        moved = numerics.apply_step(value.astype(np.int64), steps, r16, bound)
        results.append(moved.astype(value.dtype))
    return results


def _float_head_update(ctx: Context, o: HeadUpdate[Array], features: Array) -> list[Array]:
    scale = ctx.graph.scale(HeadUpdate[str].of(ctx.node.inputs).x)
    real = features.astype(np.float32) * np.float32(scale)
    t = np.float32(o.lr.reshape(-1)[0]) * o.d.reshape(-1)
    return [o.weight - t[:, None] * real[None, :], o.bias - t]
