"""Kernels of moves (`ir/ops/moves.py`): copies of three loops at most, the inner one memcpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from microtune.codegen.emitter import Emitter, struct_text
from microtune.codegen.kernels.common import hwc
from microtune.codegen.kernels.registry import Stage, kernel
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.moves import concat_begins
from microtune.ir.ops.operands import Many, Single

HEADER = "mt_moves"
Three = tuple[int, int, int]


class Loop(NamedTuple):
    """One loop of a copy: how often, and how far both addresses go each time."""

    times: int
    x_step: int
    y_step: int


def steps(shape: Three) -> Three:
    """Elements from one row, column and channel of an image to the next."""
    return shape[1] * shape[2], shape[2], 1


def joined(loops: Sequence[Loop]) -> tuple[Loop, Loop, Loop]:
    """The same copy in as few loops as possible, the inner one last, filled up to three."""
    found: list[Loop] = []
    for loop in loops:
        if found and found[-1][1:] == (loop.times * loop.x_step, loop.times * loop.y_step):
            loop = loop._replace(times=loop.times * found.pop().times)
        if loop.times > 1:
            found.append(loop)
    found = found or [Loop(1, 1, 1)]
    first, second, third = [Loop(1, 0, 0)] * (3 - len(found)) + found
    return first, second, third


def _move_fields(loops: Sequence[Loop], x_start: int = 0, y_start: int = 0) -> dict[str, str]:
    """Fields of mt_move_params."""
    columns = zip(("count", "x_step", "y_step"), zip(*joined(loops), strict=True), strict=True)
    fields = {name: f"{{{', '.join(map(str, values))}}}" for name, values in columns}
    return fields | {"x_start": str(x_start), "y_start": str(y_start)}


def _axes(values: Sequence[int]) -> Three:
    """The numbers of the axes H, W, C of a vector's or an image's attribute."""
    return (values[1], values[2], values[3]) if len(values) == 4 else (0, 0, values[-1])


class _Placing(NamedTuple):
    """A slice or a pad: a small image whose elements lie in a large one, `begin` and `stride`."""

    begin: Three
    stride: Three
    small: Three
    large: Three
    is_pad: bool

    @staticmethod
    def of(graph: Graph, node: Node) -> _Placing:
        is_pad = "value" in node.attrs
        x, y = hwc(graph, Single[str].of(node.inputs).x), hwc(graph, node.outputs[0])
        stride = _axes(node.ints("stride"))
        small, large = (x, y) if is_pad else (y, x)
        return _Placing(_axes(node.ints("begin")), stride, small, large, is_pad)

    def fields(self, first_axis: int) -> dict[str, str]:
        """Fields of mt_move_params for the axes from this one on."""
        axes = range(first_axis, 3)
        inside, outside = steps(self.small), steps(self.large)
        apart = [s * t for s, t in zip(self.stride, outside, strict=True)]
        start = sum(self.begin[a] * outside[a] for a in axes)
        if self.is_pad:
            return _move_fields([Loop(self.small[a], inside[a], apart[a]) for a in axes], 0, start)
        return _move_fields([Loop(self.small[a], apart[a], inside[a]) for a in axes], start)


def _io(e: Emitter, node: Node) -> dict[str, str]:
    return {"x": e.address(Single[str].of(node.inputs).x), "y": e.address(node.outputs[0])}


def _rows_params(
    e: Emitter, node: Node, move: dict[str, str], first: int = 0, step: int = 1,
    row_bytes: int = 0,
) -> str:  # fmt: skip
    """The symbol of mt_move_rows_params."""
    value = node.int("value") if row_bytes else 0
    return e.params("mt_move_rows_params", node.outputs[0], {
        "move": struct_text(move), "x_first": str(first), "x_step": str(step),
        "x_rows": str(hwc(e.graph, Single[str].of(node.inputs).x)[0]), "bytes": str(row_bytes),
        "value": str(value),
    })  # fmt: skip


# -- slice and pad --------------------------------------------------------------------------------


def _slice_stage(e: Emitter, node: Node) -> Stage:
    placing = _Placing.of(e.graph, node)
    params = _rows_params(e, node, placing.fields(1), placing.begin[0], placing.stride[0])
    return Stage("mt_move_stage", params)


@kernel("slice", "slice", stage=_slice_stage, header=HEADER)
def _slice(e: Emitter, node: Node) -> None:
    params = e.params("mt_move_params", node.outputs[0], _Placing.of(e.graph, node).fields(0))
    e.call("mt_move", "mt_move_io", params, _io(e, node))


def _pad_stage(e: Emitter, node: Node) -> Stage:
    placing, (_, width, channels) = _Placing.of(e.graph, node), hwc(e.graph, node.outputs[0])
    params = _rows_params(e, node, placing.fields(1), -placing.begin[0], 1, width * channels)
    return Stage("mt_move_stage", params)


@kernel("pad", "pad", stage=_pad_stage, header=HEADER)
def _pad(e: Emitter, node: Node) -> None:
    y = node.outputs[0]
    params = e.params("mt_pad_params", y, {
        "move": struct_text(_Placing.of(e.graph, node).fields(0)),
        "bytes": str(e.graph.tensors[y].elements), "value": str(node.int("value")),
    })  # fmt: skip
    e.call("mt_pad", "mt_move_io", params, _io(e, node))


# -- transpose ------------------------------------------------------------------------------------


def _turned(e: Emitter, node: Node, first_axis: int) -> dict[str, str]:
    x, y = hwc(e.graph, Single[str].of(node.inputs).x), hwc(e.graph, node.outputs[0])
    axes = node.ints("axes")
    order = [axis - 1 for axis in axes[1:]] if len(axes) == 4 else [0, 1, 2]
    loops = [Loop(y[a], steps(x)[order[a]], steps(y)[a]) for a in range(first_axis, 3)]
    return _move_fields(loops)


def _transpose_stage(e: Emitter, node: Node) -> Stage:
    return Stage("mt_move_stage", _rows_params(e, node, _turned(e, node, 1)))


@kernel("transpose", "transpose", stage=_transpose_stage, header=HEADER)
def _transpose(e: Emitter, node: Node) -> None:
    params = e.params("mt_move_params", node.outputs[0], _turned(e, node, 0))
    e.call("mt_move", "mt_move_io", params, _io(e, node))


# -- concat ---------------------------------------------------------------------------------------


def _parts(e: Emitter, node: Node, first_axis: int) -> str:
    """Initialiser of mt_move_params[]: where each operand goes in the result, or in its row."""
    graph, y = e.graph, hwc(e.graph, node.outputs[0])
    axis = node.int("axis") - 1 if len(graph.tensors[node.outputs[0]].shape) == 4 else 2
    parts = []
    for name, begin in zip(node.inputs, concat_begins(graph, node), strict=True):
        x = hwc(graph, name)
        loops = [Loop(x[a], steps(x)[a], steps(y)[a]) for a in range(first_axis, 3)]
        parts.append(struct_text(_move_fields(loops, 0, begin * steps(y)[axis])))
    return _array("mt_move_params", parts)


def _array(c_type: str, values: Sequence[str]) -> str:
    body = "".join(f"\n        {value}," for value in values)
    return f"(const {c_type}[]){{{body}\n    }}"


def _concat_rows(e: Emitter, node: Node, ring: Callable[[str], str]) -> str:
    names = Many[str].of(node.inputs).x
    return e.params("mt_concat_rows_params", node.outputs[0], {
        "count": str(len(names)), "parts": _parts(e, node, 1),
        "x": _array("mt_ring", [ring(name) for name in names]),
    })  # fmt: skip


def _concat_stage(e: Emitter, node: Node) -> Stage:
    return Stage("mt_concat_stage", partial(_concat_rows, e, node))


@kernel("concat", "concat", stage=_concat_stage, header=HEADER)
def _concat(e: Emitter, node: Node) -> None:
    names, y = Many[str].of(node.inputs).x, node.outputs[0]
    fields = {"count": str(len(names)), "parts": _parts(e, node, 0)}
    params = e.params("mt_concat_params", y, fields)
    places = ", ".join(e.address(name) for name in names)
    io = {"x": f"(const int8_t *const[]){{{places}}}", "y": e.address(y)}
    e.call("mt_concat", "mt_concat_io", params, io)
