"""The interactive page of `search --pareto` (plotly): one file that needs no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from microtune.report.search_pictures import (
    BY_INSTRUCTIONS,
    BY_SRAM,
    CHOSEN,
    KINDS,
    budget_words,
    by_kind,
    gain_words,
    split_and_seeds,
    trained_marks,
)
from microtune.search.budgets.fronts import CostedScheme
from microtune.search.budgets.report import BudgetReport, is_placed
from microtune.search.problem import Selection

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_SYMBOLS = {"o": "circle", "*": "star", "D": "diamond", "s": "square", "^": "triangle-up",
            "v": "triangle-down"}  # fmt: skip
_TICKS = 6

_HOLLOW = "a mark tells more when pointed at; hollow: some part of it was not measured"


def page(report: BudgetReport) -> str:
    """The page of a report as HTML, with the plotting script within it."""
    from plotly.subplots import make_subplots

    rows = 2 if report.verified else 1
    figure = make_subplots(rows=rows, cols=2, vertical_spacing=0.12, horizontal_spacing=0.08)
    panels = _Panels(figure, report)
    fronts = (report.sram_front, report.instruction_front)
    for column, ((label, cost), front) in enumerate(
        zip((BY_SRAM, BY_INSTRUCTIONS), fronts, strict=True), start=1
    ):
        panels.gains(front, cost, column)
        panels.accuracies(front, cost, column)
        own = "x" if column == 1 else f"x{column}"
        places = _ticks([cost(mark) for mark in report.schemes if is_placed(mark)])
        figure.update_xaxes(type="log", tickvals=places, matches=own, col=column)
        figure.update_xaxes(title_text=label, row=rows, col=column)
    figure.update_yaxes(title_text=gain_words(report), row=1, col=1)
    if report.verified:
        split, seeds = split_and_seeds(report)
        figure.update_yaxes(title_text=f"{split} accuracy, %, {seeds} seeds", row=2, col=1)
    figure.update_layout(
        template="plotly_white", height=560 * rows, hoverlabel={"align": "left"},
        title=f"{report.model} on {report.target}: what other budgets give, within "
        f"{budget_words(report, False)}<br><sup>{_HOLLOW}</sup>",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01}, margin={"t": 130},
    )  # fmt: skip
    html = figure.to_html(
        include_plotlyjs=True, include_mathjax=False, div_id="pareto",
        config={"displaylogo": False, "responsive": True},
    )  # fmt: skip
    return str(html)


def _ticks(costs: Sequence[float]) -> list[float]:
    """Values at equal distances on a logarithmic axis, rounded to two digits."""
    spread = np.geomspace(min(costs), max(costs), _TICKS)
    return sorted({float(f"{value:.2g}") for value in spread})


@dataclass(frozen=True)
class _Panels:
    """Draws the schemes of a report into the panels: gains above, accuracies below."""

    figure: Figure
    report: BudgetReport

    def gains(
        self, front: Sequence[CostedScheme], cost: Callable[[CostedScheme], float], column: int
    ) -> None:
        """Draw gains; schemes whose gain is not known are hollow and at the bottom."""
        known = [m.predicted for m in self.report.schemes if m.predicted is not None]
        groups = {"front": list(front), **by_kind([*self.report.others, self.report.chosen])}
        for kind, marks in groups.items():
            heights = [min(known) if m.predicted is None else m.predicted for m in marks]
            hollow = [m.predicted is None for m in marks]
            self._add(kind, marks, {
                "x": [cost(m) for m in marks], "y": heights, "row": 1, "col": column,
                "line": {"shape": "hv"}, "showlegend": column == 1,
            }, hollow)  # fmt: skip

    def accuracies(
        self, front: Sequence[CostedScheme], cost: Callable[[CostedScheme], float], column: int
    ) -> None:
        """Draw the accuracies of the schemes that were trained."""
        for kind, own in trained_marks(self.report, front).items():
            marks = [m for m, _ in own]
            self._add(kind, marks, {
                "x": [cost(m) for m in marks], "y": [row.accuracy for _, row in own],
                "error_y": {"array": [row.deviation for _, row in own], "thickness": 1},
                "row": 2, "col": column, "showlegend": False,
            }, [False] * len(marks))  # fmt: skip

    def _add(
        self,
        kind: str,
        marks: Sequence[CostedScheme],
        where: dict[str, Any],
        hollow: Sequence[bool],
    ) -> None:
        label, marker, colour = KINDS[kind]
        symbol = _SYMBOLS[marker]
        self.figure.add_scatter(
            **where, name=label, legendgroup=kind,
            mode="lines+markers" if kind == "front" else "markers",
            marker={
                "symbol": [f"{symbol}-open" if h else symbol for h in hollow], "color": colour,
                "size": 16 if kind in CHOSEN else 9,
            },
            hovertext=[_words(m, self.report) for m in marks], hoverinfo="text",
        )  # fmt: skip


def _words(mark: CostedScheme, report: BudgetReport) -> str:
    gain = "not known: a part of it was not measured"
    if mark.predicted is not None:
        gain = f"{mark.predicted:.4f} nats"
    lines = [
        f"<b>{mark.name}</b>", *_parts(mark.selection), f"planned SRAM {mark.sram_bytes:,} bytes",
        f"flash {mark.flash_bytes:,} bytes", f"instructions of a step {mark.instructions:,}",
        f"predicted gain {gain}",
    ]  # fmt: skip
    if (row := report.accuracy(mark.selection)) is not None:
        lines.append(f"{row.split} accuracy {row.accuracy:.1f} ± {row.deviation:.1f} %")
    return "<br>".join(lines)


def _parts(selection: Selection) -> list[str]:
    lines = ["head"]
    if selection.bias_layers:
        lines.append(f"biases of the last {selection.bias_layers} layers")
    return [*lines, *(f"layer {c.layer}: {c.ratio} of channels" for c in selection.choices)]
