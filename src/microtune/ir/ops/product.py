"""Products of two int8 tensors, and their gradients (docs/numerics.md, "Product").

The second operand has the shape of the first, or is a vector: one factor for each channel, as the
gates of squeeze-and-excitation are. Both get a gradient; that of a vector is a sum over all places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from microtune.ir import numerics, tflite_numerics
from microtune.ir.graph import Array, Attr, Graph, Node
from microtune.ir.ops.common import clamped, declared_shape, real_attr, same_as, scalar
from microtune.ir.ops.gradient_operands import Gradient, Rounding
from microtune.ir.ops.operands import Operands, T
from microtune.ir.ops.registry import Context, ShapeList, Trait, Window, always, op
from microtune.ir.ops.rounding import ROUND_ATTRS, rounded, rounded_shapes
from microtune.ir.ops.rules import Lowering, Tape

LARGEST_MULTIPLIER = 2.0**14  # s_x·s_v/s_y: beyond it every product but 0 is clamped
MOST = 127 * 255  # of a gradient's mantissa times a code without its zero point
SUM_LIMIT = 2**30  # of what is rounded as a gradient, exclusive


@dataclass(frozen=True)
class Mul(Operands[T]):
    """Operands of mul: x, and v of its shape or (1, 1, 1, C) or (1, C)."""

    x: T
    v: T


@dataclass(frozen=True)
class MulGrad(Operands[T]):
    """Operands of mul_grad: the gradient of the product, and the codes of the other factor."""

    g: T
    other: T


@dataclass(frozen=True)
class QMulGrad(Operands[T]):
    """Operands of q_mul_grad: the same in int8, and how it is rounded."""

    g: Gradient[T]
    other: T
    rounding: Rounding[T]
    mask: T | None


# -- forward --------------------------------------------------------------------------------------


def is_vector(graph: Graph, node: Node) -> bool:
    """Whether the second factor is one number for each channel of the first."""
    o = Mul[str].of(node.inputs)
    return graph.tensors[o.v].elements < graph.tensors[o.x].elements


def _shapes(graph: Graph, node: Node) -> ShapeList:
    o = Mul[str].of(node.inputs)
    x, v = graph.tensors[o.x], graph.tensors[o.v]
    if v.shape not in (x.shape, (1, 1, 1, x.shape[-1]), (1, x.shape[-1])):
        raise ValueError(
            f"mul: {list(x.shape)} by {list(v.shape)}: not the same, and not one for each channel"
        )
    return same_as("x")(graph, node)


def product_scale(graph: Graph, node: Node) -> float:
    """The scale s_x·s_v/s_y of the products without zero points."""
    o = Mul[str].of(node.inputs)
    return graph.scale(o.x) * graph.scale(o.v) / graph.scale(node.outputs[0])


def product_multiplier(graph: Graph, node: Node) -> tuple[int, int]:
    """(m, n) of the device's requantisation of a product."""
    m, n = numerics.quantize_multipliers(np.array([product_scale(graph, node)]))
    return int(m[0]), int(n[0])


def _gradient(tape: Tape, node: Node, g: str) -> None:
    o, y = Mul[str].of(node.inputs), node.outputs[0]
    for number, (x, other) in enumerate(((o.x, o.v), (o.v, o.x))):
        if tape.wants(x):
            attrs: dict[str, Attr] = {
                "factor": product_scale(tape.graph, node),
                "zero": tape.graph.quant(other).zero_point,
            }
            dx = tape.emit(
                "mul_grad", f"{y}.dx{number}", MulGrad(g, other), shape=tape.shape(x), **attrs
            )
            tape.contribute(x, dx)


def _proof(graph: Graph, node: Node) -> Iterator[str]:
    if not product_scale(graph, node) < LARGEST_MULTIPLIER:
        yield f"mul %{node.outputs[0]}: the scale of the result is too small for its factors"


def _window(graph: Graph, node: Node) -> Window | None:
    """A row needs that row of x, and all of a vector; an image that is constant is whole."""
    constant = graph.tensors[Mul[str].of(node.inputs).v].role == "const"
    return None if constant and not is_vector(graph, node) else Window()


def _overwrites(graph: Graph, node: Node) -> tuple[str, ...]:
    return ("x",) if is_vector(graph, node) else ("x", "v")


@op(
    "mul", Mul, _shapes, Trait.STREAMED, optional="clamp", gradient=_gradient, proof=_proof,
    overwrites=_overwrites, clamps=always, window=_window, back={"dx": "q_mul_grad"},
)  # fmt: skip
def mul(ctx: Context, o: Mul[Array]) -> list[Array]:
    """The product of x and v without their zero points, requantised, plus that of the result."""
    graph, names, y = ctx.graph, Mul[str].of(ctx.node.inputs), ctx.node.outputs[0]
    d1 = o.x.astype(np.int64) - graph.quant(names.x).zero_point
    d2 = o.v.astype(np.int64) - graph.quant(names.v).zero_point
    acc, zero = d1 * d2, graph.quant(y).zero_point
    s1, s2, sy = (np.float32(graph.scale(name)) for name in (names.x, names.v, y))
    if ctx.mode == "mcunet":
        return clamped(ctx, numerics.requantize_float32(acc, np.array(s1 * s2 / sy), zero))
    if ctx.tflite:
        made = tflite_numerics.product(d1, d2, float(s1), float(s2), float(sy))
        return clamped(ctx, made + zero)
    m, n = product_multiplier(graph, ctx.node)
    return clamped(ctx, numerics.requantize(acc, np.array(m), np.array(n), zero))


# -- the way back ---------------------------------------------------------------------------------


def _summed(node: Node, product: Array) -> Array:
    """The product, or its sums over all places where the result is a vector."""
    shape = node.ints("shape")
    if product.size == np.prod(shape):
        return product.reshape(shape)
    sums: Array = product.reshape(-1, product.shape[-1]).sum(axis=0).reshape(shape)
    return sums


def _lower(low: Lowering, node: Node) -> None:
    o, name = MulGrad[str].of(node.inputs), node.outputs[0]
    g, rounding = low.gradient(o.g), low.rounding(name)
    factor, delta = numerics.normalize_factor(
        low.target.factor(g.codes) * real_attr(node, "factor")
    )
    attrs: dict[str, Attr] = {
        "shape": node.attrs["shape"], "zero": node.attrs["zero"], "exponent_delta": delta,
        **low.rounding_attrs(name),
    }  # fmt: skip
    operands = QMulGrad(g, o.other, rounding, low.mask_of(name))
    low.emit_gradient("q_mul_grad", name, operands, attrs, factor, rounding=rounding)


@op(
    "mul_grad", MulGrad, declared_shape, Trait.FLOAT, attrs="shape zero factor", lowering=_lower
)  # fmt: skip
def mul_grad(ctx: Context, o: MulGrad[Array]) -> list[Array]:
    """Each g times the other factor."""
    other = (o.other.astype(np.int64) - ctx.node.int("zero")).astype(ctx.real)
    return [_summed(ctx.node, o.g * other) * ctx.real(real_attr(ctx.node, "factor"))]


def places_of(graph: Graph, node: Node) -> int:
    """The products that are summed for one element of a q_mul_grad."""
    g = QMulGrad[str].of(node.inputs).g.codes
    return graph.tensors[g].elements // graph.tensors[node.outputs[0]].elements


def _grad_proof(graph: Graph, node: Node) -> Iterator[str]:
    if places_of(graph, node) * MOST >= SUM_LIMIT:
        yield f"{node.op} %{node.outputs[0]}: the sum over all places can overflow int32"


@op(
    "q_mul_grad", QMulGrad, rounded_shapes, attrs="shape zero exponent_delta" + ROUND_ATTRS,
    proof=_grad_proof,
)  # fmt: skip
def q_mul_grad(ctx: Context, o: QMulGrad[Array]) -> list[Array]:
    """Products of mantissas and codes, or their sums, rounded by the exponent rule."""
    product = o.g.codes.astype(np.int64) * (o.other.astype(np.int64) - ctx.node.int("zero"))
    e_acc = scalar(o.g.exponent) + ctx.node.int("exponent_delta")
    return rounded(ctx, _summed(ctx.node, product), e_acc, o.rounding, o.mask)
