"""Activations by a table of 256 codes, and their gradients (docs/numerics.md, "Activation").

The codes of the table are data of the model, so that every machine computes the same bits. The way
back multiplies by a table of slopes, int8 with a common factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.ir import numerics
from microtune.ir.graph import Array, Attr, Graph, Node, Quant
from microtune.ir.ops.common import declared_shape, same_as, scalar
from microtune.ir.ops.gradient_operands import Gradient, Rounding
from microtune.ir.ops.operands import Operands, T
from microtune.ir.ops.registry import Context, ShapeList, Trait, op
from microtune.ir.ops.rounding import ROUND_ATTRS, rounded, rounded_shapes
from microtune.ir.ops.rules import Lowering, Tape

Reals = npt.NDArray[np.floating[Any]]
CODES = np.arange(-128, 128)


@dataclass(frozen=True)
class Activation(Operands[T]):
    """Operands of activation; `table` holds the results of codes -128 to 127, int8 (256,)."""

    x: T
    table: T


@dataclass(frozen=True)
class ActivationGrad(Operands[T]):
    """Operands of activation_grad; `slope` holds the slope at each code, float32 (256,)."""

    g: T
    x: T
    slope: T


@dataclass(frozen=True)
class QActivationGrad(Operands[T]):
    """Operands of q_activation_grad; `slope` is int8 (256,), within ±127."""

    g: Gradient[T]
    x: T
    slope: T
    rounding: Rounding[T]
    mask: T | None


# -- the functions --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Function:
    """A function of reals and its derivative, on float64 arrays."""

    value: Callable[[Reals], Reals]
    slope: Callable[[Reals], Reals]


def _sigmoid(x: Reals) -> Reals:
    result: Reals = 0.5 * (1.0 + np.tanh(0.5 * x))
    return result


def _normal(x: Reals) -> Reals:
    """The distribution function of the standard normal distribution."""
    below = np.array([math.erf(v / math.sqrt(2.0)) for v in x.ravel()])
    result: Reals = 0.5 * (1.0 + below.reshape(x.shape))
    return result


def _density(x: Reals) -> Reals:
    result: Reals = np.exp(-0.5 * x**2) / math.sqrt(2.0 * math.pi)
    return result


FUNCTIONS: dict[str, Function] = {
    "hard_swish": Function(
        lambda x: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0,
        lambda x: np.where(x < -3.0, 0.0, np.where(x > 3.0, 1.0, (2.0 * x + 3.0) / 6.0)),
    ),
    "sigmoid": Function(_sigmoid, lambda x: _sigmoid(x) * (1.0 - _sigmoid(x))),
    "tanh": Function(np.tanh, lambda x: 1.0 - np.tanh(x) ** 2),
    "silu": Function(
        lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) * (1.0 + x * (1.0 - _sigmoid(x)))
    ),
    "gelu": Function(lambda x: x * _normal(x), lambda x: _normal(x) + x * _density(x)),
    "hard_sigmoid": Function(
        lambda x: np.clip(x + 3.0, 0.0, 6.0) / 6.0,
        lambda x: np.where((x > -3.0) & (x < 3.0), 1.0 / 6.0, 0.0),
    ),
    "softplus": Function(lambda x: np.logaddexp(0.0, x), _sigmoid),
    "elu": Function(
        lambda x: np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0))),
        lambda x: np.where(x > 0.0, 1.0, np.exp(np.minimum(x, 0.0))),
    ),
    "mish": Function(
        lambda x: x * np.tanh(np.logaddexp(0.0, x)),
        lambda x: (
            np.tanh(np.logaddexp(0.0, x))
            + x * _sigmoid(x) * (1.0 - np.tanh(np.logaddexp(0.0, x)) ** 2)
        ),
    ),
    # Another scale and zero point for the same numbers.
    "identity": Function(lambda x: x, np.ones_like),
}


def _leaky_relu(below: float) -> Function:
    return Function(lambda x: np.where(x < 0, below * x, x), lambda x: np.where(x < 0, below, 1.0))


def function_named(name: str) -> Function:
    """The function of an `activation` node; "leaky_relu(0.1)" has its slope in the name.

    Raises ValueError for an unknown one.
    """
    head, _, rest = name.partition("(")
    if head == "leaky_relu" and rest.endswith(")"):
        below = float(rest[:-1])
        if math.isfinite(below):
            return _leaky_relu(below)
    if name not in FUNCTIONS:
        raise ValueError(f"activation: no function {name}; there are {', '.join(FUNCTIONS)}")
    return FUNCTIONS[name]


def _unclamped(name: str, x: Quant, y: Quant) -> tuple[Reals, npt.NDArray[np.int64]]:
    """(real input, code before the clamp) of each code."""
    real = (CODES - x.zero_point) * float(x.scale or 0.0)
    codes = np.floor(function_named(name).value(real) / float(y.scale or 1.0) + 0.5)
    return real, codes.astype(np.int64) + y.zero_point


def activation_table(name: str, x: Quant, y: Quant) -> npt.NDArray[np.int8]:
    """The table, int8 (256,), of a function between these quantisations, rounded half up.

    Raises ValueError for an unknown function.
    """
    return np.clip(_unclamped(name, x, y)[1], -128, 127).astype(np.int8)


def slope_table(name: str, x: Quant, y: Quant) -> Reals:
    """Slope in codes, float64 (256,): s_x/s_y·f'(x), and 0 where the result is clamped."""
    real, codes = _unclamped(name, x, y)
    slope = function_named(name).slope(real) * float(x.scale or 0.0) / float(y.scale or 1.0)
    return np.where((codes >= -128) & (codes <= 127), slope, 0.0)


# -- forward --------------------------------------------------------------------------------------


def _shapes(graph: Graph, node: Node) -> ShapeList:
    table = graph.tensors[Activation[str].of(node.inputs).table]
    function_named(node.str("function"))
    if (table.shape, table.dtype) != ((256,), "i8"):
        raise ValueError(f"activation: a table of {table.dtype}{list(table.shape)}, not i8[256]")
    return same_as("x")(graph, node)


def _gradient(tape: Tape, node: Node, g: str) -> None:
    graph, x, y = tape.graph, Activation[str].of(node.inputs).x, node.outputs[0]
    slope = slope_table(node.str("function"), graph.quant(x), graph.quant(y))
    table = graph.constant(graph.fresh(f"{y}.slope"), slope.astype(np.float32), "f32")
    operands = ActivationGrad(g, x, table)
    dx = tape.emit("activation_grad", f"{y}.dx", operands, shape=tape.shape(x))
    tape.contribute(x, dx)


def _overwrites(graph: Graph, node: Node) -> tuple[str, ...]:
    return ("x",)


@op(
    "activation", Activation, _shapes, Trait.STREAMED, attrs="function", gradient=_gradient,
    overwrites=_overwrites, back={"dx": "q_activation_grad"},
)  # fmt: skip
def activation(ctx: Context, o: Activation[Array]) -> list[Array]:
    """The table's result for each code."""
    return [o.table[o.x.astype(np.int64) + 128]]


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
    return [o.g * o.slope[o.x.astype(np.int64) + 128].astype(ctx.real)]


@op(
    "q_activation_grad", QActivationGrad, rounded_shapes,
    attrs="shape exponent_delta" + ROUND_ATTRS,
)  # fmt: skip
def q_activation_grad(ctx: Context, o: QActivationGrad[Array]) -> list[Array]:
    """Products of codes and slopes, rounded by the exponent rule."""
    acc = o.g.codes.astype(np.int64) * o.slope[o.x.astype(np.int64) + 128]
    e_acc = scalar(o.g.exponent) + ctx.node.int("exponent_delta")
    return rounded(ctx, acc, e_acc, o.rounding, o.mask)
