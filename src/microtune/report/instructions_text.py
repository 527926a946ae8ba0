"""The instruction tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from microtune.report.instructions_rows import Row, sum_rows

_TOP = 20


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def rows_table(title: str, rows: Sequence[Row], *, layers: bool = True) -> Table:
    """Rows with their total; `layers`: with the name of each."""
    left = ["layer", "kernel", "shape"] if layers else ["kernel", "layers"]
    table = _table(title, left, ["MAC", "instructions", "per MAC", "bound", "times"])
    for row in [*rows, sum_rows(rows)]:
        if row.name == "total":
            table.add_section()
        head = [row.name, row.kind, row.shape] if layers else [row.kind, row.shape]
        table.add_row(
            *head, f"{row.macs:,}" if row.macs else "-", f"{row.instructions:,}",
            _number(row.per_mac), _number(row.bound_per_mac), _number(row.over_bound),
        )  # fmt: skip
    return table


def functions_table(title: str, counts: Mapping[str, int]) -> Table:
    """Instructions by C function, the largest ones."""
    table = _table(title, ["function"], ["instructions", "share"])
    total = sum(counts.values())
    for name, count in list(counts.items())[:_TOP]:
        table.add_row(name, f"{count:,}", f"{count / total:.1%}")
    return table
