"""Residual adds, differences, and the ways back: scaled through them, summed where paths meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from microtune.ir import numerics, tflite_numerics
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.common import clamped, lower_codes, real_attr, same_as, scalar
from microtune.ir.ops.gradient_operands import Gradient, Rounding
from microtune.ir.ops.operands import Operands, Single, T
from microtune.ir.ops.registry import Context, ShapeList, Trait, Window, always, op
from microtune.ir.ops.rounding import ROUND_ATTRS, rounded, rounded_shapes
from microtune.ir.ops.rules import Lowering, Tape


@dataclass(frozen=True)
class Add(Operands[T]):
    """Operands of add, the residual sum, and of sub: x1 less x2."""

    x1: T
    x2: T


@dataclass(frozen=True)
class GradientSum(Operands[T]):
    """Operands of gradient_sum, in reals."""

    a: T
    b: T


@dataclass(frozen=True)
class QGradientSum(Operands[T]):
    """Operands of q_gradient_sum, in int8 codes."""

    a: Gradient[T]
    b: Gradient[T]
    rounding: Rounding[T]
    mask: T | None


@dataclass(frozen=True)
class QScaleGradient(Operands[T]):
    """Operands of q_scale_gradient."""

    g: Gradient[T]


# -- add ------------------------------------------------------------------------------------------


def _gradient(tape: Tape, node: Node, g: str) -> None:
    y = node.outputs[0]
    for number, x in enumerate(Add[str].of(node.inputs).flat()):
        if tape.wants(x):
            factor = tape.graph.scale(x) / tape.graph.scale(y)
            dx = tape.emit("scale_gradient", f"{y}.dx{number}", Single(g), factor=factor)
            if number == 1 and node.op == "sub":
                dx = tape.emit("negate", f"{y}.negative", Single(dx))
            tape.contribute(x, dx)


def _proof(graph: Graph, node: Node) -> Iterator[str]:
    scales = [graph.scale(name) for name in (*node.inputs, node.outputs[0])]
    try:
        numerics.add_constants(*scales)
    except (ValueError, OverflowError) as error:
        yield f"{node.op} %{node.outputs[0]}: {error}"


def _overwrites(graph: Graph, node: Node) -> tuple[str, ...]:
    return ("x1", "x2")


def _window(graph: Graph, node: Node) -> Window | None:
    """A row needs that row of both; a constant is whole."""
    constant = any(graph.tensors[name].role == "const" for name in node.inputs)
    return None if constant else Window()


def _negate_overwrites(graph: Graph, node: Node) -> tuple[str, ...]:
    return ("x",)


_RULES: dict[str, Any] = {
    "optional": "clamp", "gradient": _gradient, "proof": _proof, "overwrites": _overwrites,
    "clamps": always, "window": _window,
}  # fmt: skip


@op("add", Add, same_as("x1"), Trait.STREAMED, back={"dx": "q_scale_gradient"}, **_RULES)
def add(ctx: Context, o: Add[Array]) -> list[Array]:
    """Residual add of two int8 tensors with their own scales."""
    return _sum(ctx, o, 1)


@op("sub", Add, same_as("x1"), Trait.STREAMED, back={"dx": "negate"}, **_RULES)
def sub(ctx: Context, o: Add[Array]) -> list[Array]:
    """The difference of two int8 tensors with their own scales."""
    return _sum(ctx, o, -1)


def _sum(ctx: Context, o: Add[Array], sign: int) -> list[Array]:
    graph, names, y = ctx.graph, Add[str].of(ctx.node.inputs), ctx.node.outputs[0]
    d1 = o.x1.astype(np.int64) - graph.quant(names.x1).zero_point
    d2 = o.x2.astype(np.int64) - graph.quant(names.x2).zero_point
    s1, s2, sy = graph.scale(names.x1), graph.scale(names.x2), graph.scale(y)
    if ctx.mode == "mcunet":
        f = np.float32
        total = d1.astype(f) * f(s1) + (sign * d2).astype(f) * f(s2)
        v = np.rint(total / f(sy)).astype(np.int64)
    elif ctx.tflite:
        of = tflite_numerics.add if sign > 0 else tflite_numerics.subtract
        v = of(d1, d2, s1, s2, sy)
    else:
        a1, a2, k = numerics.add_constants(s1, s2, sy)
        v = (d1 * a1 + sign * d2 * a2 + (1 << (k - 1))) >> k
    return clamped(ctx, v + graph.quant(y).zero_point)


@op("negate", Single, same_as("x"), lowering=lower_codes, overwrites=_negate_overwrites)
def negate(ctx: Context, o: Single[Array]) -> list[Array]:
    """The gradient -g, of reals or of mantissas, which are within ±127."""
    return [-o.x]


# -- back through an add --------------------------------------------------------------------------


def _lower_scale(low: Lowering, node: Node) -> None:
    name = node.outputs[0]
    g = low.gradient(Single[str].of(node.inputs).x)
    factor, delta = numerics.normalize_factor(
        low.target.factor(g.codes) * real_attr(node, "factor")
    )
    low.emit_gradient(
        "q_scale_gradient", name, QScaleGradient(g), {"exponent_delta": delta}, factor
    )
    mask = low.mask_of(name)
    if mask is not None:
        low.apply_mask(name, mask)


@op("scale_gradient", Single, same_as("x"), Trait.FLOAT, attrs="factor", lowering=_lower_scale)
def scale_gradient(ctx: Context, o: Single[Array]) -> list[Array]:
    """The gradient g·factor of one input of a residual add."""
    return [o.x * ctx.real(real_attr(ctx.node, "factor"))]


def _scale_shapes(graph: Graph, node: Node) -> ShapeList:
    g = QScaleGradient[str].of(node.inputs).g
    return [(graph.tensors[g.codes].shape, "i8"), ((1,), "i32")]


@op("q_scale_gradient", QScaleGradient, _scale_shapes, Trait.VIEW, attrs="exponent_delta")
def q_scale_gradient(ctx: Context, o: QScaleGradient[Array]) -> list[Array]:
    """The same mantissas under another factor; the exponent moves by a constant."""
    delta = ctx.node.int("exponent_delta")
    return [o.g.codes, (o.g.exponent + delta).astype(np.int32)]


# -- where two paths meet -------------------------------------------------------------------------


def _lower_sum(low: Lowering, node: Node) -> None:
    o, name = GradientSum[str].of(node.inputs), node.outputs[0]
    a = low.gradient(o.a)
    rounding = low.rounding(name)
    operands = QGradientSum(a, low.gradient(o.b), rounding, low.mask_of(name))
    attrs = low.rounding_attrs(name) | {"shape": list(low.source.tensors[name].shape)}
    factor = low.target.factor(a.codes)
    low.emit_gradient("q_gradient_sum", name, operands, attrs, factor, rounding=rounding)


@op("gradient_sum", GradientSum, same_as("a"), Trait.FLOAT, lowering=_lower_sum)
def gradient_sum(ctx: Context, o: GradientSum[Array]) -> list[Array]:
    """Two paths meet: gradients are summed (never assigned)."""
    return [o.a + o.b]


def sum_multiplier(graph: Graph, node: Node) -> int:
    """The factor m_b = c_b/c_a of a q_gradient_sum node, in Q12."""
    o = QGradientSum[str].of(node.inputs)
    ratio = graph.factor(o.b.codes) / graph.factor(o.a.codes)
    return int(np.floor(ratio * 4096 + 0.5))


def _aligned(v: Array, d: int) -> Array:
    return v << d if d >= 0 else numerics.round_shift(v, min(-d, 30))


def _sum_overwrites(graph: Graph, node: Node) -> tuple[str, ...]:
    return ("a.codes", "b.codes")


@op(
    "q_gradient_sum", QGradientSum, rounded_shapes, attrs="shape" + ROUND_ATTRS,
    overwrites=_sum_overwrites,
)  # fmt: skip
def q_gradient_sum(ctx: Context, o: QGradientSum[Array]) -> list[Array]:
    """The sum of two int8 gradients with exponents of their own."""
    e_a, e_b = scalar(o.a.exponent), scalar(o.b.exponent)
    lowest = max(min(e_a, e_b), max(e_a, e_b) - 8)
    a = _aligned(o.a.codes.astype(np.int64) << 12, e_a - lowest)
    b = o.b.codes.astype(np.int64) * sum_multiplier(ctx.graph, ctx.node)
    return rounded(ctx, a + _aligned(b, e_b - lowest), lowest - 12, o.rounding, o.mask)
