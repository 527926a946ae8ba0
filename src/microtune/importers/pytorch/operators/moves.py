"""Operators that compute nothing: views, permutations, parts and joints of tensors, borders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from microtune.importers.base import CannotError
from microtune.importers.pytorch.lowering import FxNode, Lowering, module_of, name_of, shape_of
from microtune.importers.pytorch.operators.registry import takes
from microtune.importers.pytorch.views import View, contiguous, memory_order
from microtune.ir.graph import Attr


@takes(
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "_unsafe_view",
    "view_as", "reshape_as",
)  # fmt: skip
def view(low: Lowering, fx: FxNode, x: Any, *rest: Any, **options: Any) -> None:  # noqa: ANN401
    """The same elements, in PyTorch's order, in another shape."""
    old, shape = low.view(x), shape_of(fx)
    made = old.reshaped(shape)
    if made is None:
        # Elements that lie apart are put in order first.
        order = list(range(len(old.axes)))
        made = contiguous(low.moved(old, order), old.shape, order).reshaped(shape)
    if made is None:
        raise CannotError(f"{list(old.shape)} as {list(shape)}", "a shape that divides evenly")
    low.alias(fx, made)


@takes("permute", "transpose", "t", "movedim", "swapaxes", "numpy_T")
def permute(low: Lowering, fx: FxNode, x: Any, *order: Any) -> None:  # noqa: ANN401
    """Another order of axes; nothing moves."""
    old = low.view(x)
    axes = list(range(len(old.axes)))
    if len(order) == 1 and not isinstance(order[0], int):
        axes = [int(axis) % len(axes) for axis in order[0]]
    elif len(order) == 2 and all(isinstance(axis, int) for axis in order):
        a, b = order[0] % len(axes), order[1] % len(axes)
        axes[a], axes[b] = axes[b], axes[a]
    else:
        axes.reverse()
    low.alias(fx, old.permuted(axes))


@takes("channel_shuffle")
def channel_shuffle(low: Lowering, fx: FxNode, x: Any, groups: int) -> None:  # noqa: ANN401
    """Channels of the groups in turn."""
    old = low.view(x)
    n, channels, *rest = old.shape
    apart = old.reshaped((n, groups, channels // groups, *rest))
    if apart is None:
        raise CannotError("channels that lie apart", "a shuffle of whole channels")
    order = [0, 2, 1, *range(3, len(rest) + 3)]
    joined = apart.permuted(order).reshaped((n, channels, *rest))
    assert joined is not None
    low.alias(fx, joined)


@takes("cat", "concat", "concatenate")
def cat(low: Lowering, fx: FxNode, parts: Sequence[Any], axis: int = 0) -> None:
    """Operands behind each other along an axis."""
    names = [low.plain(low.view(part)) for part in parts]
    low.give(fx, "concat", names, {"axis": _ours(axis, len(shape_of(fx)))})


def _ours(axis: int, rank: int) -> int:
    """Which axis of ours an axis of PyTorch is. Raises CannotError for the batch."""
    axis %= rank
    if axis == 0:
        raise CannotError("the axis of the batch", "another axis")
    place = memory_order(rank).index(axis)
    return place + 1 if rank == 3 else place


def _part(low: Lowering, fx: FxNode, x: View, axis: int, begin: int, size: int, step: int,
          name: str) -> View:  # fmt: skip
    """`size` indices of an axis from `begin` on."""
    image, rank = low.plain(x), len(x.axes)
    ours = _ours(axis, rank)
    shape = list(low.graph.shapes[image])
    first, steps = [0] * len(shape), [1] * len(shape)
    shape[ours], first[ours], steps[ours] = size, begin, step
    attrs: dict[str, Attr] = {"shape": shape, "begin": first, "stride": steps}
    made = low.node("slice", name, [image], attrs, {}, module_of(fx))
    own = list(x.shape)
    own[axis % rank] = size
    return contiguous(made, own, memory_order(rank))


@takes("slice")
def slice_(
    low: Lowering, fx: FxNode, x: Any, axis: int = 0, start: int | None = None,  # noqa: ANN401
    end: int | None = None, step: int = 1,
) -> None:  # fmt: skip
    """A part of an axis, every `step`-th index."""
    old = low.view(x)
    size = old.shape[axis]
    begin, stop, step = slice(start, end, step).indices(size)
    count = len(range(begin, stop, step))
    if (begin, count) == (0, size):
        low.alias(fx, old)
        return
    low.alias(fx, _part(low, fx, old, axis, begin, count, step, name_of(fx)))


@takes("select")
def select(low: Lowering, fx: FxNode, x: Any, axis: int, index: int) -> None:  # noqa: ANN401
    """One index of an axis, which is dropped."""
    old = low.view(x)
    part = _part(low, fx, old, axis, index % old.shape[axis], 1, 1, name_of(fx))
    axes = list(part.axes)
    del axes[axis % len(axes)]
    low.alias(fx, View(part.name, tuple(axes)))


@takes("chunk", "split", "split_with_sizes", "tensor_split")
def split(low: Lowering, fx: FxNode, x: Any, *rest: Any, **options: Any) -> None:  # noqa: ANN401
    """The parts of an axis behind each other."""
    old, shapes = low.view(x), [tuple(int(n) for n in part.shape) for part in fx.meta["val"]]
    axis = int(options.get("dim", rest[1] if len(rest) > 1 else 0)) % len(old.axes)
    begin, parts = 0, []
    for number, shape in enumerate(shapes):
        name = f"{fx.name}.{number}"
        parts.append(_part(low, fx, old, axis, begin, shape[axis], 1, name))
        begin += shape[axis]
    low.parts[fx.name] = parts
    low.views[fx.name] = old


@takes("pad", "constant_pad_nd")
def pad(
    low: Lowering, fx: FxNode, x: Any, widths: Sequence[int], mode: Any = "constant",  # noqa: ANN401
    value: float | None = None,
) -> None:  # fmt: skip
    """A border of one number; a negative width cuts."""
    if not isinstance(mode, str):
        mode, value = "constant", mode
    if mode != "constant":
        raise CannotError(f"a border of mode {mode}", "a constant border")
    old = low.view(x)
    image, rank = low.plain(old), len(old.axes)
    shape, begin = list(low.graph.shapes[image]), [0] * len(low.graph.shapes[image])
    for number in range(len(widths) // 2):
        before, behind = int(widths[2 * number]), int(widths[2 * number + 1])
        if min(before, behind) < 0:
            raise CannotError("a negative border", "a slice")
        if before or behind:
            axis = _ours(rank - 1 - number, rank)
            shape[axis], begin[axis] = shape[axis] + before + behind, before
    low.give(
        fx, "pad", [image],
        {"shape": shape, "begin": begin, "stride": [1] * len(shape), "value": float(value or 0)},
    )  # fmt: skip
