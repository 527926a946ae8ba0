"""What the terminal shows, as text: for `repr`."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

COLUMNS = 100


def as_text(*parts: RenderableType, columns: int = COLUMNS) -> str:
    """The parts below each other, without colours, at most `columns` wide."""
    console = Console(
        file=io.StringIO(), width=columns, markup=False, emoji=False, highlight=False,
        color_system=None,
    )  # fmt: skip
    with console.capture() as capture:
        console.print(*parts, sep="\n")
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
