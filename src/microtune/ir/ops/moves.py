"""Concat, slice, pad and transpose: codes move, none is computed (docs/numerics.md, "Moves").

Scale and zero point stay. The way back of each is another of them, on the codes of a gradient,
which keep their exponent and factor: the parts of a concat are slices, a slice is padded by zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np

from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.common import lower_codes
from microtune.ir.ops.operands import Many, Single
from microtune.ir.ops.registry import Context, Shape, ShapeList, Trait, Window, op
from microtune.ir.ops.rules import Tape

PLACE_ATTRS = "shape begin stride"


def places(node: Node, shape: Sequence[int]) -> tuple[slice, ...]:
    """Where an array of this shape lies in a larger one: from `begin`, each `stride`-th element."""
    begin, stride = node.ints("begin"), node.ints("stride")
    return tuple(
        slice(b, b + s * (n - 1) + 1, s) for b, s, n in zip(begin, stride, shape, strict=True)
    )


def _check_places(node: Node, small: Shape, large: Shape) -> None:
    """Raises ValueError if `small` does not lie in `large`, at the places of the node."""
    begin, stride = node.ints("begin"), node.ints("stride")
    sizes = f"{node.op}: {list(small)} in {list(large)}, from {begin} by steps of {stride}"
    if len(large) not in (2, 4) or not len(small) == len(large) == len(begin) == len(stride):
        raise ValueError(f"{sizes}: not all are (1, H, W, C), or all (1, C)")
    axes = zip(begin, stride, small, large, strict=True)
    if any(b < 0 or s < 1 or n < 1 or b + s * (n - 1) >= size for b, s, n, size in axes):
        raise ValueError(f"{sizes}: that is not inside")
    if (begin[0], small[0], large[0]) != (0, 1, 1):
        raise ValueError(f"{sizes}: the first axis is not 1")


def same_quantisation(graph: Graph, node: Node) -> Iterator[str]:
    """Proof rule: what is moved means the same everywhere."""
    result = graph.tensors[node.outputs[0]].quant
    for name in node.inputs:
        if graph.tensors[name].quant != result:
            yield f"{node.op} %{node.outputs[0]}: %{name} has another scale or zero point"


def _like(graph: Graph, node: Node) -> tuple[Shape, str]:
    tensor = graph.tensors[Single[str].of(node.inputs).x]
    return tensor.shape, tensor.dtype


# -- concat ---------------------------------------------------------------------------------------


def _concat_shapes(graph: Graph, node: Node) -> ShapeList:
    tensors = [graph.tensors[name] for name in Many[str].of(node.inputs).x]
    axis, first = node.int("axis"), tensors[0]
    shapes = [tensor.shape for tensor in tensors]
    if len(first.shape) not in (2, 4) or not 0 < axis < len(first.shape):
        raise ValueError(f"concat: axis {axis} of {first.shape}")
    if len({(t.dtype, *t.shape[:axis], 0, *t.shape[axis + 1 :]) for t in tensors}) > 1:
        raise ValueError(f"concat: {shapes} differ not only in axis {axis}")
    size = sum(shape[axis] for shape in shapes)
    return [((*first.shape[:axis], size, *first.shape[axis + 1 :]), first.dtype)]


def concat_begins(graph: Graph, node: Node) -> list[int]:
    """Where each operand begins in the result, along the axis."""
    sizes = [graph.tensors[name].shape[node.int("axis")] for name in node.inputs]
    return list(accumulate(sizes, initial=0))[:-1]


def _concat_gradient(tape: Tape, node: Node, g: str) -> None:
    begins = concat_begins(tape.graph, node)
    for number, (x, start) in enumerate(zip(node.inputs, begins, strict=True)):
        if tape.wants(x):
            shape = tape.shape(x)
            begin = [start if axis == node.int("axis") else 0 for axis in range(len(shape))]
            dx = tape.emit(
                "slice", f"{node.outputs[0]}.dx{number}", Single(g), shape=shape, begin=begin,
                stride=[1] * len(shape),
            )  # fmt: skip
            tape.contribute(x, dx)


def _concat_window(graph: Graph, node: Node) -> Window | None:
    """A row is a row of each operand, unless they lie on top of each other."""
    return Window() if node.int("axis") > 1 else None


@op(
    "concat", Many, _concat_shapes, Trait.STREAMED, attrs="axis", gradient=_concat_gradient,
    proof=same_quantisation, window=_concat_window, back={"dx": "slice"},
)  # fmt: skip
def concat(ctx: Context, o: Many[Array]) -> list[Array]:
    """The operands behind each other along an axis."""
    return [np.concatenate(o.x, axis=ctx.node.int("axis"))]


# -- slice and pad: each is the way back of the other ---------------------------------------------


def _slice_shapes(graph: Graph, node: Node) -> ShapeList:
    shape, dtype = _like(graph, node)
    made = tuple(node.ints("shape"))
    _check_places(node, made, shape)
    return [(made, dtype)]


def _slice_gradient(tape: Tape, node: Node, g: str) -> None:
    x = Single[str].of(node.inputs).x
    dx = tape.emit(
        "pad", f"{node.outputs[0]}.dx", Single(g), shape=tape.shape(x), value=0,
        begin=node.attrs["begin"], stride=node.attrs["stride"],
    )  # fmt: skip
    tape.contribute(x, dx)


def _slice_window(graph: Graph, node: Node) -> Window:
    return Window(1, node.ints("stride")[1], -node.ints("begin")[1])


@op(
    "slice", Single, _slice_shapes, Trait.STREAMED, attrs=PLACE_ATTRS, gradient=_slice_gradient,
    lowering=lower_codes, proof=same_quantisation, window=_slice_window, back={"dx": "pad"},
)  # fmt: skip
def cut(ctx: Context, o: Single[Array]) -> list[Array]:
    """`shape` elements from `begin` on, each `stride`-th along its axis."""
    return [np.ascontiguousarray(o.x[places(ctx.node, ctx.node.ints("shape"))])]


def _pad_shapes(graph: Graph, node: Node) -> ShapeList:
    shape, dtype = _like(graph, node)
    made = tuple(node.ints("shape"))
    _check_places(node, shape, made)
    if not -128 <= node.int("value") <= 127:
        raise ValueError(f"pad: value {node.int('value')} is no int8 code")
    return [(made, dtype)]


def _pad_gradient(tape: Tape, node: Node, g: str) -> None:
    x = Single[str].of(node.inputs).x
    dx = tape.emit(
        "slice", f"{node.outputs[0]}.dx", Single(g), shape=tape.shape(x),
        begin=node.attrs["begin"], stride=node.attrs["stride"],
    )  # fmt: skip
    tape.contribute(x, dx)


def _pad_window(graph: Graph, node: Node) -> Window | None:
    """A row of the image, or none of it; rows that lie apart are not streamed."""
    return Window(1, 1, node.ints("begin")[1]) if node.ints("stride")[1] == 1 else None


@op(
    "pad", Single, _pad_shapes, Trait.STREAMED, attrs=PLACE_ATTRS + " value",
    gradient=_pad_gradient, lowering=lower_codes, proof=same_quantisation, window=_pad_window,
    back={"dx": "slice"},
)  # fmt: skip
def pad(ctx: Context, o: Single[Array]) -> list[Array]:
    """`shape` times the code `value`, with x from `begin` on at each `stride`-th element."""
    made = np.full(ctx.node.ints("shape"), ctx.node.int("value"), o.x.dtype)
    made[places(ctx.node, o.x.shape)] = o.x
    return [made]


# -- transpose ------------------------------------------------------------------------------------


def _transpose_shapes(graph: Graph, node: Node) -> ShapeList:
    shape, dtype = _like(graph, node)
    axes = node.ints("axes")
    if sorted(axes) != list(range(len(shape))) or axes[0] != 0:
        raise ValueError(f"transpose: axes {axes} of {shape}")
    return [(tuple(shape[axis] for axis in axes), dtype)]


def _transpose_gradient(tape: Tape, node: Node, g: str) -> None:
    axes = [int(axis) for axis in np.argsort(node.ints("axes"))]
    dx = tape.emit("transpose", f"{node.outputs[0]}.dx", Single(g), axes=axes)
    tape.contribute(Single[str].of(node.inputs).x, dx)


def _transpose_window(graph: Graph, node: Node) -> Window | None:
    """A row is turned by itself if it stays a row."""
    return Window() if node.ints("axes")[1] == 1 else None


@op(
    "transpose", Single, _transpose_shapes, Trait.STREAMED, attrs="axes",
    gradient=_transpose_gradient, lowering=lower_codes, proof=same_quantisation,
    window=_transpose_window, back={"dx": "transpose"},
)  # fmt: skip
def transpose(ctx: Context, o: Single[Array]) -> list[Array]:
    """Axis i of the result is axis `axes[i]` of x; the first one stays."""
    return [np.ascontiguousarray(o.x.transpose(ctx.node.ints("axes")))]
