"""Sums, differences and products of two tensors, one of which may be a constant or a vector."""

from __future__ import annotations

import numpy as np
import tflite

from microtune.importers.tflite.operators.elementwise import looked_up
from microtune.importers.tflite.operators.fused import fused_bounds
from microtune.importers.tflite.operators.registry import takes
from microtune.importers.tflite.reader import FileTensor, Operator
from microtune.importers.tflite.translation import CannotError, Translation, Value
from microtune.ir import tflite_numerics
from microtune.ir.functions import CODE_BOUNDS, CODES, Table
from microtune.ir.graph import Array, Attr, Quant


@takes("ADD")
def add(t: Translation, operator: Operator) -> None:
    """The sum of two tensors, or of a tensor and a constant."""
    options = operator.read(tflite.AddOptions)
    _pair(t, operator, "add", options.FusedActivationFunction())


@takes("SUB")
def subtract(t: Translation, operator: Operator) -> None:
    """The difference of two tensors, or of a tensor and a constant."""
    options = operator.read(tflite.SubOptions)
    _pair(t, operator, "sub", options.FusedActivationFunction())


@takes("MUL")
def multiply(t: Translation, operator: Operator) -> None:
    """The product of two tensors, or of a tensor and a factor for each channel."""
    options = operator.read(tflite.MulOptions)
    _pair(t, operator, "mul", options.FusedActivationFunction())


def _pair(t: Translation, operator: Operator, op: str, activation: int) -> None:
    """Append a node of two operands, or a table where one of them is one number."""
    quant = t.quant(t.result(operator))
    bounds = fused_bounds(activation, quant)
    first, second = _in_order(t, operator)
    constant = t.tensor(operator, second)
    if constant.data is not None and (constant.data == constant.data.flat[0]).all():
        x = t.value(operator, first)
        name = _by_number(t, op, x, constant, quant, bounds, turned=first == 1)
        t.give(operator, name, x.axes)
        return
    attrs: dict[str, Attr] = {} if bounds == CODE_BOUNDS else {"clamp": list(bounds)}
    x, v = _operands(t, operator, first, second, vectors=op == "mul")
    operands = (v, x.name) if op == "sub" and first == 1 else (x.name, v)
    name = t.builder.apply(op, t.name(op), operands, quant, attrs)
    t.give(operator, name, x.axes)


def _by_number(
    t: Translation, op: str, x: Value, constant: FileTensor, quant: Quant,
    bounds: tuple[int, int], *, turned: bool,
) -> str:  # fmt: skip
    """x and one number: a table of the codes that the operator makes. `turned`: the number comes
    first."""
    own, other = t.quant_of(x), t.quant(constant)
    assert constant.data is not None and own.scale and other.scale and quant.scale
    code = int(constant.data.flat[0]) - t.offset - other.zero_point
    d1, d2 = CODES.astype(np.int64) - own.zero_point, np.full(256, code, np.int64)
    scales, real = (own.scale, other.scale), code * other.scale
    if op == "sub" and turned:
        d1, d2, scales = d2, d1, (other.scale, own.scale)
    made = _ARITHMETIC[op](d1, d2, *scales, quant.scale) + quant.zero_point
    affine = {"mul": [real, 0.0], "add": [1.0, real], "sub": [1.0, -real]}[op]
    what = Table("affine", [-1.0, real] if op == "sub" and turned else affine, bounds)
    table = np.clip(made, *bounds).astype(np.int8)
    return looked_up(t, t.name(op), x, quant, what, table)


_ARITHMETIC = {
    "add": tflite_numerics.add, "sub": tflite_numerics.subtract, "mul": tflite_numerics.product,
}  # fmt: skip


def _in_order(t: Translation, operator: Operator) -> tuple[int, int]:
    """(the operand of the result's shape that is computed, the other one)."""
    shape = t.result(operator).shape
    for first in (0, 1):
        tensor = t.tensor(operator, first)
        if tensor.data is None and tensor.shape == shape:
            return first, 1 - first
    shapes = [list(t.tensor(operator, i).shape) for i in (0, 1)]
    raise CannotError(
        f"{shapes[0]} and {shapes[1]} make {list(shape)}", "an operand of the result's shape"
    )


def _operands(
    t: Translation, operator: Operator, first: int, second: int, *, vectors: bool
) -> tuple[Value, str]:
    """The first operand, and the tensor of the graph that is the second one beside it.

    It has the shape of the first, or one element for each channel if the op takes `vectors`.
    """
    x, tensor = t.value(operator, first), t.tensor(operator, second)
    shape = t.tensor(operator, first).shape
    if tensor.data is None and tensor.shape == shape:
        v = t.value(operator, second)
        if v.axes != x.axes:
            x, v = t.in_order(x), t.in_order(v)
        return x, v.name
    x = t.in_order(x)
    if tensor.data is not None:
        return x, _constant(t, tensor, x, vectors=vectors)
    if tensor.shape[:-1] != (1,) * (len(tensor.shape) - 1) or tensor.shape[-1] != shape[-1]:
        raise CannotError(
            f"{list(shape)} and {list(tensor.shape)}", "two of one shape, or one for each channel"
        )
    return x, _vector(t, t.in_order(t.value(operator, second)), t.shape(x), vectors=vectors)


def _constant(t: Translation, tensor: FileTensor, x: Value, *, vectors: bool) -> str:
    """The constant in a shape that the op takes beside x."""
    quant, shape = t.quant(tensor), t.shape(x)
    assert tensor.data is not None
    codes: Array = (tensor.data.astype(np.int16) - t.offset).astype(np.int8)
    sizes = [1] * len(shape)
    for axis, size in zip(reversed(x.axes), reversed(tensor.shape), strict=False):
        sizes[axis] = size
    per_channel = all(size == 1 for size in sizes[:-1])
    made = (*(1 for _ in sizes[:-1]), shape[-1]) if vectors and per_channel else shape
    whole = np.ascontiguousarray(np.broadcast_to(codes.reshape(sizes), made))
    return t.builder.graph.constant(t.name("constant"), whole, "i8", quant)


def _vector(t: Translation, v: Value, shape: tuple[int, ...], *, vectors: bool) -> str:
    """A computed vector in a shape that the op takes: as it is, or at each place."""
    graph, name = t.builder.graph, v.name
    if graph.tensors[name].shape not in ((1, shape[-1]), (1, 1, 1, shape[-1])) or not vectors:
        name = t.builder.reshape(t.name("reshape"), name, (1, 1, 1, shape[-1]))
    if vectors:
        return name
    attrs: dict[str, Attr] = {
        "size": list(shape[1:3]), "method": "nearest", "corners": 0, "centers": 0,
    }  # fmt: skip
    return t.builder.apply("resize", t.name("spread"), (name,), graph.quant(name), attrs)
