"""int8 gradient ops: what the device runs (docs/numerics.md, "Gradients").

A gradient tensor travels with its run-time exponent, an int32 tensor of one element. Ops that round
take (base exponent, offset) and return the offset's next value; attribute `rule` is "offset" (what
ships) or "exact" (the oracle that knows the maximum).
"""

from __future__ import annotations

import numpy as np

from microtune.ir import convolution, numerics
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.float_gradients import multipliers, real_attr, spread_windows
from microtune.ir.ops.forward import full_weight
from microtune.ir.ops.registry import (
    CONV_ATTRS,
    Array,
    Context,
    Shape,
    as_hwc,
    as_ohwi,
    op,
    same_as,
    shape_of,
)

ShapeList = list[tuple[Shape, str]]
ROUND_ATTRS = " rule site"


def _scalar(array: Array) -> int:
    return int(array.reshape(-1)[0])


def rounded_shapes(graph: Graph, node: Node) -> ShapeList:
    """(gradient, exponent, next offset)."""
    return [(tuple(node.ints("shape")), "i8"), ((1,), "i32"), ((1,), "i8")]


def _rounded(ctx: Context, acc: Array, e_acc: int, rule_inputs: list[Array]) -> list[Array]:
    """Round accumulators by the exponent rule; rule_inputs = base, offset, seed, step[, mask]."""
    base, offset, seed, step = (_scalar(a) for a in rule_inputs[:4])
    shape = tuple(ctx.node.ints("shape"))
    acc = acc.reshape(shape)
    mask = rule_inputs[4].astype(np.bool_) if len(rule_inputs) > 4 else None
    exact = ctx.node.str("rule") == "exact"
    wanted = numerics.exact_exponent(acc, mask, e_acc) if exact else base + offset
    key = numerics.random_key(seed, step, ctx.node.int("site"))
    g, exponent, change = numerics.round_gradient(acc, mask, e_acc, wanted, key)
    moved = offset if exact else min(max(offset + change, -64), 63)
    return [g, np.array([exponent], np.int32), np.array([moved], np.int8)]


@op(
    "q_head_input_grad", (4, 4), lambda g, n: [(tuple(n.ints("shape")), "i8"), ((1,), "i32")],
    "shape x_scale site", "fraction_bits",
)  # fmt: skip
def q_head_input_grad(ctx: Context, arrays: list[Array]) -> list[Array]:
    """The entering gradient, exact maximum: inputs (d_logits, weight, seed, step)."""
    d, w = arrays[0].reshape(-1), arrays[1]
    key = numerics.random_key(_scalar(arrays[2]), _scalar(arrays[3]), ctx.node.int("site"))
    r8 = numerics.random8(key, np.arange(w.shape[1], dtype=np.int64))
    if w.dtype == np.int16:
        acc = w.astype(np.int64).T @ d.astype(np.int64)
        k = numerics.shift_to_mantissa(int(np.abs(acc).max()))
        g = numerics.stochastic_round(acc >> max(k - 22, 0), min(k, 22), r8)
        exponent = k - 15 - ctx.node.int("fraction_bits")
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


@op(
    "q_conv2d_input_grad", (8, 11), rounded_shapes,
    CONV_ATTRS + " shape x_scale y_scale trained" + ROUND_ATTRS,
)  # fmt: skip
def q_conv2d_input_grad(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Inputs (g, e, weight, scales[, trained, order], base, offset, seed, step[, mask])."""
    g, exponent, w, _ = arrays[:4]
    split = 6 if ctx.node.attrs["trained"] else 4
    weight = full_weight(ctx.node.int("groups"), w, arrays[4:split])
    shape = ctx.node.ints("shape")
    size = (shape[1], shape[2]) if len(shape) == 4 else (1, 1)
    constants = input_grad_constants(ctx.graph, ctx.node, weight.shape)
    grad, m = as_hwc(g).astype(np.int64), constants.multiplier
    if constants.depthwise:
        total = convolution.input_gradient(grad, weight, size, ctx.geometry()).astype(np.int64)
        acc = numerics.high_multiply(total << constants.depthwise_shift, m)
    else:
        lanes = numerics.high_multiply(grad << 24, m)
        acc = convolution.input_gradient(lanes, weight, size, ctx.geometry()).astype(np.int64)
    return _rounded(ctx, acc, _scalar(exponent) + constants.exponent_delta, arrays[split:])


class InputGradConstants:
    """Compile-time constants of one conv2d_input_grad.

    multiplier int64 (O,), depthwise_shift, exponent_delta D and factor c of the result.
    """

    def __init__(self, graph: Graph, node: Node, weight: Shape) -> None:
        o, kh, kw, per_group = weight
        groups = node.int("groups")
        channel_m = multipliers(node, graph.data[node.inputs[3]])
        # A layer whose channels are all dead passes no gradient on.
        largest = float(channel_m.max()) or 1.0
        ratio = channel_m / largest
        kind = convolution.kind_of(groups, per_group * groups, o)
        self.depthwise = kind is convolution.ConvKind.DEPTHWISE
        self.depthwise_shift = numerics.depthwise_shift(kh * kw) if self.depthwise else 0
        c_g = graph.factor(node.inputs[0])
        if self.depthwise:
            self.multiplier = np.floor(ratio * (2**31 - 1) + 0.5).astype(np.int64)
            real = c_g * largest * 2.0 ** (1 - self.depthwise_shift)
        else:
            limit = numerics.gradient_lane_limit(kh * kw, o // groups)
            self.multiplier = numerics.lane_multipliers(ratio, limit)
            real = c_g * largest * 127 / limit
        self.factor, self.exponent_delta = numerics.normalize_factor(real)


def input_grad_constants(graph: Graph, node: Node, weight: Shape) -> InputGradConstants:
    """The constants of a q_conv2d_input_grad node for the full weight's shape O·KH·KW·I."""
    return InputGradConstants(graph, node, weight)


@op("q_gradient_sum", (8, 9), rounded_shapes, "shape" + ROUND_ATTRS)
def q_gradient_sum(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Inputs (a, e_a, b, e_b, base, offset, seed, step[, mask])."""
    e_a, e_b = _scalar(arrays[1]), _scalar(arrays[3])
    lowest = max(min(e_a, e_b), max(e_a, e_b) - 8)
    a = _aligned(arrays[0].astype(np.int64) << 12, e_a - lowest)
    b = _aligned(arrays[2].astype(np.int64) * sum_multiplier(ctx.graph, ctx.node), e_b - lowest)
    return _rounded(ctx, a + b, lowest - 12, arrays[4:])


def sum_multiplier(graph: Graph, node: Node) -> int:
    """m_b = c_b/c_a in Q12."""
    ratio = graph.factor(node.inputs[2]) / graph.factor(node.inputs[0])
    return int(np.floor(ratio * 4096 + 0.5))


def _aligned(v: Array, d: int) -> Array:
    return v << d if d >= 0 else numerics.round_shift(v, min(-d, 30))


@op(
    "q_scale_gradient",
    (2, 2),
    lambda g, n: [(shape_of(g, n, 0), "i8"), ((1,), "i32")],
    "exponent_delta",
)
def q_scale_gradient(ctx: Context, arrays: list[Array]) -> list[Array]:
    """The same mantissas under another factor; the exponent moves by a constant."""
    delta = ctx.node.int("exponent_delta")
    return [arrays[0], (arrays[1] + delta).astype(np.int32)]


@op("q_mask_gradient", (2, 2), same_as(0))
def q_mask_gradient(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Mantissas where the mask is 1, else 0; the exponent stays."""
    return [np.where(arrays[1], arrays[0], np.int8(0))]


def _pool_grad_shapes(graph: Graph, node: Node) -> ShapeList:
    return rounded_shapes(graph, node)[: 3 if node.attrs["overlapping"] else 2]


@op(
    "q_average_pool_grad", (2, 7), _pool_grad_shapes,
    "kernel stride shape overlapping exponent_delta" + ROUND_ATTRS,
)  # fmt: skip
def q_average_pool_grad(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Inputs (g, e[, mask]), or (g, e, base, offset, seed, step[, mask]) if windows overlap."""
    shape = ctx.node.ints("shape")
    acc = spread_windows(as_hwc(arrays[0]).astype(np.int64), (shape[1], shape[2]), ctx.node)
    e_acc = _scalar(arrays[1]) + ctx.node.int("exponent_delta")
    if ctx.node.attrs["overlapping"]:
        return _rounded(ctx, acc, e_acc, arrays[2:])
    g = acc.reshape(shape)
    if len(arrays) > 2:
        g = np.where(arrays[2], g, 0)
    return [g.astype(np.int8), np.array([e_acc], np.int32)]


__all__ = ["as_ohwi", "input_grad_constants", "sum_multiplier"]
