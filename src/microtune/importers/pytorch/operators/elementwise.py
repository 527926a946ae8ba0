"""Activations, sums and products of tensors, and what changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtune.floats import Floats
from microtune.importers.base import CannotError
from microtune.importers.pytorch.lowering import (
    FxNode,
    Lowering,
    kind_of,
    module_of,
    name_of,
    shape_of,
)
from microtune.importers.pytorch.operators.layers import affine
from microtune.importers.pytorch.operators.registry import OPERATORS, takes
from microtune.importers.pytorch.views import View
from microtune.ir.graph import Attr

# ATen's name -> the function of the int8 op.
_TABLES = {
    "hardswish": "hard_swish", "sigmoid": "sigmoid", "tanh": "tanh", "silu": "silu",
    "hardsigmoid": "hard_sigmoid", "softplus": "softplus", "elu": "elu", "mish": "mish",
}  # fmt: skip
_INFINITE = float("inf")


def _unary(low: Lowering, fx: FxNode, x: Any, op: str, attrs: dict[str, Attr]) -> None:  # noqa: ANN401
    """Append an op that treats each element alone: in memory order, whatever the axes mean."""
    view = low.view(x)
    made = low.node(op, name_of(fx), [view.name], attrs, {}, module_of(fx))
    low.alias(fx, View(made, view.axes))


@takes(
    "dropout", "feature_dropout", "alpha_dropout", "contiguous", "clone", "detach", "alias",
    "lift_fresh_copy", "to", "_to_copy", "identity",
)  # fmt: skip
def unchanged(low: Lowering, fx: FxNode, x: Any, *rest: Any, **options: Any) -> None:  # noqa: ANN401
    """What an inference leaves as it is."""
    value = fx.meta["val"]
    if not value.is_floating_point():
        raise CannotError(f"a cast to {value.dtype}", "real numbers")
    low.alias(fx, low.view(x))


@takes("relu")
def relu(low: Lowering, fx: FxNode, x: Any) -> None:  # noqa: ANN401
    """Nothing below 0: a clamp without an upper bound."""
    _unary(low, fx, x, "clamp", {"lo": 0.0, "hi": _INFINITE})


@takes("relu6")
def relu6(low: Lowering, fx: FxNode, x: Any) -> None:  # noqa: ANN401
    """Nothing below 0 and above 6."""
    _unary(low, fx, x, "clamp", {"lo": 0.0, "hi": 6.0})


@takes("hardtanh", "clamp", "clip")
def hardtanh(
    low: Lowering, fx: FxNode, x: Any, min: float | None = None, max: float | None = None,  # noqa: ANN401
    min_val: float | None = None, max_val: float | None = None,
) -> None:  # fmt: skip
    """Nothing below one bound and above another."""
    lo, hi = (a if a is not None else b for a, b in ((min, min_val), (max, max_val)))
    if fx.args[1:] == () and not fx.kwargs:
        lo, hi = -1.0, 1.0
    if not all(v is None or isinstance(v, int | float) for v in (lo, hi)):
        raise CannotError("bounds that are tensors", "two numbers")
    bounds = -_INFINITE if lo is None else float(lo), _INFINITE if hi is None else float(hi)
    _unary(low, fx, x, "clamp", {"lo": bounds[0], "hi": bounds[1]})


@takes("clamp_min")
def clamp_min(low: Lowering, fx: FxNode, x: Any, least: float) -> None:  # noqa: ANN401
    """Nothing below a bound, which is a number."""
    _unary(low, fx, x, "clamp", {"lo": float(least), "hi": _INFINITE})


def table(low: Lowering, fx: FxNode, x: Any, *rest: Any, **options: Any) -> None:  # noqa: ANN401
    """An activation that the device takes from a table, with its usual parameters."""
    if any(value not in (1, 1.0, 20, 20.0) for value in (*rest, *options.values())):
        raise CannotError(f"parameters {list(rest)}", "those that PyTorch has by default")
    _unary(low, fx, x, "activation", {"function": _TABLES[kind_of(fx)]})


OPERATORS.update(dict.fromkeys(_TABLES, table))


@takes("gelu")
def gelu(low: Lowering, fx: FxNode, x: Any, *, approximate: str = "none") -> None:  # noqa: ANN401
    """The exact one; its approximation by tanh differs by less than a code."""
    _unary(low, fx, x, "activation", {"function": "gelu"})


@takes("leaky_relu")
def leaky_relu(low: Lowering, fx: FxNode, x: Any, slope: float = 0.01, **options: Any) -> None:  # noqa: ANN401
    """A table of its own: negative numbers are multiplied by a slope."""
    slope = float(options.get("negative_slope", slope))
    _unary(low, fx, x, "activation", {"function": "leaky_relu", "parameters": [slope]})


@takes("prelu", "_prelu_kernel")
def prelu(low: Lowering, fx: FxNode, x: Any, slope: Any) -> None:  # noqa: ANN401
    """A leaky ReLU with a slope for each channel, or one for all."""
    slopes = [float(value) for value in low.constant(slope).reshape(-1)]
    if len(slopes) == 1:
        _unary(low, fx, x, "activation", {"function": "leaky_relu", "parameters": slopes})
        return
    attrs: dict[str, Attr] = {"function": "prelu", "parameters": slopes}
    low.give(fx, "activation", [low.plain(low.view(x))], attrs)


@takes("softmax", "_softmax", "log_softmax", "_log_softmax")
def softmax(low: Lowering, fx: FxNode, x: Any, *rest: Any, **options: Any) -> None:  # noqa: ANN401
    """One at the very end is left out: the loss and the chip's prediction have their own."""
    if any(user.op != "output" for user in fx.users):
        raise CannotError("a softmax within the network", "one at its end, which is left out")
    low.notes.append("the softmax at the end is left out: classes have the same order without it")
    low.alias(fx, low.view(x))


@takes("add")
def add(low: Lowering, fx: FxNode, a: Any, b: Any, *, alpha: float = 1) -> None:  # noqa: ANN401
    """The sum of two tensors of one shape, or of a tensor and a constant for each channel."""
    if low.is_computed(a) and low.is_computed(b):
        if alpha != 1:
            raise CannotError("a scaled sum", "alpha=1")
        _binary(low, fx, "add", a, b)
    elif low.is_computed(a):
        _with_constant(low, fx, a, np.ones(1, np.float32), alpha * low.constant(b))
    else:
        _with_constant(low, fx, b, np.full(1, alpha, np.float32), low.constant(a))


@takes("sub", "rsub")
def sub(low: Lowering, fx: FxNode, a: Any, b: Any, alpha: float = 1) -> None:  # noqa: ANN401
    """The difference of a tensor and a constant, or of two tensors."""
    if kind_of(fx) == "rsub":
        a, b = b, a
    if alpha != 1:
        raise CannotError("a scaled difference", "alpha=1")
    if low.is_computed(a) and low.is_computed(b):
        _binary(low, fx, "sub", a, b)
    elif low.is_computed(a):
        _with_constant(low, fx, a, np.ones(1, np.float32), -low.constant(b))
    else:
        _with_constant(low, fx, b, -np.ones(1, np.float32), low.constant(a))


@takes("mul")
def mul(low: Lowering, fx: FxNode, a: Any, b: Any) -> None:  # noqa: ANN401
    """The product of two tensors, or of a tensor and a constant for each channel."""
    if low.is_computed(a) and low.is_computed(b):
        _binary(low, fx, "mul", a, b)
        return
    x, factor = (a, b) if low.is_computed(a) else (b, a)
    _with_constant(low, fx, x, low.constant(factor), np.zeros(1, np.float32))


@takes("div")
def div(low: Lowering, fx: FxNode, a: Any, b: Any) -> None:  # noqa: ANN401
    """A tensor divided by a constant for each channel."""
    if low.is_computed(b):
        raise CannotError("a division by what is computed", "a division by a constant")
    _with_constant(low, fx, a, np.reciprocal(low.constant(b)), np.zeros(1, np.float32))


@takes("neg")
def neg(low: Lowering, fx: FxNode, x: Any) -> None:  # noqa: ANN401
    """The negative of each element."""
    _with_constant(low, fx, x, -np.ones(1, np.float32), np.zeros(1, np.float32))


def _with_constant(low: Lowering, fx: FxNode, x: Any, scale: Floats, shift: Floats) -> None:  # noqa: ANN401
    view = low.view(x)
    rank = len(view.shape)
    made = [
        _for_channels(array, rank, view.shape[1] if rank > 1 else 1) for array in (scale, shift)
    ]
    affine(low, fx, view, *made)


def _for_channels(array: Floats, rank: int, channels: int) -> Floats:
    """A constant as one number, or one for each channel. Raises CannotError."""
    shape = (1,) * (rank - array.ndim) + array.shape
    if array.size == 1:
        return array.reshape(1)
    if array.ndim > rank or shape != (1, channels, *(1,) * (rank - 2)):
        raise CannotError(f"a constant of shape {list(array.shape)}", "one number for each channel")
    return array.reshape(channels)


def _binary(low: Lowering, fx: FxNode, op: str, a: Any, b: Any) -> None:  # noqa: ANN401
    _joined(low, fx, op, low.view(a), low.view(b))


def _joined(low: Lowering, fx: FxNode, op: str, x: View, y: View) -> None:
    if x.shape != y.shape:
        _spread(low, fx, op, x, y)
        return
    shapes = low.graph.shapes
    if x.axes == y.axes and shapes[x.name] == shapes[y.name]:
        made = low.node(op, name_of(fx), [x.name, y.name], {}, {}, module_of(fx))
        low.alias(fx, View(made, x.axes))
        return
    low.give(fx, op, [low.plain(x), low.plain(y)])


def _spread(low: Lowering, fx: FxNode, op: str, x: View, y: View) -> None:
    """A product with one factor for each channel (squeeze and excitation)."""
    if x.shape != shape_of(fx):
        x, y = y, x
    channels = (1, x.shape[1], *(1,) * (len(x.shape) - 2))
    if op != "mul" or x.shape != shape_of(fx) or y.shape != channels:
        raise CannotError(f"{list(x.shape)} and {list(y.shape)}", "operands of one shape")
    low.give(fx, op, [low.plain(x), low.plain(y)])
