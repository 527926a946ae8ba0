"""Average and max pools, and means over the axes of an image."""

from __future__ import annotations

import tflite

from microtune.importers.tflite.operators.fused import fused_bounds
from microtune.importers.tflite.operators.layers import sides, strides
from microtune.importers.tflite.operators.registry import takes
from microtune.importers.tflite.reader import Operator
from microtune.importers.tflite.translation import CannotError, Translation, Value
from microtune.ir.graph import Attr


def _same_quant(t: Translation, operator: Operator) -> None:
    """Raises CannotError if the result has another scale or zero point than the operand."""
    if t.quant(t.result(operator)) != t.quant(t.tensor(operator, 0)):
        raise CannotError("its result has another scale than its operand", "the same scale")


@takes("AVERAGE_POOL_2D", "MAX_POOL_2D")
def pool_2d(t: Translation, operator: Operator) -> None:
    """A pool; the average of a window that crosses the border is not taken."""
    options, x = operator.read(tflite.Pool2DOptions), t.image(operator)
    _same_quant(t, operator)
    kernel, stride = (options.FilterHeight(), options.FilterWidth()), strides(options)
    if min(kernel) < 1:
        raise CannotError(f"a window of {kernel}", "a window of at least 1 x 1")
    shape = t.shape(x)
    padding = sides(options.Padding(), (shape[1], shape[2]), kernel, stride)
    attrs: dict[str, Attr] = {"kernel": list(kernel), "stride": list(stride)}
    op = "average_pool" if operator.kind == "AVERAGE_POOL_2D" else "max_pool"
    if op == "max_pool":
        attrs["padding"] = list(padding)
    elif padding != (0, 0, 0, 0):
        raise CannotError("an average over windows that cross the border", "padding VALID")
    name = t.builder.apply(op, t.name("pool"), (x.name,), t.quant_of(x), attrs)
    lo, hi = fused_bounds(options.FusedActivationFunction(), t.quant_of(x))
    if (lo, hi) != (-128, 127):
        name = t.builder.clamp(t.name("clamp"), name, lo, hi)
    t.give(operator, name)


@takes("MEAN")
def mean(t: Translation, operator: Operator) -> None:
    """The mean over height, width or both: an average pool of that window."""
    x, rank = t.value(operator), len(t.tensor(operator, 0).shape)
    _same_quant(t, operator)
    chosen = {int(axis) % rank for axis in t.constant(operator, 1).reshape(-1)}
    ours = {x.axes[axis] for axis in chosen}
    if len(t.shape(x)) != 4 or not ours <= {1, 2}:
        raise CannotError(f"a mean over axes {sorted(chosen)}", "height, width or both")
    shape = t.shape(x)
    kernel = [shape[axis] if axis in ours else 1 for axis in (1, 2)]
    attrs: dict[str, Attr] = {"kernel": kernel, "stride": kernel, "mean": 1}
    name = t.builder.apply("average_pool", t.name("pool"), (x.name,), t.quant_of(x), attrs)
    keep = operator.read(tflite.ReducerOptions).KeepDims()
    axes = x.axes if keep else tuple(a for i, a in enumerate(x.axes) if i not in chosen)
    t.give(operator, name, axes)
    if len(t.result(operator).shape) == 2:
        # What follows sees a vector.
        t.values[t.result(operator).index] = _vector(t, Value(name, axes))


def _vector(t: Translation, value: Value) -> Value:
    size = t.shape(value)[value.axes[1]]
    return Value(t.builder.reshape(t.name("reshape"), value.name, (1, size)), (0, 1))
