"""Images of another size, nearest or bilinear, and their gradient (docs/numerics.md, "Resize").

Each row (column) of the result is a mean of two of the operand's, weighted in units of 1/1024; the
nearest one alone has all of the weight. The way back is the same weights turned round.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microtune.ir.graph import Array, Attr, Graph, Node
from microtune.ir.ops.common import as_hwc, declared_shape, scalar
from microtune.ir.ops.gradient_operands import Gradient, Rounding
from microtune.ir.ops.layer_bounds import ACCUMULATOR_LIMIT, MOST
from microtune.ir.ops.moves import same_quantisation
from microtune.ir.ops.operands import Operands, Single, T
from microtune.ir.ops.registry import Context, ShapeList, Trait, op
from microtune.ir.ops.rounding import ROUND_ATTRS, rounded, rounded_shapes
from microtune.ir.ops.rules import Lowering, Tape

UNIT = 1024  # of the weights along one axis
GRADIENT_BITS = 12  # of the weights of a gradient, which are products of two
RESIZE_ATTRS = "size method corners centers"
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class QResizeGrad(Operands[T]):
    """Operands of q_resize_grad: a gradient and how it is rounded."""

    g: Gradient[T]
    rounding: Rounding[T]
    mask: T | None


@dataclass(frozen=True)
class Places:
    """Where the rows (columns) of a result lie on an operand of `count`, int64 (size,) each.

    Result i is (UNIT - share[i])/UNIT of row lower[i] and share[i]/UNIT of row upper[i].
    """

    count: int
    lower: Ints
    upper: Ints
    share: Ints

    @staticmethod
    def of(node: Node, axis: int, count: int) -> Places:
        """Those of axis 0 (rows) or 1 (columns), as TensorFlow Lite's integer kernels have them."""
        size = node.ints("size")[axis]
        corners, centers = bool(node.int("corners")), bool(node.int("centers"))
        if node.str("method") == "nearest":
            index = _nearest(count, size, corners=corners, centers=centers)
            return Places(count, index, index, np.zeros_like(index))
        return _bilinear(count, size, corners=corners, centers=centers)

    def matrix(self) -> Ints:
        """The weights (size, count), UNIT in each row."""
        made = np.zeros((len(self.lower), self.count), np.int64)
        rows = np.arange(len(self.lower))
        np.add.at(made, (rows, self.lower), UNIT - self.share)
        np.add.at(made, (rows, self.upper), self.share)
        return made


def _nearest(count: int, size: int, *, corners: bool, centers: bool) -> Ints:
    """Float32, as the kernel computes it; a half is rounded away from zero."""
    real = np.float32
    scale = real(count) / real(size)
    if corners and size > 1:
        scale = real(count - 1) / real(size - 1)
    place = (np.arange(size, dtype=real) + real(0.5 if centers else 0.0)) * scale
    index = np.floor(place.astype(np.float64) + (0.5 if corners else 0.0)).astype(np.int64)
    return np.clip(index, 0, count - 1)


def _bilinear(count: int, size: int, *, corners: bool, centers: bool) -> Places:
    step = (UNIT * count + size // 2) // size
    if corners and size > 1:
        step = (UNIT * (count - 1) + (size - 1) // 2) // (size - 1)
    place = np.arange(size, dtype=np.int64) * step + (step // 2 - UNIT // 2 if centers else 0)
    lower = np.clip(place // UNIT, 0, count - 1)
    upper = np.clip((place + UNIT - 1) // UNIT, 0, count - 1)
    return Places(count, lower, upper, np.where(lower == upper, 0, place - UNIT * lower))


def places_of(node: Node, size: tuple[int, int]) -> tuple[Places, Places]:
    """Those of rows and of columns on an operand of this size."""
    return Places.of(node, 0, size[0]), Places.of(node, 1, size[1])


# -- forward --------------------------------------------------------------------------------------


def _shapes(graph: Graph, node: Node) -> ShapeList:
    x, size = graph.tensors[Single[str].of(node.inputs).x].shape, node.ints("size")
    if len(x) != 4 or len(size) != 2 or not all(1 <= n < 2**15 for n in (*size, *x[1:3])):
        raise ValueError(f"resize: {list(x)} to {size}: not (1, H, W, C) to [H, W] below 32768")
    if node.str("method") not in ("nearest", "bilinear"):
        raise ValueError(f"resize: no method {node.str('method')}; there are nearest and bilinear")
    return [((1, *size, x[3]), "i8")]


def _gradient(tape: Tape, node: Node, g: str) -> None:
    x = Single[str].of(node.inputs).x
    dx = tape.emit(
        "resize_grad", f"{node.outputs[0]}.dx", Single(g), shape=tape.shape(x), **node.attrs
    )
    tape.contribute(x, dx)


def _reads(graph: Graph, node: Node) -> dict[str, float]:
    """Four elements for each of the result, one where the nearest is taken."""
    times = 1 if node.str("method") == "nearest" else 4
    return {"x": float(times * graph.tensors[node.outputs[0]].elements)}


@op(
    "resize", Single, _shapes, attrs=RESIZE_ATTRS, gradient=_gradient, reads=_reads,
    proof=same_quantisation, back={"dx": "q_resize_grad"},
)  # fmt: skip
def resize(ctx: Context, o: Single[Array]) -> list[Array]:
    """Weighted means of codes, rounded half away from zero; keeps scale and zero point."""
    x = as_hwc(o.x).astype(np.int64)
    rows, columns = places_of(ctx.node, (x.shape[0], x.shape[1]))
    acc = np.einsum("ih,jw,hwc->ijc", rows.matrix(), columns.matrix(), x, optimize=True)
    unit = UNIT * UNIT
    codes = np.sign(acc) * ((np.abs(acc) + unit // 2) // unit)
    return [codes.astype(np.int8)[None]]


# -- the way back ---------------------------------------------------------------------------------


def _size(node: Node) -> tuple[int, int]:
    """Height and width of the operand of the forward op."""
    shape = node.ints("shape")
    return shape[1], shape[2]


def _lower(low: Lowering, node: Node) -> None:
    name = node.outputs[0]
    g, rounding = low.gradient(Single[str].of(node.inputs).x), low.rounding(name)
    attrs: dict[str, Attr] = node.attrs | low.rounding_attrs(name)
    operands = QResizeGrad(g, rounding, low.mask_of(name))
    factor = low.target.factor(g.codes)
    low.emit_gradient("q_resize_grad", name, operands, attrs, factor, rounding=rounding)


@op(
    "resize_grad", Single, declared_shape, Trait.FLOAT, attrs=RESIZE_ATTRS + " shape",
    lowering=_lower,
)  # fmt: skip
def resize_grad(ctx: Context, o: Single[Array]) -> list[Array]:
    """Each g goes to the elements that it is a mean of, by their weights."""
    rows, columns = (p.matrix() / UNIT for p in places_of(ctx.node, _size(ctx.node)))
    dx = np.einsum("ih,jw,ijc->hwc", rows, columns, as_hwc(o.x).astype(np.float64), optimize=True)
    return [dx[None].astype(ctx.real)]


def _proof(graph: Graph, node: Node) -> Iterator[str]:
    """The sum of all that one element is a part of."""
    sums = [p.matrix().sum(axis=0).max() for p in places_of(node, _size(node))]
    counts = [(p.matrix() != 0).sum(axis=0).max() for p in places_of(node, _size(node))]
    weights = (int(sums[0] * sums[1]) >> (20 - GRADIENT_BITS)) + int(counts[0] * counts[1])
    if weights * MOST >= ACCUMULATOR_LIMIT:
        yield (
            f"{node.op} %{node.outputs[0]}: the sum of what one element became can overflow int32; "
            "enlarge by less"
        )


@op(
    "q_resize_grad", QResizeGrad, rounded_shapes, attrs=RESIZE_ATTRS + " shape" + ROUND_ATTRS,
    proof=_proof,
)  # fmt: skip
def q_resize_grad(ctx: Context, o: QResizeGrad[Array]) -> list[Array]:
    """The same with weights of 12 bits, rounded half up, and the exponent rule."""
    rows, columns = places_of(ctx.node, _size(ctx.node))
    g = as_hwc(o.g.codes).astype(np.int64)
    acc = np.zeros(ctx.node.ints("shape")[1:], np.int64)
    across = columns.matrix()
    for down, line in zip(rows.matrix(), g, strict=True):
        for row in np.flatnonzero(down):
            weights = (down[row] * across + (1 << 19 - GRADIENT_BITS)) >> (20 - GRADIENT_BITS)
            acc[row] += weights.T @ line
    return rounded(ctx, acc, scalar(o.g.exponent) - GRADIENT_BITS, o.rounding, o.mask)
