"""Functions of one tensor: ReLUs, tables, requantisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from microtune.importers.tflite.operators.fused import code_bounds
from microtune.importers.tflite.operators.registry import takes
from microtune.importers.tflite.reader import Operator
from microtune.importers.tflite.translation import Translation, Value
from microtune.ir.graph import Array, Quant
from microtune.ir.tflite_numerics import Reals, function_codes, requantize_codes


def _sigmoid(x: Reals) -> Reals:
    one = np.float32(1)
    result: Reals = one / (one + np.exp(-x))
    return result


_REALS: dict[str, Callable[[Reals], Reals]] = {"sigmoid": _sigmoid, "tanh": np.tanh}


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
    before, kind = t.quant_of(value), {"LOGISTIC": "sigmoid", "TANH": "tanh"}[operator.kind]
    assert before.scale is not None and quant.scale is not None
    table = function_codes(
        _REALS[kind], before.scale, before.zero_point, quant.scale, quant.zero_point
    )
    t.give(operator, _looked_up(t, t.name(kind), value, quant, kind, table), value.axes)


def _looked_up(
    t: Translation, name: str, value: Value, quant: Quant, function: str, table: Array
) -> str:
    """The value with each code replaced by that of the table, int8 (256,)."""
    const = t.builder.graph.constant(f"{name}.table", table, "i8")
    return t.builder.apply("activation", name, (value.name, const), quant, {"function": function})


def requantized(t: Translation, value: Value, quant: Quant) -> Value:
    """The value in this quantisation: itself, or looked up in a table."""
    before = t.quant_of(value)
    if before == quant:
        return value
    name = t.name("requantize")
    assert before.scale is not None and quant.scale is not None
    table = requantize_codes(before.scale, before.zero_point, quant.scale, quant.zero_point)
    return Value(_looked_up(t, name, value, quant, "identity", table), value.axes)
