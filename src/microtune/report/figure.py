"""What the pictures of studies and searches share (matplotlib, no display)."""

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
    """Panels [row][column] of a figure of width × height inches, written as PNG at the end."""
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
    """Title and labels, a faint grid behind, no frame above and to the right."""
    axis.set_title(title, fontsize=11)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(visible=True, alpha=0.3)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
