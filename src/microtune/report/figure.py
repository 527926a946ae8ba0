"""What the pictures of studies and searches have in common (matplotlib, no display)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@contextmanager
def figure(
    into: Path | BinaryIO, rows: int, columns: int, width: float, height: float
) -> Iterator[list[list[Axes]]]:
    """A context with panels [row][column]; at its end the figure is written as PNG to `into`.

    Width and height are in inches.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn, axes = pyplot.subplots(
        rows, columns, figsize=(width, height), squeeze=False, layout="constrained"
    )
    try:
        yield [list(row) for row in axes]
        if isinstance(into, Path):
            into.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(into, format="png", dpi=120)
    finally:
        pyplot.close(drawn)


def tidy(axis: Axes, title: str, x: str, y: str) -> None:
    """Set title and labels of a panel, draw a faint grid, and remove the upper and right frame."""
    axis.set_title(title, fontsize=11)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(visible=True, alpha=0.3)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
