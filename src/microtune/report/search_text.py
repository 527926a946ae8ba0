"""Tables that `search` prints: the scheme, its costs, its gains and the verification."""

from __future__ import annotations

from rich.table import Table

from microtune.report.console import figures_table
from microtune.search.search import SearchResult
from microtune.search.trials.gains import Gain
from microtune.search.verification import FOUND

_COLUMNS = (
    "trained", "log-loss, expected", "measured", "± s.e.", "accuracy, points [95 %]", "seeds",
)  # fmt: skip


def search_tables(result: SearchResult) -> list[Table]:
    """(the scheme's costs, its parts with their gains), two tables."""
    return [_costs(result), _parts(result)]


def _costs(result: SearchResult) -> Table:
    planned, limits = result.planned, result.limits
    figures: dict[str, object] = {
        "trained": result.chosen_name,
        "target": result.target,
        "planned SRAM bytes": f"{planned.sram:,} of {limits.sram_bytes:,}",
        "flash bytes": f"{planned.flash:,} of {limits.flash_bytes:,}",
        "instructions of a step": f"{planned.instructions:,} (estimated)",
        "contributions": "estimated" if result.analysis is None else "measured",
    }
    if result.predicted_gain is not None:
        figures["predicted gain"] = f"{result.predicted_gain:.4f} nats"
    if result.predicted_accuracy is not None:
        figures["predicted accuracy"] = f"{result.predicted_accuracy:.1f} % on val"
    if result.chosen_name == FOUND:
        bound = f"no, bound {result.solution.bound:.4f} nats"
        figures["best of all by prediction"] = "proven" if result.proven else bound
    figures["training runs made"] = result.trials
    if result.rank_correlation is not None:
        figures["estimate's rank correlation"] = str(result.rank_correlation)
    return figures_table(f"{result.model}", figures)


def _parts(result: SearchResult) -> Table:
    table = Table(title="Scheme", title_justify="left")
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "trained" else "right")
    selection, analysis, known = result.chosen, result.analysis, result.all_contributions
    table.add_row("head", *[""] * (len(_COLUMNS) - 1))
    if depth := selection.bias_layers:
        gain = None if analysis is None else analysis.biases.get(depth)
        table.add_row(f"biases of the last {depth} layers", *_gain(known.biases.get(depth), gain))
    for choice in selection.choices:
        gain = None if analysis is None else analysis.weights.get(choice)
        name = f"layer {choice.layer}, {choice.ratio} of channels"
        table.add_row(name, *_gain(known.weights.get(choice), gain))
    return table


def _gain(nats: float | None, gain: Gain | None) -> list[str]:
    if nats is None:
        return ["not known", *[""] * (len(_COLUMNS) - 2)]
    if gain is None:
        return [f"{-nats:+.4f}", *[""] * (len(_COLUMNS) - 2)]
    seeds = str(gain.seeds) if gain.seeds else "interpolated"
    return [
        f"{-nats:+.4f}",
        f"{-gain.nats:+.4f}",
        f"{gain.standard_error:.4f}",
        str(gain.points),
        seeds,
    ]


def verification_tables(result: SearchResult) -> list[Table]:
    """The table of trained schemes, with a mark at the chosen one.

    If a known scheme was better than the found one, the tables of `search_tables` follow.
    """
    rows = result.verified
    title = f"Verification, {rows[0].seeds} seeds, {rows[0].epochs} epochs; * best on val: written"
    table = Table(title=title, title_justify="left")
    for name in ("scheme", "split", "log-loss", "accuracy", "over head-only, points [95 %]"):
        table.add_column(name, justify="left" if name in ("scheme", "split") else "right")
    for row in rows:
        accuracy = f"{row.accuracy:.1f} ± {row.deviation:.1f} %"
        name = f"{row.name} *" if row.name == result.chosen_name else row.name
        table.add_row(name, row.split, f"{row.log_loss:.4f}", accuracy, str(row.gain.points))
    return [table] if result.chosen_name == FOUND else [table, *search_tables(result)]
