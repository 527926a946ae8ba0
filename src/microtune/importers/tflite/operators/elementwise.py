"""Functions of one tensor: ReLUs, tables, requantisation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tflite

from microtune.importers.tflite.operators.fused import code_bounds
from microtune.importers.tflite.operators.registry import takes
from microtune.importers.tflite.reader import Operator
from microtune.importers.tflite.translation import CannotError, Translation, Value
from microtune.ir.functions import Table
from microtune.ir.graph import Array, Quant
from microtune.ir.tflite_numerics import (
    Reals,
    function_codes,
    hard_swish_codes,
    leaky_codes,
    requantize_codes,
)


def _sigmoid(x: Reals) -> Reals:
    one = np.float32(1)
    result: Reals = one / (one + np.exp(-x))
    return result


_REALS: dict[str, tuple[str, Callable[[Reals], Reals]]] = {
    "LOGISTIC": ("sigmoid", _sigmoid), "TANH": ("tanh", np.tanh),
}  # fmt: skip


@takes("RELU", "RELU6", "RELU_N1_TO_1")
def relu(t: Translation, operator: Operator) -> None:
    """A ReLU of its own: another scale if need be, then bounds."""
    quant = t.quant(t.result(operator))
    x = requantized(t, t.value(operator), quant)
    lo, hi = code_bounds(operator.kind, quant)
    name = t.builder.clamp(t.name("clamp"), x.name, lo, hi)
    t.give(operator, name, x.axes)


@takes("LOGISTIC", "TANH")
def function(t: Translation, operator: Operator) -> None:
    """A function of one tensor, looked up in a table of 256 codes."""
    value, quant = t.value(operator), t.quant(t.result(operator))
    kind, real = _REALS[operator.kind]
    table = function_codes(real, *_scales(t.quant_of(value)), *_scales(quant))
    t.give(operator, looked_up(t, t.name(kind), value, quant, Table(kind), table), value.axes)


@takes("HARD_SWISH")
def hard_swish(t: Translation, operator: Operator) -> None:
    """The function x·min(max(x + 3, 0), 6)/6, looked up."""
    value, quant = t.value(operator), t.quant(t.result(operator))
    table = hard_swish_codes(*_scales(t.quant_of(value)), *_scales(quant))
    name = looked_up(t, t.name("hard_swish"), value, quant, Table("hard_swish"), table)
    t.give(operator, name, value.axes)


@takes("LEAKY_RELU")
def leaky_relu(t: Translation, operator: Operator) -> None:
    """A ReLU with a slope below zero, looked up."""
    value, quant = t.value(operator), t.quant(t.result(operator))
    alpha = float(operator.read(tflite.LeakyReluOptions).Alpha())
    if not math.isfinite(alpha) or alpha < 0:
        raise CannotError(f"a slope of {alpha}", "a finite one that is not negative")
    scales = *_scales(t.quant_of(value)), *_scales(quant)
    table = leaky_codes(np.ones(1, np.int64), alpha, *scales)[0]
    what = Table("leaky_relu", [alpha])
    name = looked_up(t, t.name("leaky_relu"), value, quant, what, table)
    t.give(operator, name, value.axes)


@takes("PRELU")
def prelu(t: Translation, operator: Operator) -> None:
    """A ReLU with a slope below zero for each channel: a table for each. The slopes are frozen."""
    x, quant = t.in_order(t.value(operator)), t.quant(t.result(operator))
    slopes, channels = t.tensor(operator, 1), t.shape(x)[-1]
    if slopes.shape[-1] != channels or max(slopes.shape[:-1], default=1) > 1:
        raise CannotError(f"slopes of shape {list(slopes.shape)}", "one for each channel")
    own = t.quant(slopes)
    alphas = t.constant(operator, 1).astype(np.int64).reshape(-1) - t.offset - own.zero_point
    scale = float(own.scale or 1.0)
    tables = leaky_codes(alphas, scale, *_scales(t.quant_of(x)), *_scales(quant))
    what = Table("prelu", [float(alpha * scale) for alpha in alphas])
    t.give(operator, looked_up(t, t.name("prelu"), x, quant, what, tables), x.axes)


def _scales(quant: Quant) -> tuple[float, int]:
    assert quant.scale is not None
    return quant.scale, quant.zero_point


def looked_up(
    t: Translation, name: str, value: Value, quant: Quant, what: Table, table: Array
) -> str:  # fmt: skip
    """The value with each code replaced by that of the table, int8 (256,) or (C, 256)."""
    const = t.builder.graph.constant(f"{name}.table", table, "i8")
    return t.builder.apply("activation", name, (value.name, const), quant, what.attrs)


def requantized(t: Translation, value: Value, quant: Quant) -> Value:
    """The value in this quantisation: itself, or looked up in a table."""
    before = t.quant_of(value)
    if before == quant:
        return value
    name = t.name("requantize")
    table = requantize_codes(*_scales(before), *_scales(quant))
    return Value(looked_up(t, name, value, quant, Table("identity"), table), value.axes)
