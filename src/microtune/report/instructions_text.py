"""The instruction tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from microtune.codegen.project import read_plan
from microtune.report.instructions_rows import Row, layer_rows, rows_by_kind, sum_rows
from microtune.simulate.profile import Build, profile_project
from microtune.targets import load_target

_TOP = 20


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def rows_table(title: str, rows: Sequence[Row], *, layers: bool = True) -> Table:
    """Rows with their total; `layers`: with name and shape of each, else their number."""
    left = ["layer", "kernel", "shape"] if layers else ["kernel"]
    right = ["MAC", "instructions", "per MAC", "bound", "times"]
    table = _table(title, left, right if layers else ["layers", *right, "per element"])
    for row in [*rows, sum_rows(row for row in rows if row.instructions)]:
        if row.name == "total":
            table.add_section()
        head = [row.name, row.kind, row.shape] if layers else [row.kind, row.shape]
        tail = [] if layers else [_number(row.per_element, ".1f")]
        if row.name == "total":
            head, tail = ["total", *[""] * (len(head) - 1)], [""] * len(tail)
        table.add_row(
            *head, f"{row.macs:,}" if row.macs else "-", f"{row.instructions:,}",
            _number(row.per_mac), _number(row.bound_per_mac), _number(row.over_bound), *tail,
        )  # fmt: skip
    return table


def functions_table(title: str, counts: Mapping[str, int]) -> Table:
    """Instructions by C function, the largest ones."""
    table = _table(title, ["function"], ["instructions", "share"])
    total = sum(counts.values())
    for name, count in list(counts.items())[:_TOP]:
        table.add_row(name, f"{count:,}", f"{count / total:.1%}")
    return table


def layer_report(
    project: Path, target: str | None, optimisation: str
) -> tuple[list[Table], dict[str, Any]]:
    """The tables of `microtune measure --layers`, and their figures for a JSON file."""
    chip = load_target(target or read_plan(project)["target"])
    build = Build(chip, optimisation)
    profile = profile_project(project, build)
    tables: list[Table] = []
    figures: dict[str, Any] = {}
    for name, parts in (("infer", profile.infer), ("train", profile.train)):
        if parts:
            rows, counts = layer_rows(profile, parts, build), profile.functions(parts)
            title = f"{build.name}, {name}: instructions of"
            tables += [
                rows_table(f"{title} each layer", rows),
                rows_table(f"{title} each kernel", rows_by_kind(rows), layers=False),
                functions_table(f"{title} each function", counts),
            ]
            figures[name] = {"layers": [row.to_json() for row in rows], "functions": counts}
    return tables, figures
