"""What `microtune inspect` shows of a model, as the terminal shows it."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from microtune.measure.inspection import Inspection, LayerFigures, SchemePlan
from microtune.tools.names import listed


def render(figures: Inspection) -> Group:
    """The figures of `inspect_model` as tables: one of all layers, one of totals."""
    title = f"{figures.name}  ({figures.source})"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("#", "layer", "kernel", "output", "MACs", "bytes", "scale", "zero", "dead"):
        left = name in ("layer", "kernel")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for row in figures.layers:
        table.add_row(*_cells(row))
    totals = (
        f"{figures.macs:,} MACs, {figures.weight_bytes:,} bytes of weights, peak of "
        f"activations {figures.peak_activation_bytes:,} bytes at {figures.peak_at}\n"
        f"{figures.dead_channels} dead channels (never trained), {figures.tiny_channels} "
        "tiny ones (QAS factor bounded)\n"
        f"schemes: {', '.join(figures.schemes)}\nlicence: {figures.licence}"
    )
    if figures.classes:
        totals += f"\nclasses: {listed(figures.classes)} (compile --head keep goes on with them)"
    parts: list[RenderableType] = [table, Text(totals)]
    if figures.plans:
        parts.append(_plans_table(figures))
    return Group(*parts)


def next_command(model: Path, classes: int) -> str:
    """The command that compiles the model for so many classes."""
    return f"microtune compile {shlex.quote(str(model))} --classes {classes} -o {model.stem}"


def _plans_table(figures: Inspection) -> Table:
    """What training would take: a row for each scheme."""
    table = Table(
        title=f"\nWith {figures.plan_classes} new classes, planned; instructions estimated for "
        "the Cortex-M7",
        title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column("trained")
    for name in ("SRAM", "by rows", "flash", "M instr."):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("fits, by rows")
    for plan in figures.plans:
        table.add_row(
            "nothing" if plan.scheme == "none" else plan.scheme, f"{plan.sram_bytes:,}",
            f"{plan.sram_rows_bytes:,}", f"{plan.flash_bytes:,}",
            f"{plan.step_instructions / 1e6:,.1f}", _targets(plan),
        )  # fmt: skip
    return table


def _targets(plan: SchemePlan) -> str:
    """Which of the targets that come with microtune; the shorter of two lists."""
    if len(plan.too_small) < len(plan.targets):
        return f"all but {', '.join(plan.too_small)}" if plan.too_small else "all targets"
    return ", ".join(plan.targets) or "no target"


def _cells(row: LayerFigures) -> list[str]:
    kernel = row.op
    if row.weight and len(row.weight) == 4:
        stride = row.stride or [1, 1]
        depthwise = "dw " if row.weight[3] == 1 else ""
        kernel = f"{depthwise}{row.weight[1]}x{row.weight[2]} s{stride[0]}"
    return [
        "" if row.index is None else str(row.index), row.name, kernel,
        "x".join(str(d) for d in row.output[1:]),
        f"{row.macs / 1000:,.0f}k" if row.macs else "", f"{row.weight_bytes:,}",
        f"{row.scale:.4f}" if row.scale else "",
        "" if row.zero_point is None else str(row.zero_point),
        str(row.dead_channels or ""),
    ]  # fmt: skip
