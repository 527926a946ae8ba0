"""Pools, means and images of another size."""

from __future__ import annotations

from typing import Any

from microtune.importers.base import CannotError
from microtune.importers.pytorch.lowering import (
    FxNode,
    Lowering,
    kind_of,
    module_of,
    name_of,
    shape_of,
)
from microtune.importers.pytorch.operators.registry import pair, row, takes
from microtune.importers.pytorch.views import contiguous


@takes("max_pool2d", "max_pool2d_with_indices")
def max_pool2d(
    low: Lowering, fx: FxNode, x: Any, kernel: Any, stride: Any = (), padding: Any = 0,  # noqa: ANN401
    dilation: Any = 1, ceil_mode: bool = False,  # noqa: ANN401
) -> None:  # fmt: skip
    """The largest value of each window."""
    size, pads = pair(kernel), pair(padding)
    steps = pair(stride) if stride else size
    _max_pool(low, fx, low.image(x), size, steps, pads, pair(dilation), ceil=ceil_mode)


@takes("max_pool1d")
def max_pool1d(
    low: Lowering, fx: FxNode, x: Any, kernel: Any, stride: Any = (), padding: Any = 0,  # noqa: ANN401
    dilation: Any = 1, ceil_mode: bool = False,  # noqa: ANN401
) -> None:  # fmt: skip
    """The largest value of each window of a signal."""
    size, pads = row(kernel), (0, row(padding)[1])
    steps = row(stride) if stride else size
    _max_pool(low, fx, low.image(x), size, steps, pads, row(dilation), ceil=ceil_mode)


def _max_pool(
    low: Lowering, fx: FxNode, image: str, size: tuple[int, int], steps: tuple[int, int],
    pads: tuple[int, int], dilation: tuple[int, int], *, ceil: bool,
) -> None:  # fmt: skip
    if dilation != (1, 1):
        raise CannotError("a dilated pool", "dilation=1")
    around = [*pads, *pads]
    if ceil:
        around = _ceiled(low, image, size, steps, around)
    attrs: Any = {"kernel": list(size), "stride": list(steps), "padding": around}
    low.give(fx, "max_pool", [image], attrs)


def _ceiled(
    low: Lowering, image: str, size: tuple[int, int], steps: tuple[int, int], around: list[int]
) -> list[int]:
    """The padding with what a last window, which begins inside, needs behind the border."""
    made = list(around)
    for axis in (0, 1):
        length = low.graph.shapes[image][axis + 1]
        span = length + around[axis] + around[axis + 2] - size[axis]
        count = -(-span // steps[axis]) + 1
        if (count - 1) * steps[axis] >= length + around[axis]:
            count -= 1
        made[axis + 2] += max((count - 1) * steps[axis] - span, 0)
    return made


@takes("avg_pool2d")
def avg_pool2d(
    low: Lowering, fx: FxNode, x: Any, kernel: Any, stride: Any = (), padding: Any = 0,  # noqa: ANN401
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: Any = None,  # noqa: ANN401
) -> None:  # fmt: skip
    """The mean of each window; a border counts as zeros."""
    size, pads = pair(kernel), pair(padding)
    if divisor_override is not None:
        raise CannotError("a divisor of its own", "divisor_override=None")
    _mean_pool(low, fx, low.image(x), size, pair(stride) if stride else size, pads,
               ceil=ceil_mode, counted=count_include_pad)  # fmt: skip


@takes("avg_pool1d")
def avg_pool1d(
    low: Lowering, fx: FxNode, x: Any, kernel: Any, stride: Any = (), padding: Any = 0,  # noqa: ANN401
    ceil_mode: bool = False, count_include_pad: bool = True,
) -> None:  # fmt: skip
    """The mean of each window of a signal."""
    size, pads = row(kernel), (0, row(padding)[1])
    _mean_pool(low, fx, low.image(x), size, row(stride) if stride else size, pads,
               ceil=ceil_mode, counted=count_include_pad)  # fmt: skip


def _mean_pool(
    low: Lowering, fx: FxNode, image: str, size: tuple[int, int], steps: tuple[int, int],
    pads: tuple[int, int], *, ceil: bool, counted: bool,
) -> None:  # fmt: skip
    if ceil and _ceiled(low, image, size, steps, [*pads, *pads]) != [*pads, *pads]:
        raise CannotError("a mean over windows that cross the border", "ceil_mode=False")
    if any(pads):
        if not counted:
            raise CannotError("a mean that leaves out its border", "count_include_pad=True")
        _, height, width, channels = low.graph.shapes[image]
        shape = [1, height + 2 * pads[0], width + 2 * pads[1], channels]
        image = low.node(
            "pad", f"{name_of(fx)}.pad", [image],
            {"shape": shape, "begin": [0, *pads, 0], "stride": [1] * 4, "value": 0.0},
        )  # fmt: skip
    low.give(fx, "average_pool", [image], {"kernel": list(size), "stride": list(steps)})


@takes("adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool1d")
def adaptive_avg_pool(low: Lowering, fx: FxNode, x: Any, size: Any) -> None:  # noqa: ANN401
    """The means of equal windows, as many as asked for."""
    _adaptive(low, fx, x, "average_pool")


@takes("adaptive_max_pool2d", "adaptive_max_pool1d")
def adaptive_max_pool(low: Lowering, fx: FxNode, x: Any, size: Any) -> None:  # noqa: ANN401
    """The largest values of equal windows."""
    _adaptive(low, fx, x, "max_pool")


def _adaptive(low: Lowering, fx: FxNode, x: Any, op: str) -> None:  # noqa: ANN401
    image, shape = low.image(x), shape_of(fx)
    wanted = shape[2:] if len(shape) == 4 else (1, shape[2])
    have = low.graph.shapes[image][1:3]
    if any(h % w for h, w in zip(have, wanted, strict=True)):
        raise CannotError(
            f"{list(have)} pooled to {list(wanted)}", "sizes that divide those of the image"
        )
    window = [h // w for h, w in zip(have, wanted, strict=True)]
    attrs: Any = {"kernel": window, "stride": window}
    if op == "max_pool":
        attrs["padding"] = [0, 0, 0, 0]
    low.give(fx, op, [image], attrs)


@takes("mean")
def mean(
    low: Lowering, fx: FxNode, x: Any, dims: Any = None, keepdim: bool = False, **options: Any  # noqa: ANN401
) -> None:  # fmt: skip
    """The mean over height, width or both."""
    view = low.view(x)
    rank = len(view.axes)
    chosen = {int(d) % rank for d in ([dims] if isinstance(dims, int) else dims or range(rank))}
    spatial = {axis for axis in chosen if view.shape[axis] > 1}
    if rank not in (3, 4) or not spatial <= set(range(2, rank)):
        raise CannotError(f"a mean over axes {sorted(chosen)}", "height, width or both")
    image = low.image(x)
    have = low.graph.shapes[image]
    window = [have[i] if rank - 3 + i in chosen else 1 for i in (1, 2)]
    made = low.node("average_pool", name_of(fx), [image],
                    {"kernel": window, "stride": window}, {}, module_of(fx))  # fmt: skip
    kept = [1 if axis in chosen else n for axis, n in enumerate(view.shape)]
    full = contiguous(made, kept, [0, *range(2, rank), 1])
    reshaped = full.reshaped(shape_of(fx))
    assert reshaped is not None
    low.alias(fx, reshaped)


@takes("upsample_nearest2d", "upsample_bilinear2d")
def upsample(low: Lowering, fx: FxNode, x: Any, *rest: Any, **options: Any) -> None:  # noqa: ANN401
    """An image of another size, nearest or bilinear."""
    bilinear = kind_of(fx) == "upsample_bilinear2d"
    corners = bilinear and rest[1] is True
    low.give(
        fx, "resize", [low.image(x)],
        {"size": list(shape_of(fx)[2:]), "method": "bilinear" if bilinear else "nearest",
         "corners": int(corners), "centers": int(bilinear and not corners)},
    )  # fmt: skip
