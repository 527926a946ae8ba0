"""Activations by a table of 256 codes, and their gradients (docs/numerics.md, "Activation").

The codes of the table are data of the model, so that every machine computes the same bits. The way
back multiplies by a table of slopes, int8 with a common factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microtune.ir import numerics
from microtune.ir.functions import Table
from microtune.ir.graph import Array, Attr, Graph, Node
from microtune.ir.ops.common import declared_shape, same_as, scalar
from microtune.ir.ops.gradient_operands import Gradient, Rounding
from microtune.ir.ops.operands import Operands, T
from microtune.ir.ops.registry import Context, ShapeList, Trait, op
from microtune.ir.ops.rounding import ROUND_ATTRS, rounded, rounded_shapes
from microtune.ir.ops.rules import Lowering, Tape


@dataclass(frozen=True)
class Activation(Operands[T]):
    """Operands of activation; `table` holds the results of codes -128 to 127, int8 (256,), or
    (C, 256): a table for each channel."""

    x: T
    table: T


@dataclass(frozen=True)
class ActivationGrad(Operands[T]):
    """Operands of activation_grad; `slope` holds the slope at each code, float32 (256,) or
    (C, 256)."""

    g: T
    x: T
    slope: T


@dataclass(frozen=True)
class QActivationGrad(Operands[T]):
    """Operands of q_activation_grad; `slope` is int8 (256,) or (C, 256), within ±127."""

    g: Gradient[T]
    x: T
    slope: T
    rounding: Rounding[T]
    mask: T | None


def _at(table: Array, x: Array) -> Array:
    """What the table has for each code; one of each channel if it is (C, 256)."""
    index = x.astype(np.int64) + 128
    found: Array = table[index] if table.ndim == 1 else table[np.arange(len(table)), index]
    return found


# -- forward --------------------------------------------------------------------------------------


def _shapes(graph: Graph, node: Node) -> ShapeList:
    o, what = Activation[str].of(node.inputs), Table.of(node.attrs)
    table, channels = graph.tensors[o.table], graph.tensors[o.x].shape[-1]
    shape = (channels, 256) if what.function.per_channel else (256,)
    if (table.shape, table.dtype) != (shape, "i8"):
        raise ValueError(
            f"activation: a table of {table.dtype}{list(table.shape)}, not i8{list(shape)}"
        )
    if what.function.per_channel and len(what.parameters) != channels:
        raise ValueError(f"activation: {len(what.parameters)} slopes of {channels} channels")
    return same_as("x")(graph, node)


def _gradient(tape: Tape, node: Node, g: str) -> None:
    graph, x, y = tape.graph, Activation[str].of(node.inputs).x, node.outputs[0]
    slope = Table.of(node.attrs).slopes(graph.quant(x), graph.quant(y))
    table = graph.constant(graph.fresh(f"{y}.slope"), slope.astype(np.float32), "f32")
    operands = ActivationGrad(g, x, table)
    dx = tape.emit("activation_grad", f"{y}.dx", operands, shape=tape.shape(x))
    tape.contribute(x, dx)


def _overwrites(graph: Graph, node: Node) -> tuple[str, ...]:
    return ("x",)


@op(
    "activation", Activation, _shapes, Trait.STREAMED, attrs="function",
    optional="parameters clamp", gradient=_gradient,
    overwrites=_overwrites, back={"dx": "q_activation_grad"},
)  # fmt: skip
def activation(ctx: Context, o: Activation[Array]) -> list[Array]:
    """The table's result for each code."""
    return [_at(o.table, o.x)]


# -- the way back ---------------------------------------------------------------------------------


def _lower(low: Lowering, node: Node) -> None:
    o, name = ActivationGrad[str].of(node.inputs), node.outputs[0]
    slope = low.source.data[o.slope].astype(np.float64)
    largest = float(np.abs(slope).max()) or 1.0
    codes = np.floor(slope / largest * 127 + 0.5).astype(np.int8)
    table = low.target.constant(low.fresh(f"{o.slope}.codes"), codes, "i8")
    g, rounding = low.gradient(o.g), low.rounding(name)
    factor, delta = numerics.normalize_factor(low.target.factor(g.codes) * largest / 127)
    own: dict[str, Attr] = {"exponent_delta": delta}
    attrs = node.attrs | low.rounding_attrs(name) | own
    operands = QActivationGrad(g, o.x, table, rounding, low.mask_of(name))
    low.emit_gradient("q_activation_grad", name, operands, attrs, factor, rounding=rounding)


@op("activation_grad", ActivationGrad, declared_shape, Trait.FLOAT, attrs="shape", lowering=_lower)
def activation_grad(ctx: Context, o: ActivationGrad[Array]) -> list[Array]:
    """Each g times the slope at its code."""
    return [o.g * _at(o.slope, o.x).astype(ctx.real)]


@op(
    "q_activation_grad", QActivationGrad, rounded_shapes,
    attrs="shape exponent_delta" + ROUND_ATTRS,
)  # fmt: skip
def q_activation_grad(ctx: Context, o: QActivationGrad[Array]) -> list[Array]:
    """Products of codes and slopes, rounded by the exponent rule."""
    acc = o.g.codes.astype(np.int64) * _at(o.slope, o.x)
    e_acc = scalar(o.g.exponent) + ctx.node.int("exponent_delta")
    return rounded(ctx, acc, e_acc, o.rounding, o.mask)
