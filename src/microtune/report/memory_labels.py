"""Labels in the picture of the memory map, placed so that they do not overlap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from microtune.measure.memory_map import BankMap, Block, BufferKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT = "#222222", "#8A8A8A"
SMALL, TINY = 7.0, 5.0
_DARK = frozenset({BufferKind.INPUT, BufferKind.RESULT})
_CALLOUTS, _CALLOUT_SHARE = 12, 0.06
_FAR_POINTS = 64.0
_HEIGHTS = (0.5, 0.35, 0.65, 0.2, 0.8, 0.92)


def points(axis: Axes) -> tuple[float, float]:
    """Printer's points per step and per byte of the axes."""
    figure = axis.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure")
    box, scale = axis.bbox, 72 / figure.dpi
    x, y = axis.get_xlim(), axis.get_ylim()
    return box.width * scale / (x[1] - x[0]), box.height * scale / (y[1] - y[0])


def text_points(text: str, size: float) -> float:
    """The width in points that `text` will have when it is drawn."""
    return _unit_width(text) * size


@cache
def _unit_width(text: str) -> float:
    from matplotlib.textpath import TextPath

    # The control points enclose the outline.
    across = TextPath((0, 0), text, size=100).vertices[:, 0]
    return float(across.max() - across.min()) / 100


@dataclass(frozen=True)
class _Box:
    """A rectangle in points from the lower left corner of the axes."""

    left: float
    low: float
    right: float
    high: float

    def touches(self, other: _Box, margin: float = 0.0) -> bool:
        """Whether two boxes are nearer to each other than `margin`."""
        return (
            self.left < other.right + margin and other.left < self.right + margin
            and self.low < other.high + margin and other.low < self.high + margin
        )  # fmt: skip

    @staticmethod
    def around(middle: tuple[float, float], width: float, height: float) -> _Box:
        """The box of this size with its centre at a point."""
        (x, y), half, tall = middle, width / 2, height / 2
        return _Box(x - half, y - tall, x + half, y + tall)

    def nearest(self, point: tuple[float, float]) -> tuple[float, float]:
        """The end of a line from `point` to the box: the middle of a side, or the point over the
        box."""
        x, y = point
        if self.left > x:
            return self.left - 1.5, self.middle[1]
        if self.right < x:
            return self.right + 1.5, self.middle[1]
        return x, self.low - 1.0 if y < self.low else self.high + 1.0

    @property
    def middle(self) -> tuple[float, float]:
        """The centre (x, y) of the box, in points."""
        return (self.left + self.right) / 2, (self.low + self.high) / 2


def block_labels(axis: Axes, bank: BankMap) -> None:
    """Write a name into every rectangle that has room, and beside the largest of the others."""
    per_step, per_byte = points(axis)
    boxes = [
        _Box(b.first * per_step, b.offset * per_byte, b.last * per_step, b.end * per_byte)
        for b in bank.blocks
    ]
    left_out: list[tuple[Block, _Box]] = []
    names: list[_Box] = []
    for block, box in zip(bank.blocks, boxes, strict=True):
        room = (box.right - box.left - 2.5, box.high - box.low - 1.5)
        width = text_points(block.name, 1.0)
        size = min(SMALL, room[1], room[0] / width)
        if size >= TINY:
            _name(axis, block, box.middle, size)
            names.append(_Box.around(box.middle, width * size, size))
        elif block.bytes >= _CALLOUT_SHARE * bank.bytes:
            left_out.append((block, box))
    left_out.sort(key=lambda pair: -pair[0].bytes)
    _callouts(axis, left_out[:_CALLOUTS], boxes, names)


def _name(axis: Axes, block: Block, middle: tuple[float, float], size: float) -> None:
    per_step, per_byte = points(axis)
    axis.text(
        middle[0] / per_step, middle[1] / per_byte, block.name, fontsize=size, ha="center",
        va="center_baseline", zorder=6, color="white" if block.kind in _DARK else INK,
    )  # fmt: skip


def _callouts(
    axis: Axes, wanted: list[tuple[Block, _Box]], blocks: list[_Box], names: list[_Box]
) -> None:
    """Write names into free space, each with a thin line to a dot in its rectangle.

    No name covers a rectangle, a name or a line, and no line meets a name or another line.
    """
    taken, crossed = [*blocks, *names], list(names)
    for block, box in wanted:
        found = _free_place(axis, box, text_points(block.name, SMALL), (taken, crossed))
        if found is not None:
            place, dots = found
            taken += [place, *dots]
            crossed += [place, *dots]
            _callout(axis, block, place, dots)


def _free_place(
    axis: Axes, box: _Box, width: float, obstacles: tuple[list[_Box], list[_Box]]
) -> tuple[_Box, list[_Box]] | None:
    """The nearest free place of that width and the line to it; None if all is far or taken.

    The place must not touch the first list of `obstacles`, the line not the second.
    """
    per_step, per_byte = points(axis)
    x, middle = box.middle
    right = min(axis.get_xlim()[1] * per_step - width, x + _FAR_POINTS)
    high = min(axis.get_ylim()[1] * per_byte - 2 * SMALL, box.high + _FAR_POINTS)
    places = [
        _Box(left, low, left + width, low + SMALL)
        for left in range(max(2, int(x - _FAR_POINTS - width)), int(right), 4)
        for low in range(max(2, int(box.low - _FAR_POINTS)), int(high), 3)
    ]
    taken, crossed = obstacles
    free = [place for place, clear in zip(places, _clear(places, taken), strict=True) if clear]
    ends = [(x, box.low + share * (box.high - box.low)) for share in _HEIGHTS]
    candidates = [
        (_distance(place.nearest(end), end) + abs(end[1] - middle) / 4, number, place, end)
        for number, (place, end) in enumerate(product(free, ends))
    ]
    for distance, _, place, end in sorted(candidates, key=lambda c: c[:2]):
        dots = _line(place.nearest(end), end)
        if distance <= _FAR_POINTS and not any(
            dot.touches(other, 1.0) for dot in dots for other in crossed
        ):
            return place, dots
    return None


def _clear(places: list[_Box], taken: list[_Box]) -> list[bool]:
    """Whether each place is at least two points away from everything that is taken."""
    a = np.array([(p.left, p.low, p.right, p.high) for p in places]).reshape(-1, 4, 1)
    b = np.array([(t.left, t.low, t.right, t.high) for t in taken]).T.reshape(1, 4, -1)
    meets = (a[:, :2] < b[:, 2:] + 2.0) & (b[:, :2] < a[:, 2:] + 2.0)
    clear: list[bool] = np.logical_not(np.any(np.all(meets, axis=1), axis=1)).tolist()
    return clear


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5)


def _line(start: tuple[float, float], end: tuple[float, float]) -> list[_Box]:
    """A line from `start` to `end` as a row of dots."""
    count = 1 + int(_distance(start, end) / 1.5)
    shares = [i / count for i in range(count + 1)]
    return [
        _Box.around((start[0] + (end[0] - start[0]) * s, start[1] + (end[1] - start[1]) * s), 1, 1)
        for s in shares
    ]


def _callout(axis: Axes, block: Block, place: _Box, dots: list[_Box]) -> None:
    per_step, per_byte = points(axis)
    start, end = dots[0].middle, dots[-1].middle
    axis.plot(
        [start[0] / per_step, end[0] / per_step], [start[1] / per_byte, end[1] / per_byte],
        color=FAINT, lw=0.5, zorder=5,
    )  # fmt: skip
    axis.plot([end[0] / per_step], [end[1] / per_byte], "o", color=INK, markersize=1.6, zorder=6)
    axis.text(
        place.middle[0] / per_step, place.middle[1] / per_byte, block.name, fontsize=SMALL,
        ha="center", va="center_baseline", color=INK, zorder=6,
    )  # fmt: skip


def side_labels(axis: Axes, rows: list[tuple[float, str]]) -> None:
    """Write texts to the right of `axis` at their heights, moved apart if they would touch."""
    _, per_unit = points(axis)
    low, high = axis.get_ylim()
    gap = (2 * SMALL + 5) / per_unit
    places = spread([y for y, _ in rows], gap, low + gap / 2, high - gap / 2)
    for (y, text), place in zip(rows, places, strict=True):
        axis.annotate(
            text, (1.0, y), (1.45, place), xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"), fontsize=SMALL, va="center", ha="left",
            linespacing=1.15, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": FAINT, "lw": 0.5, "shrinkA": 1, "shrinkB": 0,
                        "relpos": (0, 0.5)},
        )  # fmt: skip


def spread(heights: list[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending heights, moved as little as needed to lie `gap` apart within [low, high]."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, low if not placed else placed[-1] + gap))
    limit = high
    for index in range(len(placed) - 1, -1, -1):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - gap
    return placed
