"""Moves: concats of two to four parts along each axis (U-Net's skips, inception's branches), slices
and pads of any place and step, splits that meet again, and all transposes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from microtune.ir.functions import Table
from microtune.ir.graph import Attr, Node, Quant
from tests.cases.case import OpCase

if TYPE_CHECKING:
    from tests.training.graphs import RandomGraph

LARGE = 2500  # elements from which on nothing grows
TAGS = {
    "concat of rows", "concat of columns", "concat of channels", "concat of branches",
    "concat of one twice", "slice of channels", "slice by steps", "split", "pad", "pad of channels",
    "pad between", "pad with another value", "transpose of rows", "transpose within rows",
}  # fmt: skip


def _apply(graph: RandomGraph, op: str, inputs: tuple[str, ...], **attrs: Attr) -> str:
    quant = graph.builder.graph.tensors[inputs[0]].quant
    return graph.builder.apply(op, graph._name(op), inputs, quant, attrs)


def _requantised(graph: RandomGraph, x: str, after: Quant) -> str:
    """x with the scale and zero point of another tensor."""
    tensors, name = graph.builder.graph, graph._name("same")
    table = Table("identity").codes(tensors.quant(x), after)
    tensors.constant(f"{name}.table", table, "i8")
    operands, attrs = (x, f"{name}.table"), {"function": "identity"}
    return graph.builder.apply("activation", name, operands, after, dict(attrs))


def _concat(graph: RandomGraph, x: str) -> str:
    """x with branches of itself, with parts of itself or with itself."""
    rng, quant = graph.rng, graph.builder.graph.quant(x)
    axis, channels = int(rng.integers(1, 4)), graph.shape(x)[3]
    parts = [x]
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.choice(["branch", "part", "same"], p=[0.6, 0.3, 0.1])
        if kind == "branch":
            wide = channels if axis < 3 else int(rng.integers(1, 5))
            parts.append(_requantised(graph, graph.conv(x, wide, keep_size=True), quant))
        elif kind == "part":
            parts.append(_slice(graph, x, axis))
        else:
            parts.append(x)
        graph.tags |= {"branch": {"concat of branches"}, "same": {"concat of one twice"}}.get(
            str(kind), set()
        )
    graph.tags.add(f"concat of {('rows', 'columns', 'channels')[axis - 1]}")
    order = [parts[int(i)] for i in rng.permutation(len(parts))]
    return _apply(graph, "concat", tuple(order), axis=axis)


def _slice(graph: RandomGraph, x: str, only: int | None = None) -> str:
    """A part of x, along all axes or only one."""
    rng, shape = graph.rng, list(graph.shape(x))
    begin, stride = [0] * 4, [1] * 4
    for axis in (1, 2, 3) if only is None else (only,):
        size = shape[axis]
        stride[axis] = int(rng.choice([1, 1, 1, 2, 3]))
        begin[axis] = int(rng.integers(0, max(1, size // 2)))
        most = (size - begin[axis] - 1) // stride[axis] + 1
        shape[axis] = int(rng.integers((most + 1) // 2, most + 1))
    graph.tags |= {"slice by steps"} if max(stride) > 1 else set()
    graph.tags |= {"slice of channels"} if shape[3] < graph.shape(x)[3] else set()
    return _apply(graph, "slice", (x,), shape=shape, begin=begin, stride=stride)


def _split(graph: RandomGraph, x: str) -> str:
    """x in two parts, one of which goes another way, then both together."""
    shape, quant = list(graph.shape(x)), graph.builder.graph.quant(x)
    axis = int(graph.rng.choice([a for a in (1, 2, 3) if shape[a] > 1] or [0]))
    if axis == 0:
        return _concat(graph, x)
    first = int(graph.rng.integers(1, shape[axis]))
    parts = []
    for start, size in ((0, first), (first, shape[axis] - first)):
        part, begin = [*shape[:axis], size, *shape[axis + 1 :]], [0] * 4
        begin[axis] = start
        parts.append(_apply(graph, "slice", (x,), shape=part, begin=begin, stride=[1] * 4))
    other = graph.conv(parts[0], graph.shape(parts[0])[3], keep_size=True)
    graph.tags.add("split")
    return _apply(graph, "concat", (_requantised(graph, other, quant), parts[1]), axis=axis)


def _pad(graph: RandomGraph, x: str) -> str:
    """Real zero, or another value, around x and between its elements."""
    rng, shape = graph.rng, list(graph.shape(x))
    before, after, stride = [0] * 4, [0] * 4, [1] * 4
    for axis, most in ((1, 3), (2, 3), (3, 2)):
        before[axis], after[axis] = (int(rng.integers(most)) for _ in range(2))
        stride[axis] = 2 if rng.random() < 0.15 and shape[axis] < 6 else 1
    made = [
        b + s * (n - 1) + 1 + a for b, s, n, a in zip(before, stride, shape, after, strict=True)
    ]
    zero = graph.builder.graph.quant(x).zero_point
    value = zero if rng.random() < 0.7 else int(rng.integers(-128, 128))
    graph.tags |= {"pad", *(["pad with another value"] if value != zero else [])}
    graph.tags |= {"pad between"} if max(stride) > 1 else set()
    graph.tags |= {"pad of channels"} if made[3] > shape[3] else set()
    return _apply(graph, "pad", (x,), shape=made, begin=before, stride=stride, value=value)


def _transpose(graph: RandomGraph, x: str) -> str:
    axes = [0, *(int(a) for a in graph.rng.permutation([1, 2, 3]))]
    if graph.rng.random() < 0.4:
        axes = [0, 1, 3, 2]
    graph.tags.add("transpose within rows" if axes[1] == 1 else "transpose of rows")
    return _apply(graph, "transpose", (x,), axes=axes)


def grow(graph: RandomGraph, x: str) -> str:
    """One of the moves; none that grows where there is much already."""
    kinds = [_concat, _split, _slice, _pad, _transpose]
    small = np.prod(graph.shape(x)) < LARGE
    weights = [0.35, 0.15, 0.15, 0.2, 0.15] if small else [0, 0.2, 0.5, 0.1, 0.2]
    return kinds[int(graph.rng.choice(len(kinds), p=weights))](graph, x)


def torch_concat(oracle: Any, node: Node, *x: Any) -> Any:
    """Parts behind each other."""
    import torch

    return torch.cat(x, dim=node.int("axis"))


def torch_slice(oracle: Any, node: Node, x: Any) -> Any:
    """Index by index."""
    import torch

    numbers = zip(node.ints("begin"), node.ints("stride"), node.ints("shape"), strict=True)
    for axis, (begin, stride, size) in enumerate(numbers):
        x = x.index_select(axis, torch.arange(begin, begin + stride * size, stride))
    return x


def torch_pad(oracle: Any, node: Node, x: Any) -> Any:
    """A constant, with x copied to places of it."""
    import torch

    made = torch.full(node.ints("shape"), float(node.int("value")), dtype=x.dtype)
    places = [
        torch.arange(begin, begin + stride * size, stride)
        for begin, stride, size in zip(
            node.ints("begin"), node.ints("stride"), x.shape, strict=True
        )
    ]
    return made.index_put(torch.meshgrid(*places, indexing="ij"), x)


def torch_transpose(oracle: Any, node: Node, x: Any) -> Any:
    """Axes in another order."""
    return x.permute(*node.ints("axes"))


TORCH = {
    "concat": torch_concat, "slice": torch_slice, "pad": torch_pad, "transpose": torch_transpose,
}  # fmt: skip
CASE = OpCase("moves", grow, TORCH, frozenset(TAGS))
