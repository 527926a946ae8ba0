"""Operators that compute nothing: reshape, squeeze, transpose, pad, concat, slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import tflite

from microtune.importers.tflite.operators.elementwise import requantized
from microtune.importers.tflite.operators.fused import fused_bounds
from microtune.importers.tflite.operators.registry import takes
from microtune.importers.tflite.reader import Operator
from microtune.importers.tflite.translation import (
    NHWC,
    CannotError,
    Translation,
    Value,
    graph_shape,
)
from microtune.ir.graph import Attr


@takes("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
def reshape(t: Translation, operator: Operator) -> None:
    """Another shape for the same codes, as the file orders them."""
    if t.padded(operator).blocks is not None:
        t.alias(operator, t.padded(operator))  # within a dilated convolution (batches.py)
        return
    x = t.in_order(t.value(operator))
    shape = graph_shape(t.result(operator).shape)
    if int(np.prod(shape)) != int(np.prod(t.shape(x))):
        raise CannotError(f"a result of shape {list(shape)}", "as many elements as the operand")
    name = x.name
    if shape != t.shape(x):
        name = t.builder.reshape(t.name("reshape"), x.name, shape)
    t.alias(operator, Value(name, _axes_of(t.result(operator).shape)))


def _axes_of(shape: Sequence[int]) -> tuple[int, ...]:
    return {2: (0, 1), 3: (0, 1, 3), 4: NHWC}[len(shape)]


@takes("TRANSPOSE")
def transpose(t: Translation, operator: Operator) -> None:
    """Another order of axes: nothing moves until an operator needs it."""
    x, order = t.value(operator), [int(axis) for axis in t.constant(operator, 1).reshape(-1)]
    if sorted(order) != list(range(len(x.axes))):
        raise CannotError(f"an order of axes {order}", "each axis once")
    t.alias(operator, Value(x.name, tuple(x.axes[axis] for axis in order)))


@takes("PAD", "PADV2")
def pad(t: Translation, operator: Operator) -> None:
    """A border of real zeros: part of the convolutions behind it, or an op of its own."""
    x = t.padded(operator)
    widths = t.constant(operator, 1).astype(np.int64)
    if widths.shape != (len(x.axes), 2) or (widths < 0).any():
        raise CannotError(f"widths of shape {list(widths.shape)}", "two for each axis")
    zero = t.quant_of(x).zero_point
    value = zero
    if operator.kind == "PADV2":
        value = int(t.constant(operator, 2).reshape(-1)[0]) - t.offset
    around = _around(x, widths)
    if around is not None and value == zero and _only_for_convolutions(t, operator):
        t.alias(operator, t.with_pads(x, around))
        return
    plain = t.value(operator)
    begin = [0] * len(t.shape(plain))
    shape = list(t.shape(plain))
    for axis, (before, behind) in zip(plain.axes, widths.tolist(), strict=True):
        begin[axis], shape[axis] = before, shape[axis] + before + behind
    attrs: dict[str, Attr] = {
        "shape": shape, "begin": begin, "stride": [1] * len(shape), "value": value,
    }  # fmt: skip
    name = t.builder.apply("pad", t.name("pad"), (plain.name,), t.quant_of(plain), attrs)
    t.give(operator, name, plain.axes)


def _only_for_convolutions(t: Translation, operator: Operator) -> bool:
    """Whether nothing but convolutions reads the result, which is no output of the model."""
    index = t.result(operator).index
    readers = {reader.kind for reader in t.readers(index)}
    read = bool(readers) and readers <= {"CONV_2D", "DEPTHWISE_CONV_2D"}
    return read and index not in t.file.outputs


def _around(x: Value, widths: np.ndarray) -> tuple[int, int, int, int] | None:
    """(top, left, bottom, right) if only height and width of an image in order grow."""
    if x.axes != NHWC or widths[[0, 3]].any():
        return None
    (top, bottom), (left, right) = widths[1].tolist(), widths[2].tolist()
    return top, left, bottom, right


@takes("CONCATENATION")
def concatenation(t: Translation, operator: Operator) -> None:
    """Operands behind each other; one of another scale is requantised first."""
    options = operator.read(tflite.ConcatenationOptions)
    quant = t.quant(t.result(operator))
    if fused_bounds(options.FusedActivationFunction(), quant) != (-128, 127):
        raise CannotError("a fused activation", "a concat without one")
    values = [t.value(operator, i) for i in range(len(operator.inputs))]
    if any(a.axes != b.axes for a, b in pairwise(values)):
        values = [t.in_order(value) for value in values]
    axis = values[0].axes[options.Axis() % len(values[0].axes)]
    parts = [requantized(t, value, quant) for value in values]
    name = t.builder.apply(
        "concat", t.name("concat"), [part.name for part in parts], quant, {"axis": axis}
    )
    t.give(operator, name, values[0].axes)


@takes("STRIDED_SLICE", "SLICE")
def strided_slice(t: Translation, operator: Operator) -> None:
    """A part of each axis, with constant bounds and positive steps."""
    x, shape = t.value(operator), t.tensor(operator, 0).shape
    result = t.result(operator)
    if len(result.shape) != len(shape):
        raise CannotError("a slice that drops an axis", "a slice that keeps all axes")
    begin = t.constant(operator, 1).reshape(-1).tolist()
    step = [1] * len(shape)
    if operator.kind == "STRIDED_SLICE":
        options = operator.read(tflite.StridedSliceOptions)
        if options.EllipsisMask() or options.NewAxisMask() or options.ShrinkAxisMask():
            raise CannotError("an ellipsis, a new axis or a dropped one", "plain bounds")
        step = t.constant(operator, 3).reshape(-1).tolist()
        begin = [0 if options.BeginMask() >> i & 1 else b for i, b in enumerate(begin)]
        begin = [b + n if b < 0 else b for b, n in zip(begin, shape, strict=True)]
    _cut(t, operator, x, begin, step)


def _cut(
    t: Translation, operator: Operator, x: Value, begin: Sequence[int], step: Sequence[int]
) -> None:
    """Give the operator's result: that many elements as it has, from `begin` on."""
    result = t.result(operator)
    if t.quant(result) != t.quant_of(x):
        raise CannotError("its result has another scale than its operand", "the same scale")
    sizes, first, steps = (list(t.shape(x)) for _ in range(3))
    for axis in range(len(sizes)):
        first[axis], steps[axis] = 0, 1
    for axis, n, b, s in zip(x.axes, result.shape, begin, step, strict=True):
        sizes[axis], first[axis], steps[axis] = n, b, s
    attrs: dict[str, Attr] = {"shape": sizes, "begin": first, "stride": steps}
    name = t.builder.apply("slice", t.name("slice"), (x.name,), t.quant_of(x), attrs)
    t.give(operator, name, x.axes)


@takes("SPLIT", "SPLIT_V", several=True)
def split(t: Translation, operator: Operator) -> None:
    """Parts of one axis, one behind the other: a slice each."""
    place, where = (1, 0) if operator.kind == "SPLIT" else (0, 2)
    x, shape = t.value(operator, place), t.tensor(operator, place).shape
    axis = int(t.constant(operator, where).reshape(-1)[0])
    if not -len(shape) <= axis < len(shape):
        raise CannotError(f"axis {axis} of {list(shape)}", "an axis that is there")
    axis, begin = axis % len(shape), [0] * len(shape)
    for output in operator.outputs:
        part = replace(operator, outputs=(output,))
        made = t.result(part).shape
        if len(made) != len(shape) or begin[axis] + made[axis] > shape[axis]:
            raise CannotError(f"a part of shape {list(made)}", "parts that fit")
        _cut(t, part, x, begin, [1] * len(shape))
        begin[axis] += made[axis]
