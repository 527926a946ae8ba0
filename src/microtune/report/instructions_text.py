"""The instruction tables as the terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from microtune.measure.instruction_rows import Row, rows_by_kind, sum_rows
from microtune.measure.layer_counts import LayerCounts
from microtune.report.console import console

_TOP = 20
_WIDE = 110
"""Columns that the whole table of layers needs; with fewer it leaves out implied figures."""


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    """An empty table; names wrap if the terminal is narrow, figures are never cut."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def rows_table(title: str, rows: Sequence[Row], *, layers: bool = True) -> Table:
    """The table of some rows and their total.

    With `layers` each row has a name and a shape, else a number of layers.
    """
    left = ["layer", "kernel", "shape"] if layers else ["kernel"]
    right = [] if layers else ["layers"]
    right += ["MAC", "instructions", "per MAC", "bound", "times", "per element"]
    hidden = {"per element"} if layers else set()
    if console.width < _WIDE:
        hidden |= {"shape", "bound", "per element"}
    shown = [name for name in (*left, *right) if name not in hidden]
    table = _table(title, [n for n in left if n in shown], [n for n in right if n in shown])
    for row in rows:
        table.add_row(*(_cells(row)[name] for name in shown))
    table.add_section()
    total = _cells(sum_rows(row for row in rows if row.instructions))
    total |= dict.fromkeys(("kernel", "shape", "layers", "per element"), "") | {left[0]: "total"}
    table.add_row(*(total[name] for name in shown))
    return table


def _cells(row: Row) -> dict[str, str]:
    """The cells of a row; the number of layers stands in the column of the shape."""
    return {
        "layer": row.name,
        "kernel": row.kind,
        "shape": row.shape,
        "layers": row.shape,
        "MAC": f"{row.macs:,}" if row.macs else "-",
        "instructions": f"{row.instructions:,}",
        "per MAC": _number(row.per_mac),
        "bound": _number(row.bound_per_mac),
        "times": _number(row.over_bound),
        "per element": _number(row.per_element, ".1f"),
    }


def functions_table(title: str, counts: Mapping[str, int]) -> Table:
    """The table of the C functions with most instructions."""
    table = _table(title, ["function"], ["instructions", "share"])
    total = sum(counts.values())
    for name, count in list(counts.items())[:_TOP]:
        table.add_row(name, f"{count:,}", f"{count / total:.1%}")
    return table


def layer_tables(counts: LayerCounts) -> list[Table]:
    """The tables of `measure --layers`."""
    tables: list[Table] = []
    for name, phase in counts.phases.items():
        title = f"{counts.build}, {name}: instructions of"
        tables += [
            rows_table(f"{title} each layer", phase.rows),
            rows_table(f"{title} each kernel", rows_by_kind(phase.rows), layers=False),
            functions_table(f"{title} each function", phase.functions),
        ]
    return tables
