"""The pictures of `search --pareto` (matplotlib, no display), as PNG."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from microtune.report.figure import figure, tidy
from microtune.search.budgets.fronts import CostedScheme
from microtune.search.budgets.report import EVOLUTION, EXACT, BudgetReport, is_placed
from microtune.search.problem import HEAD_ONLY, Choice
from microtune.search.selection.evolution import Trace
from microtune.search.trials.gains import Gain
from microtune.search.verification import VerifiedScheme

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Kind of a scheme -> (label, marker, colour).
KINDS = {
    "front": ("front of the search", "o", "#1f77b4"), "found": ("found", "*", "#d62728"),
    "written": ("written: best on val", "P", "#d62728"),
    "published": ("published", "D", "#9467bd"), "last": ("last k layers", "s", "#7f7f7f"),
    "bias-only": ("biases only", "^", "#2ca02c"), "head-only": ("head only", "v", "#ff7f0e"),
}  # fmt: skip
Axis = tuple[str, Callable[[CostedScheme], float]]
BY_SRAM: Axis = ("planned SRAM, KB", lambda mark: mark.sram_bytes / 1024)
BY_INSTRUCTIONS: Axis = (
    "instructions of a step (estimated), millions", lambda mark: mark.instructions / 1e6,
)  # fmt: skip
_SHADES = {1: "#08306b", 2: "#2b7bba", 4: "#7ab6d9", 8: "#c3dcee"}
_METHODS = ("#d62728", "#1f77b4", "#7f7f7f")
_LABELLED = ("published", "last")
CHOSEN = ("found", "written")
_EXPECTED = "#ff7f0e"
_TICKS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


def kind_of(mark: CostedScheme) -> str:
    """The key of KINDS for a known scheme or for the chosen one."""
    chosen = mark.name in CHOSEN
    if mark.selection == HEAD_ONLY and not chosen:
        return "head-only"
    known = (kind for kind in ("last", "bias-only") if mark.name.startswith(kind))
    return mark.name if chosen else next(known, "published")


def by_kind(marks: Sequence[CostedScheme]) -> dict[str, list[CostedScheme]]:
    """The schemes that fit into memory by kind, in the order of KINDS; empty kinds are left out."""
    placed = [mark for mark in marks if is_placed(mark)]
    found = {kind: [mark for mark in placed if kind_of(mark) == kind] for kind in KINDS}
    return {kind: own for kind, own in found.items() if own}


# -- gain and accuracy against cost ---------------------------------------------------------------


def pareto_png(report: BudgetReport) -> bytes:
    """Predicted gain and, below it, accuracy of trained schemes, against SRAM and instructions;
    as PNG."""
    picture, rows = BytesIO(), 2 if report.verified else 1
    with figure(picture, rows, 2, 13, 5.2 * rows) as axes:
        fronts = (report.sram_front, report.instruction_front)
        for column, ((label, cost), front) in enumerate(
            zip((BY_SRAM, BY_INSTRUCTIONS), fronts, strict=True)
        ):
            axis = axes[0][column]
            _gains(axis, report, front, cost)
            title = f"{report.model}: front within {budget_words(report, column == 0)}"
            tidy(axis, title, label, gain_words(report))
            costs = [cost(m) for m in report.schemes if is_placed(m)]
            _logarithmic(axis, costs)
            if report.verified:
                _accuracies(axes[1][column], report, front, cost)
                split, seeds = split_and_seeds(report)
                words = f"{split} accuracy, %, mean and deviation of {seeds} seeds"
                tidy(axes[1][column], "as trained", label, words)
                _logarithmic(axes[1][column], costs)
        axes[0][0].legend(frameon=False, fontsize=8, loc="best")
    return picture.getvalue()


def budget_words(report: BudgetReport, sram_varies: bool) -> str:
    """The budgets of a front in words, without the one that varies."""
    limits = report.limits
    words = [f"{limits.flash_bytes / 1024:,.0f} KB of flash"]
    if not sram_varies:
        words.insert(0, f"{limits.sram_bytes / 1024:,.0f} KB of SRAM")
    elif limits.step_instructions is not None:
        words.append(f"{limits.step_instructions / 1e6:,.0f} million instructions")
    return " and ".join(words)


def gain_words(report: BudgetReport) -> str:
    """The label of the axis of gains, with their origin."""
    origin = "estimated" if report.analysis is None else "sum of measured"
    return f"gain over the head alone, nats ({origin})"


def split_and_seeds(report: BudgetReport) -> tuple[str, int]:
    """(split that the trained schemes were evaluated on, number of seeds of each)."""
    row = report.accuracy(report.chosen.selection)
    return ("", 0) if row is None else (row.split, row.seeds)


def _gains(
    axis: Axes,
    report: BudgetReport,
    front: Sequence[CostedScheme],
    cost: Callable[[CostedScheme], float],
) -> None:
    label, marker, colour = KINDS["front"]
    gains = [m.predicted or 0.0 for m in front]
    axis.step(
        [cost(m) for m in front], gains, f"{marker}-", where="post", color=colour,
        label=label, markersize=5,
    )  # fmt: skip
    for kind, own in by_kind([*report.others, report.chosen]).items():
        label, marker, colour = KINDS[kind]
        known = [m for m in own if m.predicted is not None]
        size, order = (170, 4) if kind in CHOSEN else (42, 3)
        if known:
            axis.scatter(
                [cost(m) for m in known], [m.predicted or 0.0 for m in known], s=size,
                marker=marker, color=colour, label=label, zorder=order,
            )  # fmt: skip
        unknown = [m for m in own if m.predicted is None]
        if unknown:
            # Where the picture ends below: their costs are known, their gains are not.
            axis.scatter(
                [cost(m) for m in unknown], [0.02] * len(unknown), s=size, marker=marker,
                facecolors="none", edgecolors=colour, transform=axis.get_xaxis_transform(),
                label=f"{label}: gain not known", zorder=order, clip_on=False,
            )  # fmt: skip
        if kind in _LABELLED:
            for m in known:
                _name(axis, m.name, (cost(m), m.predicted or 0.0))
            for m in unknown:
                _name_below(axis, m.name, cost(m))


def _name(axis: Axes, name: str, where: tuple[float, float]) -> None:
    axis.annotate(
        name, where, xytext=(6, -9), textcoords="offset points", fontsize=7, color="#555555"
    )


def _name_at_bar(axis: Axes, name: str, where: tuple[float, float]) -> None:
    """Write a name below the error bar that ends at `where`, with a white edge."""
    from matplotlib.patheffects import withStroke

    axis.annotate(
        name, where, xytext=(0, -4), textcoords="offset points", fontsize=7, color="#555555",
        ha="center", va="top", zorder=5,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip


def _name_below(axis: Axes, name: str, cost: float) -> None:
    axis.annotate(
        name, (cost, 0.02), xycoords=axis.get_xaxis_transform(), xytext=(4, 6),
        textcoords="offset points", fontsize=7, color="#555555", rotation=45,
    )  # fmt: skip


def trained_marks(
    report: BudgetReport, front: Sequence[CostedScheme]
) -> dict[str, list[tuple[CostedScheme, VerifiedScheme]]]:
    """The trained schemes by kind, with their accuracies.

    The front is among them if a scheme of it was trained that no other kind has.
    """
    others = [*report.others, report.chosen]
    groups = {"front": list(front), **by_kind(others)}
    rows = {
        kind: [(m, row) for m in own if (row := report.accuracy(m.selection)) is not None]
        for kind, own in groups.items()
    }
    if {m.selection for m, _ in rows["front"]} <= {m.selection for m in others}:
        del rows["front"]
    return {kind: own for kind, own in rows.items() if own}


def _accuracies(
    axis: Axes,
    report: BudgetReport,
    front: Sequence[CostedScheme],
    cost: Callable[[CostedScheme], float],
) -> None:
    for kind, own in trained_marks(report, front).items():
        label, marker, colour = KINDS[kind]
        marks = [m for m, _ in own]
        line, _, _ = axis.errorbar(
            [cost(m) for m in marks], [row.accuracy for _, row in own],
            yerr=[row.deviation for _, row in own], fmt=f"{marker}-" if kind == "front" else marker,
            color=colour, capsize=3, markersize=12 if kind in CHOSEN else 6, label=label,
            elinewidth=0.9,
        )  # fmt: skip
        line.set_zorder(6)  # marks over names, which are over bars
        if kind in _LABELLED:
            for mark, row in own:
                _name_at_bar(axis, mark.name, (cost(mark), row.accuracy - row.deviation))


def _logarithmic(axis: Axes, values: Sequence[float]) -> None:
    """Make the axis of costs logarithmic, with room for all of them and their names."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axis.set_xscale("log")
    axis.set_xlim(min(values) / 1.1, max(values) * 1.2)
    axis.minorticks_off()
    axis.xaxis.set_major_locator(LogLocator(base=10, subs=_TICKS, numticks=30))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


# -- contributions --------------------------------------------------------------------------------


def contributions_png(report: BudgetReport) -> bytes:
    """The gains of bias depths (above) and of the ratios of each layer (below), as PNG.

    Measured gains have standard errors, with the expected gain beside them; interpolated ones are
    hatched.
    """
    picture = BytesIO()
    layers = len(report.layers)
    with figure(picture, 2, 1, max(9.0, 2.5 + 0.33 * layers), 8.4) as ((upper,), (lower,)):
        _bias_curve(upper, report)
        _ratio_bars(lower, report)
    return picture.getvalue()


def _bias_curve(axis: Axes, report: BudgetReport) -> None:
    from matplotlib.ticker import MaxNLocator

    gains = report.all_contributions.biases
    measured: Mapping[int, Gain] = {} if report.analysis is None else report.analysis.biases
    depths = sorted(gains)
    axis.plot(
        depths, [gains[k] for k in depths], "-" if measured else "-o",
        color=_EXPECTED if measured else "#2ca02c", label="expected", markersize=4,
    )  # fmt: skip
    kept = {depth: gain for depth, gain in measured.items() if gain.seeds}
    if kept:
        axis.errorbar(
            list(kept), [g.nats for g in kept.values()],
            yerr=[g.standard_error for g in kept.values()],
            fmt="o", color="#2ca02c", capsize=2, markersize=4, label="measured",
        )  # fmt: skip
        axis.legend(frameon=False, fontsize=8, loc="lower right")
    if depth := report.chosen.selection.bias_layers:
        axis.axvline(depth, color="#d62728", linewidth=1, linestyle=":")
        axis.annotate(
            f"{report.chosen.name}: {depth} ", (depth, 0.98), fontsize=8, color="#d62728",
            xycoords=axis.get_xaxis_transform(), ha="right", va="top",
        )  # fmt: skip
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.axhline(0, color="black", linewidth=0.6)
    title = f"{report.model}: biases of the last k layers over the head alone ({_origin(report)})"
    tidy(axis, title, "k", "decrease of the log-loss, nats")


def _origin(report: BudgetReport) -> str:
    return "estimated" if report.analysis is None else "measured, ± standard error"


def _ratio_bars(axis: Axes, report: BudgetReport) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    gains = report.all_contributions.weights
    measured: Mapping[Choice, Gain] = {} if report.analysis is None else report.analysis.weights
    ratios = sorted({choice.ratio for choice in gains})
    width = 0.84 / max(len(ratios), 1)
    for place, ratio in enumerate(ratios):
        own = sorted(choice for choice in gains if choice.ratio == ratio)
        offset = (place - (len(ratios) - 1) / 2) * width
        heights = [measured[c].nats if measured else gains[c] for c in own]
        bars = axis.bar(
            [c.layer + offset for c in own], heights, width, label=_ratio(ratio),
            color=_shade(ratio),
            yerr=[measured[c].standard_error for c in own] if measured else None,
            error_kw={"elinewidth": 0.7, "ecolor": "#444444"},
        )  # fmt: skip
        if measured:
            left = np.array([c.layer + offset - width / 2 for c in own])
            axis.hlines([gains[c] for c in own], left, left + width, color=_EXPECTED, linewidth=1.6)
        for choice, bar in zip(own, bars, strict=True):
            if measured and not measured[choice].seeds:
                bar.set_hatch("/////")
                bar.set_edgecolor("white")
                bar.set_linewidth(0)
            if choice in report.chosen.selection.choices:
                bar.set_edgecolor("#d62728")
                bar.set_linewidth(1.8)
    first = min((c.layer for c in gains), default=0)
    numbers = range(first, len(report.layers))
    names = [_layer(number, report.layers[number]) for number in numbers]
    axis.set_xticks(list(numbers), names, rotation=60, ha="right", rotation_mode="anchor",
                    fontsize=7)  # fmt: skip
    axis.axhline(0, color="black", linewidth=0.6)
    if gains:
        swatches: list[Artist] = [Patch(color=_shade(r), label=_ratio(r)) for r in ratios]
        swatches.append(Patch(facecolor="none", edgecolor="#d62728", label=report.chosen.name))
        if measured:
            swatches.append(Line2D([], [], color=_EXPECTED, linewidth=1.6, label="expected"))
        axis.legend(handles=swatches, frameon=False, fontsize=8, title="channels trained")
    title = f"weights of single layers over biases alone ({_origin(report)})"
    tidy(axis, title, "", "decrease of the log-loss, nats")


def _shade(ratio: Fraction) -> str:
    return _SHADES.get(ratio.denominator, "#444444")


def _layer(number: int, name: str) -> str:
    """The name of a layer with its number, unless the name ends in it."""
    return name if name.endswith(str(number)) else f"{number} {name}"


def _ratio(ratio: Fraction) -> str:
    return "all" if ratio == 1 else str(ratio)


# -- how fast searches come near ------------------------------------------------------------------


def comparison_png(report: BudgetReport) -> bytes:
    """The best objective within the limits after each plan, for each method, as PNG.

    Of NSGA-II and random search the median over the seeds is drawn, in a band from the worst to the
    best.
    """
    from matplotlib.ticker import MaxNLocator

    picture = BytesIO()
    with figure(picture, 1, 1, 8, 5) as ((axis,),):
        longest = max(len(trace) for traces in report.traces.values() for trace in traces)
        for (name, traces), colour in zip(report.traces.items(), _METHODS, strict=True):
            if name == EXACT:
                _exact(axis, report, traces[0], colour)
            else:
                _seed_range(axis, name, [_extended(trace, longest) for trace in traces], colour)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(frameon=False, fontsize=9, loc="best")
        sram = report.limits.sram_bytes / 1024
        title = f"{report.model} in {sram:,.0f} KB of SRAM: searches compared"
        tidy(axis, title, "plans evaluated", "best predicted gain within the limits, nats")
    return picture.getvalue()


def _exact(axis: Axes, report: BudgetReport, trace: Trace, colour: str) -> None:
    best, words = trace[-1] or 0.0, "proven best" if report.chosen.proven else "best"
    axis.axhline(best, color=colour, linewidth=1, linestyle=":")
    axis.plot(len(trace), best, "*", color=colour, markersize=14,
              label=f"{EXACT}: {words}, {best:.3g} after {_plans(len(trace))}")  # fmt: skip


def _extended(trace: Trace, length: int) -> list[float]:
    """The trace as numbers, continued with its last value; -inf before anything fits."""
    values = [-math.inf if value is None else value for value in trace] or [-math.inf]
    return values + values[-1:] * (length - len(values))


def _seed_range(axis: Axes, name: str, traces: Sequence[list[float]], colour: str) -> None:
    """Draw a method's median from where half of its seeds have found something.

    The band is drawn from where all have.
    """
    middle, low, high = (
        np.array([pick(column) for column in zip(*traces, strict=True)])
        for pick in (statistics.median_low, min, max)
    )
    numbers = np.arange(1, len(middle) + 1)
    aims = " (gain, SRAM, instructions)" if name == EVOLUTION else ""
    label = f"{name}{aims}, {len(traces)} seeds: nothing fits"
    if math.isfinite(middle[-1]):
        label = f"{name}{aims}, {len(traces)} seeds: median {middle[-1]:.3g}"
    axis.step(numbers, np.where(np.isfinite(middle), middle, np.nan), where="post", color=colour,
              label=label)  # fmt: skip
    axis.fill_between(numbers, low, high, where=np.isfinite(low), step="post", color=colour,
                      alpha=0.18, linewidth=0)  # fmt: skip


def _plans(count: int) -> str:
    return f"{count} plan" if count == 1 else f"{count} plans"
