"""What `search` prints: the scheme, what it costs, and what it was seen to gain."""

from __future__ import annotations

from rich.table import Table

from microtune.report.console import figures_table
from microtune.search.contribution import Gain
from microtune.search.search import Finding, Verified


def search_tables(finding: Finding) -> list[Table]:
    """Scheme with costs, its parts with their contributions, and the verification if there is
    one."""
    tables = [_costs(finding), _parts(finding)]
    return [*tables, _verification(finding.verified)] if finding.verified else tables


def _costs(finding: Finding) -> Table:
    planned, limits, solution = finding.planned, finding.limits, finding.solution
    figures: dict[str, object] = {
        "target": finding.target,
        "planned SRAM bytes": f"{planned.sram:,} of {limits.sram_bytes:,}",
        "flash bytes": f"{planned.flash:,} of {limits.flash_bytes:,}",
        "instructions of a step": f"{planned.instructions:,} (estimated)",
        "contributions": "estimated" if finding.analysis is None else "measured",
        "predicted gain": f"{solution.objective:.4f} nats",
        "proven best": "yes" if solution.proven else f"no, bound {solution.bound:.4f} nats",
        "training runs made": finding.trials,
    }
    if finding.rank_correlation is not None:
        figures["estimate's rank correlation"] = f"{finding.rank_correlation:.2f}"
    return figures_table(f"{finding.model}", figures)


def _parts(finding: Finding) -> Table:
    table = Table(title="Scheme", title_justify="left")
    for name in ("trained", "log-loss, nats", "± s.e.", "accuracy, points [95 %]", "seeds"):
        table.add_column(name, justify="left" if name == "trained" else "right")
    selection, analysis = finding.solution.selection, finding.analysis
    table.add_row("head", "", "", "", "")
    if depth := selection.bias_layers:
        nats = finding.contributions.biases[depth]
        known = None if analysis is None else analysis.biases[depth]
        table.add_row(f"biases of the last {depth} layers", *_gain(nats, known))
    for choice in selection.choices:
        nats = finding.contributions.weights[choice]
        known = None if analysis is None else analysis.weights[choice]
        table.add_row(f"layer {choice.layer}, {choice.ratio} of channels", *_gain(nats, known))
    return table


def _gain(nats: float, gain: Gain | None) -> list[str]:
    if gain is None:
        return [f"{-nats:+.4f}", "", "", ""]
    seeds = str(gain.seeds) if gain.seeds else "interpolated"
    points = "" if gain.points is None else str(gain.points)
    return [f"{-nats:+.4f}", f"{gain.error:.4f}", points, seeds]


def _verification(rows: list[Verified]) -> Table:
    title = f"Verification, {rows[0].seeds} seeds, {rows[0].epochs} epochs"
    table = Table(title=title, title_justify="left")
    for name in ("scheme", "split", "log-loss", "accuracy", "over head-only, points [95 %]"):
        table.add_column(name, justify="left" if name in ("scheme", "split") else "right")
    for row in rows:
        accuracy = f"{row.accuracy:.1f} ± {row.deviation:.1f} %"
        table.add_row(row.name, row.split, f"{row.log_loss:.4f}", accuracy, str(row.gain.points))
    return table
