"""Max pools with padding, and their gradients (docs/numerics.md, "Max pool").

What the way back needs of the forward pass is which element of its window each result is: 1, 2, 4
or 8 bits a result, for windows of at most 2, 4, 16 or 256 elements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microtune.ir.convolution import Geometry
from microtune.ir.graph import Array, Attr, Graph, Node, Tensor
from microtune.ir.ops.common import as_hwc, declared_shape, scalar
from microtune.ir.ops.gradient_operands import Gradient, Rounding
from microtune.ir.ops.operands import Operands, Single, T
from microtune.ir.ops.registry import Context, ShapeList, Trait, Window, op
from microtune.ir.ops.rounding import ROUND_ATTRS, rounded, rounded_shapes
from microtune.ir.ops.rules import Lowering, Tape

POOL_ATTRS = "kernel stride padding"


@dataclass(frozen=True)
class MaxPoolGrad(Operands[T]):
    """Operands of max_pool_grad; `choice` is the packed choice of the forward pass."""

    g: T
    choice: T


@dataclass(frozen=True)
class QMaxPoolGrad(Operands[T]):
    """Operands of q_max_pool_grad; `rounding` only where windows overlap."""

    g: Gradient[T]
    choice: T
    rounding: Rounding[T] | None
    mask: T | None


# -- windows --------------------------------------------------------------------------------------


def pool_geometry(node: Node) -> tuple[tuple[int, int], Geometry]:
    """((kernel_h, kernel_w), stride and padding) of a max pool or its gradient."""
    kernel, stride, padding = (node.ints(name) for name in POOL_ATTRS.split())
    sides = (padding[0], padding[1], padding[2], padding[3])
    return (kernel[0], kernel[1]), Geometry((stride[0], stride[1]), sides, 1)


def choice_bits(node: Node) -> int:
    """How many bits tell the elements of a window apart: 1, 2, 4 or 8."""
    kh, kw = node.ints("kernel")
    return next(bits for bits in (1, 2, 4, 8) if kh * kw <= 1 << bits)


def pack(choice: Array, bits: int) -> Array:
    """Numbers below 2^bits, in order, `bits` bits each from bit 0 of byte 0 on: uint8."""
    flat = choice.reshape(-1).astype(np.uint8)
    single = (flat[:, None] >> np.arange(bits, dtype=np.uint8)) & 1
    return np.packbits(single.reshape(-1), bitorder="little")


def unpack(packed: Array, bits: int, shape: tuple[int, ...]) -> Array:
    """The reverse of `pack`: int64 in this shape."""
    count = int(np.prod(shape))
    single = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
    numbers: Array = (single.astype(np.int64) << np.arange(bits)).sum(axis=1)
    return numbers.reshape(shape)


def _rows_of(tap: int, out: int, stride: int) -> slice:
    """The padded rows that are element `tap` of each of `out` windows."""
    return slice(tap, tap + stride * (out - 1) + 1, stride)


# -- forward --------------------------------------------------------------------------------------


def _shapes(graph: Graph, node: Node) -> ShapeList:
    x = graph.tensors[Single[str].of(node.inputs).x].shape
    (kh, kw), geometry = pool_geometry(node)
    if len(x) != 4:
        raise ValueError(f"max_pool: input {x} is not (1, H, W, C)")
    out = geometry.output_size(x[1], x[2], kh, kw)
    if min(out) < 1 or kh * kw > 256:
        raise ValueError(f"max_pool: a window of {kh}x{kw} over {x}, padded by {geometry.padding}")
    if any(pad >= size for pad, size in zip(geometry.padding, (kh, kw, kh, kw), strict=True)):
        raise ValueError(f"max_pool: padding {geometry.padding} hides a window of {kh}x{kw}")
    shape = (1, *out, x[3])
    packed = -(-int(np.prod(shape)) * choice_bits(node) // 8)
    return [(shape, "i8"), ((packed,), "u8")][: len(node.outputs)]


def _window(graph: Graph, node: Node) -> Window:
    (kernel, _), geometry = pool_geometry(node)
    return Window(kernel, geometry.stride[0], geometry.padding[0])


def _gradient(tape: Tape, node: Node, g: str) -> None:
    x, y = Single[str].of(node.inputs).x, node.outputs[0]
    elements = tape.graph.tensors[y].elements
    size = -(-elements * choice_bits(node) // 8)
    packed = Tensor(tape.graph.fresh(f"{y}.choice"), (size,), "u8")
    operands = MaxPoolGrad(g, tape.extend(node, packed))
    attrs = {name: node.attrs[name] for name in POOL_ATTRS.split()}
    dx = tape.emit("max_pool_grad", f"{y}.dx", operands, shape=tape.shape(x), **attrs)
    tape.contribute(x, dx)


@op(
    "max_pool", Single, _shapes, Trait.STREAMED, attrs=POOL_ATTRS, gradient=_gradient,
    window=_window, back={"dx": "q_max_pool_grad"},
)  # fmt: skip
def max_pool(ctx: Context, o: Single[Array]) -> list[Array]:
    """[largest code of each window, which element it is]: the first one where several are equal.

    Padding is never the largest. Scale and zero point stay.
    """
    (kh, kw), geometry = pool_geometry(ctx.node)
    top, left, bottom, right = geometry.padding
    x = o.x[0].astype(np.int16)
    out = geometry.output_size(x.shape[0], x.shape[1], kh, kw)
    x = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=-129)
    best = np.full((*out, x.shape[2]), -129, np.int16)
    choice = np.zeros(best.shape, np.int64)
    for i in range(kh):
        for j in range(kw):
            rows, columns = (
                _rows_of(tap, n, s) for tap, n, s in zip((i, j), out, geometry.stride, strict=True)
            )
            larger = x[rows, columns] > best
            best = np.where(larger, x[rows, columns], best)
            choice[larger] = i * kw + j
    return [best.astype(np.int8)[None], pack(choice, choice_bits(ctx.node))]


# -- the way back ---------------------------------------------------------------------------------


def _spread(node: Node, g: Array, choice: Array) -> Array:
    """(out_h, out_w, C) -> (1, H, W, C): each g goes to the element that was chosen."""
    shape = node.ints("shape")
    (kh, kw), geometry = pool_geometry(node)
    top, left, bottom, right = geometry.padding
    chosen = unpack(choice, choice_bits(node), g.shape)
    dx = np.zeros((shape[1] + top + bottom, shape[2] + left + right, shape[3]), g.dtype)
    for i in range(kh):
        for j in range(kw):
            rows, columns = (
                _rows_of(tap, n, s)
                for tap, n, s in zip((i, j), g.shape[:2], geometry.stride, strict=True)
            )
            dx[rows, columns] += np.where(chosen == i * kw + j, g, np.zeros((), g.dtype))
    return dx[None, top : top + shape[1], left : left + shape[2]]


def _lower(low: Lowering, node: Node) -> None:
    o, name = MaxPoolGrad[str].of(node.inputs), node.outputs[0]
    kernel, geometry = pool_geometry(node)
    overlapping = any(s < k for s, k in zip(geometry.stride, kernel, strict=True))
    g = low.gradient(o.g)
    rounding = low.rounding(name) if overlapping else None
    own: dict[str, Attr] = {"overlapping": overlapping}
    attrs = node.attrs | low.rounding_attrs(name) | own
    operands = QMaxPoolGrad(g, o.choice, rounding, low.mask_of(name))
    factor = low.target.factor(g.codes)
    low.emit_gradient("q_max_pool_grad", name, operands, attrs, factor, rounding=rounding)


@op(
    "max_pool_grad", MaxPoolGrad, declared_shape, Trait.FLOAT, attrs=POOL_ATTRS + " shape",
    lowering=_lower,
)  # fmt: skip
def max_pool_grad(ctx: Context, o: MaxPoolGrad[Array]) -> list[Array]:
    """Each g goes to the element of its window that was the largest."""
    return [_spread(ctx.node, as_hwc(o.g), o.choice)]


def _grad_shapes(graph: Graph, node: Node) -> ShapeList:
    return rounded_shapes(graph, node)[: 3 if node.attrs["overlapping"] else 2]


@op(
    "q_max_pool_grad", QMaxPoolGrad, _grad_shapes,
    attrs=POOL_ATTRS + " shape overlapping" + ROUND_ATTRS,
)  # fmt: skip
def q_max_pool_grad(ctx: Context, o: QMaxPoolGrad[Array]) -> list[Array]:
    """Sums of the gradients that chose an element; without overlap nothing is rounded."""
    acc = _spread(ctx.node, as_hwc(o.g.codes).astype(np.int64), o.choice)
    if o.rounding is not None:
        return rounded(ctx, acc, scalar(o.g.exponent), o.rounding, o.mask)
    if o.mask is not None:
        acc = np.where(o.mask, acc, 0)
    return [acc.astype(np.int8), o.g.exponent.astype(np.int32)]
