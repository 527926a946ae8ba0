"""The meaning of the float graph in numpy, on batches: (N, H, W, C) or (N, C), float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from microtune.floats.windows import average_pool, convolve, max_pool, resize, transposed
from microtune.ir.functions import Table

if TYPE_CHECKING:
    from microtune.floats.graph import FloatGraph, FloatNode, Floats


def run_floats(
    graph: FloatGraph, samples: Floats, observe: Callable[[FloatNode, Floats], None] | None = None
) -> Floats:
    """The output for a batch of samples, (N, …); `observe` sees each result."""
    values = {graph.input: samples}
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    for i, node in enumerate(graph.nodes):
        values[node.name] = run_node(node, [values[x] for x in node.inputs])
        if observe is not None:
            observe(node, values[node.name])
        for name in node.inputs:
            if last[name] == i and name != graph.output:
                values.pop(name, None)
    return values[graph.output]


def run_node(node: FloatNode, operands: Sequence[Floats]) -> Floats:
    """The result of one node, with the clamp that it ends with."""
    with np.errstate(over="ignore", invalid="ignore"):  # who looks at the results tells
        made = _MEANINGS[node.op](node, operands)
    lo, hi = node.bounds
    if (lo, hi) != (-np.inf, np.inf):
        made = np.clip(made, np.float32(lo), np.float32(hi))
    return made.astype(np.float32, copy=False)


def _conv(node: FloatNode, o: Sequence[Floats]) -> Floats:
    padding, dilation = node.ints("padding"), node.ints("dilation")
    weight, stride = node.arrays["weight"], node.ints("stride")
    made = convolve(o[0], weight, stride, padding, dilation, node.int("groups"))
    return made + node.arrays["bias"]


def _transposed_conv(node: FloatNode, o: Sequence[Floats]) -> Floats:
    made = transposed(
        o[0], node.arrays["weight"], node.ints("stride"), node.ints("cut"), node.ints("size")
    )
    return made + node.arrays["bias"]


def _linear(node: FloatNode, o: Sequence[Floats]) -> Floats:
    made: Floats = o[0] @ node.arrays["weight"].T + node.arrays["bias"]
    return made


def _affine(node: FloatNode, o: Sequence[Floats]) -> Floats:
    return o[0] * node.arrays["scale"] + node.arrays["shift"]


def _activation(node: FloatNode, o: Sequence[Floats]) -> Floats:
    table = Table.of(node.attrs)
    if table.function.per_channel:  # one parameter for each channel, the last axis
        return np.where(o[0] < 0, np.asarray(table.parameters, np.float32) * o[0], o[0])
    return np.asarray(table.value(o[0]), np.float32)


def _concat(node: FloatNode, o: Sequence[Floats]) -> Floats:
    return np.concatenate(o, axis=node.int("axis"))


def _reshape(node: FloatNode, o: Sequence[Floats]) -> Floats:
    return o[0].reshape(len(o[0]), *node.ints("shape")[1:])


def _transpose(node: FloatNode, o: Sequence[Floats]) -> Floats:
    return np.ascontiguousarray(o[0].transpose(node.ints("axes")))


def _places(node: FloatNode, shape: Sequence[int], step: Sequence[int]) -> tuple[slice, ...]:
    begin = node.ints("begin")
    inner = zip(begin[1:], step[1:], shape[1:], strict=True)
    return (slice(None), *(slice(b, b + s * (n - 1) + 1, s) for b, s, n in inner))


def _pad(node: FloatNode, o: Sequence[Floats]) -> Floats:
    made = np.full((len(o[0]), *node.ints("shape")[1:]), node.real("value"), np.float32)
    made[_places(node, o[0].shape, node.ints("stride"))] = o[0]
    return made


def _slice(node: FloatNode, o: Sequence[Floats]) -> Floats:
    return np.ascontiguousarray(o[0][_places(node, node.ints("shape"), node.ints("stride"))])


_MEANINGS: dict[str, Callable[[FloatNode, Sequence[Floats]], Floats]] = {
    "conv": _conv,
    "transposed_conv": _transposed_conv,
    "linear": _linear,
    "affine": _affine,
    "clamp": lambda node, o: np.clip(o[0], node.real("lo"), node.real("hi")),
    "activation": _activation,
    "add": lambda node, o: o[0] + o[1],
    "sub": lambda node, o: o[0] - o[1],
    "mul": lambda node, o: o[0] * o[1],
    "concat": _concat,
    "max_pool": lambda node, o: max_pool(
        o[0], node.ints("kernel"), node.ints("stride"), node.ints("padding")
    ),
    "average_pool": lambda node, o: average_pool(o[0], node.ints("kernel"), node.ints("stride")),
    "resize": lambda node, o: resize(
        o[0],
        node.ints("size"),
        bilinear=node.attrs["method"] == "bilinear",
        corners=bool(node.int("corners")),
    ),
    "reshape": _reshape,
    "transpose": _transpose,
    "pad": _pad,
    "slice": _slice,
}
