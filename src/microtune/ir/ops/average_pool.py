"""Average pools without padding, and their gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microtune.ir import numerics, tflite_numerics
from microtune.ir.graph import Array, Attr, Graph, Node
from microtune.ir.ops.common import as_hwc, declared_shape, scalar
from microtune.ir.ops.gradient_operands import Gradient, Rounding
from microtune.ir.ops.operands import Operands, Single, T
from microtune.ir.ops.registry import Context, ShapeList, Trait, Window, op
from microtune.ir.ops.rounding import ROUND_ATTRS, rounded, rounded_shapes
from microtune.ir.ops.rules import Lowering, Tape


@dataclass(frozen=True)
class QAveragePoolGrad(Operands[T]):
    """Operands of q_average_pool_grad; `rounding` only where windows overlap."""

    g: Gradient[T]
    rounding: Rounding[T] | None
    mask: T | None


def pool_windows(size: tuple[int, int], node: Node) -> tuple[int, int]:
    """(out_h, out_w) of a pool without padding."""
    kernel, stride = node.ints("kernel"), node.ints("stride")
    return (size[0] - kernel[0]) // stride[0] + 1, (size[1] - kernel[1]) // stride[1] + 1


def _shapes(graph: Graph, node: Node) -> ShapeList:
    x = graph.tensors[Single[str].of(node.inputs).x].shape
    if len(x) != 4:
        raise ValueError(f"average_pool: input {x} is not (1, H, W, C)")
    out = pool_windows((x[1], x[2]), node)
    if min(out) < 1:
        raise ValueError(f"average_pool: window {node.ints('kernel')} is larger than {x}")
    return [((1, *out, x[3]), "i8")]


def _window(graph: Graph, node: Node) -> Window:
    return Window(node.ints("kernel")[0], node.ints("stride")[0])


def _gradient(tape: Tape, node: Node, g: str) -> None:
    x = Single[str].of(node.inputs).x
    dx = tape.emit(
        "average_pool_grad", f"{node.outputs[0]}.dx", Single(g), shape=tape.shape(x),
        kernel=node.attrs["kernel"], stride=node.attrs["stride"],
    )  # fmt: skip
    tape.contribute(x, dx)


@op(
    "average_pool", Single, _shapes, Trait.STREAMED, attrs="kernel stride", optional="mean",
    gradient=_gradient, window=_window, back={"dx": "q_average_pool_grad"},
)  # fmt: skip
def average_pool(ctx: Context, o: Single[Array]) -> list[Array]:
    """Mean over windows without padding; keeps scale and zero point."""
    x = o.x[0].astype(np.int64)
    (kh, kw), (sh, sw) = ctx.node.ints("kernel"), ctx.node.ints("stride")
    out = pool_windows((x.shape[0], x.shape[1]), ctx.node)
    total = np.zeros((*out, x.shape[2]), dtype=np.int64)
    for i in range(kh):
        for j in range(kw):
            total += x[i : i + sh * (out[0] - 1) + 1 : sh, j : j + sw * (out[1] - 1) + 1 : sw]
    n = kh * kw
    if ctx.mode == "mcunet":
        y = np.rint(total.astype(np.float32) / np.float32(n)).astype(np.int64)
    elif ctx.mode == "tflite" or (ctx.tflite and ctx.node.int("mean", 0)):
        y = _tflite_mean(ctx, total, n)
    else:
        y = (2 * (total + 128 * n) + n) // (2 * n) - 128
    return [y.astype(np.int8)[None]]


def _tflite_mean(ctx: Context, total: Array, n: int) -> Array:
    """An average pool rounds the mean of the codes; a MEAN (`mean` = 1) that of the reals."""
    if not ctx.node.int("mean", 0):
        return tflite_numerics.average(total, n)
    zero = ctx.graph.quant(ctx.node.outputs[0]).zero_point
    return np.clip(tflite_numerics.mean(total - zero * n, n) + zero, -128, 127)


def _spread_windows(g: Array, size: tuple[int, int], node: Node) -> Array:
    """(out_h, out_w, C) -> (H, W, C): each element the sum over the windows that hold it."""
    (kh, kw), (sh, sw) = node.ints("kernel"), node.ints("stride")
    out = pool_windows(size, node)
    dx = np.zeros((*size, g.shape[2]), dtype=g.dtype)
    for i in range(kh):
        for j in range(kw):
            dx[i : i + sh * (out[0] - 1) + 1 : sh, j : j + sw * (out[1] - 1) + 1 : sw] += g
    return dx


def _lower(low: Lowering, node: Node) -> None:
    name = node.outputs[0]
    g = low.gradient(Single[str].of(node.inputs).x)
    kernel, stride = node.ints("kernel"), node.ints("stride")
    overlapping = stride[0] < kernel[0] or stride[1] < kernel[1]
    real = low.target.factor(g.codes) / (kernel[0] * kernel[1])
    factor, delta = numerics.normalize_factor(real)
    rounding = low.rounding(name) if overlapping else None
    own: dict[str, Attr] = {"overlapping": overlapping, "exponent_delta": delta}
    attrs = node.attrs | low.rounding_attrs(name) | own
    operands = QAveragePoolGrad(g, rounding, low.mask_of(name))
    low.emit_gradient("q_average_pool_grad", name, operands, attrs, factor, rounding=rounding)


@op(
    "average_pool_grad", Single, declared_shape, Trait.FLOAT, attrs="kernel stride shape",
    lowering=_lower,
)  # fmt: skip
def average_pool_grad(ctx: Context, o: Single[Array]) -> list[Array]:
    """Distribute g/n to each of the n elements of its window."""
    shape, kernel = ctx.node.ints("shape"), ctx.node.ints("kernel")
    dx = _spread_windows(as_hwc(o.x), (shape[1], shape[2]), ctx.node)
    return [dx[None] / ctx.real(kernel[0] * kernel[1])]


def _grad_shapes(graph: Graph, node: Node) -> ShapeList:
    return rounded_shapes(graph, node)[: 3 if node.attrs["overlapping"] else 2]


@op(
    "q_average_pool_grad", QAveragePoolGrad, _grad_shapes,
    attrs="kernel stride shape overlapping exponent_delta" + ROUND_ATTRS,
)  # fmt: skip
def q_average_pool_grad(ctx: Context, o: QAveragePoolGrad[Array]) -> list[Array]:
    """Sums over the windows; the factor 1/n is in factor and exponent."""
    shape = ctx.node.ints("shape")
    acc = _spread_windows(as_hwc(o.g.codes).astype(np.int64), (shape[1], shape[2]), ctx.node)
    e_acc = scalar(o.g.exponent) + ctx.node.int("exponent_delta")
    if o.rounding is not None:
        return rounded(ctx, acc, e_acc, o.rounding, o.mask)
    g = acc.reshape(shape)
    if o.mask is not None:
        g = np.where(o.mask, g, 0)
    return [g.astype(np.int8), np.array([e_acc], np.int32)]
