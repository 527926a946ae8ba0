"""The tables of benchmarks/instructions.py: goals, other engines, builds, cycles, the ladder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

from microtune.measure.cycles import ModelledCycles
from microtune.measure.instruction_rows import Row, sum_rows

MILLION = 1e6


@dataclass(frozen=True)
class Goal:
    """Instructions of one call on one core that must not, and should not, be exceeded."""

    core: str
    call: str
    must: int
    aim: int


GOALS = (
    Goal("cortex-m7", "train", 62_000_000, 48_000_000),
    Goal("cortex-m7", "infer", 42_000_000, 32_000_000),
    Goal("cortex-m4", "train", 66_000_000, 52_000_000),
    Goal("cortex-m55", "train", 22_000_000, 14_000_000),
    Goal("cortex-m55", "infer", 14_000_000, 9_000_000),
)
STREAMING_MUST = 0.03
CALLS = {"train": "training step", "infer": "inference"}
# What the published engine's figures are given for: label, key, first words of our classes.
ENGINE_CLASSES = (
    ("all dense forward", "dense", ("conv 1x1", "conv 3x3")),
    ("all depthwise forward", "depthwise", ("conv depthwise",)),
    ("all input gradients", "dx", ("dx ",)),
)


def new_table(title: str, columns: Sequence[str], left: int = 1) -> Table:
    """A table whose first `left` columns are text."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right", no_wrap=True)
    return table


def millions(count: float | None) -> str:
    """12,345,678 -> 12.3 M."""
    return "-" if count is None else f"{count / MILLION:.1f} M"


def verdict(value: float, must: float, aim: float) -> str:
    """Against both goals."""
    return "aim" if value <= aim else "must" if value <= must else "MISSED"


def goals_table(
    found: Mapping[str, Mapping[str, int]], streaming: Mapping[str, Mapping[str, float]],
    published: Mapping[str, Any],
) -> Table:  # fmt: skip
    """Totals against the goals, the published engine and CMSIS-NN; what streaming costs."""
    columns = ["mcunet-5fps 49KB, GCC -O3", "ours", "must", "aim", "reached", "published engine",
               "CMSIS-NN"]  # fmt: skip
    table = new_table("Instructions of the reference step", columns)
    for goal in GOALS:
        ours = found[goal.core][goal.call]
        others = [published[who].get(goal.core, {}) for who in ("engine", "cmsis_nn")]
        table.add_row(
            f"{goal.core}, one {CALLS[goal.call]}", millions(ours), millions(goal.must),
            millions(goal.aim), verdict(ours, goal.must, goal.aim),
            *(millions(other.get(goal.call)) for other in others),
        )  # fmt: skip
    table.add_section()
    for name, costs in streaming.items():
        for call, cost in costs.items():
            table.add_row(
                f"{name}, over layer by layer, {CALLS[call]}", f"{cost:+.2%}",
                f"{STREAMING_MUST:.0%}", "0%", verdict(cost, STREAMING_MUST, 0), "-", "-",
            )  # fmt: skip
    return table


def classes_table(kinds: Mapping[str, Sequence[Row]], published: Mapping[str, Any]) -> Table:
    """Instructions per MAC (per element for an add) by class of kernel, beside other engines'."""
    cmsis, engine = published["cmsis_nn"], published["engine"]["cortex-m7"]
    columns = ["instructions per MAC"]
    for core in kinds:
        columns += [core, "CMSIS-NN"] + (["engine"] if core == "cortex-m7" else [])
    table = new_table("By class of kernel, one training step", columns)
    sums = {core: _per_class(rows) for core, rows in kinds.items()}
    groups = {label: key for label, key, _ in ENGINE_CLASSES}
    for kind in sums["cortex-m7"]:
        unit = "per_element" if kind == "add" else "per_mac"
        if kind in groups and kind == ENGINE_CLASSES[0][0]:
            table.add_section()
        cells: list[str] = []
        for core, found in sums.items():
            cells += [_two(found.get(kind)), _two(cmsis[core][unit].get(kind))]
            if core == "cortex-m7":
                cells.append(_two(engine[unit].get(groups.get(kind, kind))))
        table.add_row(f"{kind}, per element" if kind == "add" else kind, *cells)
    return table


def _per_class(rows: Sequence[Row]) -> dict[str, float]:
    """Per MAC, or per element for an add; then the groups of the published engine's figures."""
    found: dict[str, float] = {}
    for row in rows:
        value = row.per_element if row.kind == "add" else row.per_mac
        if value is not None and not row.kind.startswith("head"):
            found[row.kind] = value
    for label, _, heads in ENGINE_CLASSES:
        if (
            value := sum_rows(row for row in rows if row.kind.startswith(heads)).per_mac
        ) is not None:
            found[label] = value
    return found


def streaming_table(core: str, plain: Sequence[Row], streamed: Sequence[Row]) -> Table:
    """Which kernels cost more by rows than whole, one training step."""
    table = new_table(
        f"{core}: by rows over layer by layer, one training step",
        ["kernel", "layer by layer", "by rows", "more"],
    )
    before = {row.kind: row.instructions for row in plain}
    changes = [(row.instructions - before.get(row.kind, 0), row) for row in streamed]
    for change, row in sorted(changes, key=lambda item: -item[0]):
        if change:
            whole = before.get(row.kind, 0)
            table.add_row(row.kind, f"{whole:,}", f"{row.instructions:,}", f"{change:+,}")
    return table


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def builds_table(rows: Sequence[tuple[str, str, int, int, int]], text_must: int) -> Table:
    """(name, compiler, inference, training, bytes of kernels) of every build."""
    columns = ["build", "inference", "training", "over -O3", "kernel text", "must"]
    table = new_table("The reference step by compiler and flags", columns)
    base = 0
    for name, _, infer, train, text in rows:
        if name.endswith("GCC -O3"):
            base = train
            table.add_section()
        table.add_row(
            name, f"{infer:,}", f"{train:,}", f"{train / base - 1:+.1%}", f"{text:,} B",
            f"{text_must:,} B",
        )  # fmt: skip
    versions = sorted({compiler for _, compiler, *_ in rows})
    table.caption = "; ".join(versions)
    return table


def cycles_table(found: Mapping[str, ModelledCycles], published: Mapping[str, Any]) -> Table:
    """Milliseconds of a training step by the model, at the clock of the published figure."""
    paper = published["paper"]
    clock = paper["megahertz"]
    columns = ["a MODEL, not measured", "instructions", "cycles", "each",
               f"ms at {clock} MHz"]  # fmt: skip
    table = new_table("Cycles of the training step", columns)
    for name, cycles in found.items():
        table.add_row(
            name, millions(cycles.instructions), millions(cycles.cycles),
            f"{cycles.cycles / cycles.instructions:.2f}", f"{cycles.milliseconds(clock):.0f}",
        )  # fmt: skip
    latency = paper["latency_ms"]["mcunet-5fps"]["engine_sparse"]
    counted, spent = published["engine"]["cortex-m7"]["train"], latency * clock * 1000
    table.add_row(
        "published engine (instructions counted, time as published)", millions(counted),
        millions(spent), f"{spent / counted:.2f}", f"{latency}",
    )  # fmt: skip
    return table


def ladder_table(found: Mapping[str, Mapping[str, int]], published: Mapping[str, Any]) -> Table:
    """Instructions of each rung, times less than the rung before and than the first."""
    columns = ["one training step, cortex-m7", "instructions", "faster", "in all",
               "published ms", "M cycles", "faster", "in all"]  # fmt: skip
    table = new_table("The ladder", columns)
    clock = published["paper"]["megahertz"]
    for model, rungs in found.items():
        table.add_section()
        times = list(published["paper"]["latency_ms"][model].values())
        counts = list(rungs.values())
        for number, (label, count) in enumerate(rungs.items()):
            before = max(number - 1, 0)
            table.add_row(
                f"{model}: {label}", f"{count:,}", f"{counts[before] / count:.2f} x",
                f"{counts[0] / count:.1f} x", f"{times[number]:,}",
                f"{times[number] * clock / 1000:,.0f}",
                f"{times[before] / times[number]:.2f} x", f"{times[0] / times[number]:.1f} x",
            )  # fmt: skip
    return table
