"""The memory map as a picture, SVG or PNG, with one panel a bank (matplotlib, no display).

On the left is address over time. Beside it stands the peak step, enlarged on the same address axis,
with the names of its largest blocks. On the right is what all SRAM is made of.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microtune.errors import MicrotuneError
from microtune.measure.memory_map import LARGEST, BankMap, Block, BufferKind, MemoryMap, percent
from microtune.report.memory_labels import (
    INK,
    SMALL,
    block_labels,
    points,
    side_labels,
    text_points,
)
from microtune.tools.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png")
COLOURS = {
    BufferKind.INPUT: "#5B6FA8", BufferKind.ACTIVATION: "#A6C8E4", BufferKind.RING: "#5FB3A1",
    BufferKind.SAVED: "#E9B949", BufferKind.MASK: "#B07AA1", BufferKind.GRADIENT: "#E07B67",
    BufferKind.RESULT: "#6B6B6B", BufferKind.SCRATCH: "#C9C9C9",
}  # fmt: skip
_SRAM_COLOURS = ("#93A5B5", "#3F7F5F", "#7DB58F", "#BBD9C4", "#555555", "#DEDEDE")
_UPDATE = "#B5654F"
_ACCENT = "#B3202A"
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif", "font.size": 8.0, "axes.linewidth": 0.6, "axes.edgecolor": INK,
    "svg.fonttype": "none", "svg.hashsalt": "microtune", "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}  # fmt: skip
_DPI = 200
_HEADROOM = 1.05
_WIDTH_INCHES, _PANEL_INCHES, _SMALL_PANEL_INCHES, _FRAME_INCHES = 12.0, 4.6, 3.8, 1.25
_COLUMNS = (7.4, 0.36, 1.6, 0.36, 1.2)


def save_memory_picture(memory: MemoryMap, paths: Sequence[Path]) -> None:
    """Write the picture to each of `paths` (.svg or .png), each file whole or not at all."""
    for path in paths:
        if path.suffix.lower() not in FORMATS:
            raise MicrotuneError(f"{path}: a picture is called NAME.svg or NAME.png")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(_STYLE):
        figure = _draw(memory)
        try:
            for path in paths:
                kind, content = path.suffix.lower()[1:], io.BytesIO()
                stamp = {"Date": None} if kind == "svg" else {}
                figure.savefig(content, format=kind, dpi=_DPI, metadata=stamp)
                write_whole(path, content.getvalue())
        finally:
            pyplot.close(figure)


def _draw(memory: MemoryMap) -> Figure:
    from matplotlib import pyplot

    panels = len(memory.banks)
    height = (_PANEL_INCHES if panels == 1 else _SMALL_PANEL_INCHES) * panels + _FRAME_INCHES
    figure = pyplot.figure(figsize=(_WIDTH_INCHES, height))
    grid = figure.add_gridspec(
        panels, len(_COLUMNS), width_ratios=_COLUMNS, wspace=0.04, hspace=0.3,
        left=0.058, right=0.995, top=1 - 0.58 / height, bottom=0.92 / height,
    )  # fmt: skip
    for row, bank in enumerate(memory.banks):
        axis = figure.add_subplot(grid[row, 0])
        _map(axis, memory, bank)
        zoom = figure.add_subplot(grid[row, 1])
        _peak(zoom, bank)
        _join(figure, axis, zoom, bank)
    _sram(figure.add_subplot(grid[0, 3]), memory)
    left = 0.058
    figure.text(left, 1 - 0.22 / height, memory.title, fontsize=11, weight="bold", va="center")
    figure.text(left, 1 - 0.42 / height, memory.verdict(), fontsize=8.5, va="center", color=INK)
    _legend(figure, memory, height)
    return figure


def _legend(figure: Figure, memory: MemoryMap, height: float) -> None:
    from matplotlib.patches import Patch

    used = {block.kind for bank in memory.banks for block in bank.blocks}
    handles = [
        Patch(facecolor=COLOURS[kind], label=kind.value) for kind in BufferKind if kind in used
    ]
    if any(memory.updates):
        handles.append(Patch(facecolor=_UPDATE, label="step that updates parameters"))
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.05, 0.04 / height), frameon=False,
        ncols=len(handles), fontsize=8, handlelength=1.1, handleheight=1.1, columnspacing=1.6,
    )  # fmt: skip


def _map(axis: Axes, memory: MemoryMap, bank: BankMap) -> None:
    """Draw address over time."""
    axis.set_xlim(0, memory.steps)
    axis.set_ylim(0, bank.bytes * _HEADROOM)
    for block in bank.blocks:
        _rectangle(axis, block, block.first, block.last - block.first)
    axis.set_ylabel("address" if len(memory.banks) == 1 else f"address in {bank.label()}")
    _address_ticks(axis, bank.bytes)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.axhline(bank.lower_bound, color=_ACCENT, lw=0.9, ls=(0, (5, 3)), zorder=4)
    peak = bank.peak_step
    axis.axvspan(peak, bank.peak_last, facecolor="none", edgecolor=_ACCENT, lw=1.0, zorder=5)
    _phases(axis, memory)
    _step_ticks(axis, memory)
    block_labels(axis, bank)
    _bound_label(axis, bank, memory.steps)


def _bound_label(axis: Axes, bank: BankMap, steps: int) -> None:
    """Write the lower bound's label above it, on the side where the peak is not."""
    at_left = bank.peak_step > steps / 2
    axis.annotate(
        f"lower bound {bank.lower_bound:,} B, peak at {bank.peak_words()}",
        (0 if at_left else steps, bank.lower_bound), (2 if at_left else -2, 2),
        textcoords="offset points", ha="left" if at_left else "right", va="bottom",
        fontsize=SMALL, color=_ACCENT, zorder=6,
    )  # fmt: skip


def _rectangle(axis: Axes, block: Block, left: float, width: float) -> None:
    from matplotlib.patches import Rectangle

    axis.add_patch(
        Rectangle(
            (left, block.offset), width, block.bytes, facecolor=COLOURS[block.kind],
            edgecolor="white", linewidth=0.35, zorder=2,
        )
    )  # fmt: skip


def _address_ticks(axis: Axes, size: int) -> None:
    """Five to ten round binary addresses."""
    step = 256
    while size / step > 9:
        step *= 2
    ticks = range(0, size + 1, step)
    axis.set_yticks(list(ticks), [_size(t) for t in ticks])
    axis.tick_params(axis="y", labelsize=SMALL + 0.5, length=2.5)


def _size(tick: int) -> str:
    return "0" if tick == 0 else f"{tick // 1024} KB" if tick % 1024 == 0 else f"{tick} B"


def _phases(axis: Axes, memory: MemoryMap) -> None:
    """Draw a strip below the time axis, with marks at the steps that update parameters."""
    spans = [("forward", 0, memory.backward, "#D9E6F2")]
    if memory.backward < memory.steps:
        spans.append(("backward", memory.backward, memory.steps, "#F6DAD3"))
    strip = axis.inset_axes((0, -0.062, 1, 0.052))
    strip.set_xlim(axis.get_xlim())
    strip.set_ylim(0, 1)
    strip.set_axis_off()
    for name, first, last, colour in spans:
        strip.axvspan(first, last, facecolor=colour, lw=0)
        strip.text(
            (first + last) / 2, 0.62, name, fontsize=SMALL, ha="center", va="center_baseline",
            color=INK,
        )  # fmt: skip
    for step, updates in enumerate(memory.updates):
        if updates:
            strip.axvspan(step + 0.15, step + 0.85, 0, 0.24, facecolor=_UPDATE, lw=0)


def _step_ticks(axis: Axes, memory: MemoryMap) -> None:
    """Step numbers with the tensor each makes, as many as fit side by side."""
    per_step, _ = points(axis)
    chosen: list[tuple[float, float, int]] = []
    wanted = [0, memory.backward - 1, *(bank.peak_step for bank in memory.banks)]
    regular = [s for s in range(memory.steps) if not memory.updates[s]]
    for step in [*wanted, *regular]:
        half = text_points(_tick(memory, step), SMALL) / 2 + 4
        middle = (step + 0.5) * per_step
        left, right = middle - half, middle + half
        if right < memory.steps * per_step + 12 and all(
            right < a or left > b for a, b, _ in chosen
        ):
            chosen.append((left, right, step))
    steps = sorted(step for _, _, step in chosen)
    axis.set_xticks([s + 0.5 for s in steps], [f"{_tick(memory, s)}\n{s}" for s in steps])
    axis.tick_params(axis="x", labelsize=SMALL, length=2.5, pad=17)
    axis.set_xlabel("time (the tensor that a step makes, and its number)", labelpad=2)


def _tick(memory: MemoryMap, step: int) -> str:
    return memory.names[step]


def _peak(axis: Axes, bank: BankMap) -> None:
    """Draw the peak step enlarged, with the names of its largest blocks beside it."""
    axis.set_xlim(0, 1)
    axis.set_ylim(0, bank.bytes * _HEADROOM)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color(_ACCENT)
    axis.spines["top"].set_visible(False)
    alive = bank.at_peak()
    for block in alive:
        _rectangle(axis, block, 0, 1)
    largest = sorted(alive[:LARGEST], key=lambda b: b.offset)
    rows = [
        (b.offset + b.bytes / 2, f"{b.name}\n{b.bytes:,} B  {percent(b.bytes, bank.live_bytes)}")
        for b in largest
    ]
    side_labels(axis, rows)
    axis.set_title(bank.peak_words(), fontsize=SMALL + 0.5, color=_ACCENT, pad=4)


def _join(figure: Figure, axis: Axes, zoom: Axes, bank: BankMap) -> None:
    """Draw thin lines from the peak step to its enlargement."""
    from matplotlib.patches import ConnectionPatch

    top = bank.bytes * _HEADROOM
    figure.add_artist(
        ConnectionPatch(
            (bank.peak_last, top), (0, top), "data", "data", axesA=axis, axesB=zoom,
            color=_ACCENT, lw=0.6, clip_on=False,
        )
    )  # fmt: skip


def _sram(axis: Axes, memory: MemoryMap) -> None:
    """Draw all SRAM as one stacked bar, with the budget as a line if it is near."""
    total = sum(memory.sram.values())
    axis.set_xlim(0, 1)
    axis.set_ylim(0, total * _HEADROOM)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    bottom, rows = 0, []
    for (name, size), colour in zip(memory.sram.items(), _SRAM_COLOURS, strict=False):
        axis.bar(0.5, size, 1, bottom, color=colour, edgecolor="white", linewidth=0.5)
        rows.append((bottom + size / 2, f"{name}\n{size:,} B"))
        bottom += size
    side_labels(axis, rows)
    axis.set_title(f"SRAM {total:,} B", fontsize=SMALL + 0.5, color=INK, pad=4, loc="left")
    axis.set_xlabel(f"budget\n{memory.sram_budget:,} B", fontsize=SMALL)
