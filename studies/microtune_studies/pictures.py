"""The pictures of the studies (matplotlib, no display)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microtune.ir.graph import Array
from microtune.report.figure import figure, tidy
from microtune_studies.sparse import SchemeResult, panels
from microtune_studies.statistics import mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 5.2, 4.4  # inches
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")
# Kind of a scheme -> (label, marker, colour); the published ones are named by their size.
_KINDS = {
    "last": ("last k layers", "o", "#7f7f7f"), "published": ("sparse (published)", "D", "#d62728"),
    "head-only": ("head only", "s", "#1f77b4"), "bias-only": ("biases only", "^", "#2ca02c"),
    "full": ("everything", "X", "#000000"),
    "simulated": ("everything, float32 (simulated)", "P", "#ff7f0e"),
}  # fmt: skip


def save_ratios(path: Path, ratios: Mapping[str, Mapping[str, float]], title: str) -> None:
    """Draw ‖W‖/‖G‖ of each trained tensor, a line for each way of training, on a logarithmic
    axis."""
    with figure(path, 1, 1, 8.5, _HEIGHT) as ((axis,),):
        for (name, found), colour in zip(ratios.items(), _COLOURS, strict=False):
            axis.semilogy(range(len(found)), list(found.values()), "o-", label=name, color=colour)
        names = [name.removesuffix(".weight") for name in next(iter(ratios.values()))]
        axis.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=8)
        tidy(axis, title, "", "‖W‖ / ‖G‖")
        axis.legend(frameon=False)


def save_sparse(path: Path, points: Sequence[SchemeResult]) -> None:
    """Draw accuracy against planned SRAM, one panel for each model and data set."""
    found = panels(points)
    with _panels(path, len(found), 2) as axes:
        for axis, (title, own) in zip(axes, found.items(), strict=True):
            _sparse_panel(axis, own)
            tidy(axis, title, "planned SRAM by rows, KB", "test accuracy, %")
            axis.set_xscale("log")
            ticks = [t for t in (32, 64, 128, 256, 512, 1024, 2048) if t < 1.3 * _largest(own)]
            axis.set_xticks(ticks, [str(t) for t in ticks])
            axis.minorticks_off()
        _legend_below(axes)


@contextmanager
def _panels(path: Path, count: int, columns: int) -> Iterator[list[Axes]]:
    """Axes of so many panels, in rows of at most `columns`."""
    columns = min(columns, count)
    rows = -(-count // columns)
    with figure(path, rows, columns, _WIDTH * columns, _HEIGHT * rows) as grid:
        axes = [axis for row in grid for axis in row]
        for axis in axes[count:]:
            axis.set_visible(False)
        yield axes[:count]


def _legend_below(axes: Sequence[Axes]) -> None:
    """Draw one legend for all panels, in the order of _KINDS."""
    known: dict[str, Artist] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    labels = [label for label, *_ in _KINDS.values() if label in known]
    drawn = axes[0].get_figure(root=True)
    if drawn is not None:
        drawn.legend(
            [known[label] for label in labels], labels, loc="outside lower center", ncols=3,
            frameon=False, fontsize=9,
        )  # fmt: skip


def _largest(points: Sequence[SchemeResult]) -> float:
    return max(p.planned_bytes for p in points) / 1024


def _sparse_panel(axis: Axes, points: Sequence[SchemeResult]) -> None:
    for kind, (label, marker, colour) in _KINDS.items():
        own = sorted((p for p in points if p.kind == kind), key=lambda p: p.planned_bytes)
        if not own:
            continue
        means, deviations = zip(*(mean_and_deviation(p.results) for p in own), strict=True)
        kilobytes = [p.planned_bytes / 1024 for p in own]
        axis.errorbar(
            kilobytes, means, yerr=deviations, fmt=f"{marker}-" if len(own) > 1 else marker,
            color=colour, label=label, capsize=2, markersize=5, linewidth=1.2,
        )  # fmt: skip


def _lowest(curves: Mapping[str, Mapping[str, Array]]) -> float:
    """The lowest value of all panels, rounded down to tens, so that panels can be compared."""
    least = min(curve[:, 1:].min() for found in curves.values() for curve in found.values())
    return float(np.floor(least / 10) * 10)


def save_curves(path: Path, curves: Mapping[str, Mapping[str, Array]]) -> None:
    """Draw accuracy along a stream, a colour for each memory; solid on changed images."""
    with _panels(path, len(curves), 3) as axes:
        for axis, (domain, found) in zip(axes, curves.items(), strict=True):
            for (memory, curve), colour in zip(found.items(), _COLOURS, strict=False):
                axis.plot(curve[:, 0], curve[:, 2], "-", color=colour, label=memory)
                axis.plot(curve[:, 0], curve[:, 1], "--", color=colour)
            tidy(axis, domain, "samples of the stream", "test accuracy, %")
            axis.set_ylim(bottom=_lowest(curves), top=100)
        axes[0].legend(frameon=False, fontsize=8, title="replay memory", loc="lower left")
        axes[-1].plot([], [], "-", color="grey", label="changed images")
        axes[-1].plot([], [], "--", color="grey", label="plain images")
        lines = axes[-1].get_lines()[-2:]
        axes[-1].legend(handles=lines, frameon=False, fontsize=8, loc="lower left")
