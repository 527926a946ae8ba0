"""What `search` prints: the scheme, what it costs, and what it was seen to gain."""

from __future__ import annotations

from rich.table import Table

from microtune.report.console import figures_table
from microtune.search.contribution import Gain
from microtune.search.search import Finding
from microtune.search.verification import FOUND


def search_tables(finding: Finding) -> list[Table]:
    """Scheme with costs, and its parts with their contributions."""
    return [_costs(finding), _parts(finding)]


def _costs(finding: Finding) -> Table:
    planned, limits, solution = finding.planned, finding.limits, finding.solution
    figures: dict[str, object] = {
        "trained": finding.chosen_name,
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
    selection, analysis = finding.chosen, finding.analysis
    known = finding.contributions if analysis is None else analysis.contributions
    table.add_row("head", "", "", "", "")
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
        return ["not known", "", "", ""]
    if gain is None:
        return [f"{-nats:+.4f}", "", "", ""]
    seeds = str(gain.seeds) if gain.seeds else "interpolated"
    points = "" if gain.points is None else str(gain.points)
    return [f"{-nats:+.4f}", f"{gain.error:.4f}", points, seeds]


def verification_tables(finding: Finding) -> list[Table]:
    """What was trained, the chosen scheme marked; scheme and costs again where another one than
    was found is the best."""
    rows = finding.verified
    title = f"Verification, {rows[0].seeds} seeds, {rows[0].epochs} epochs; * best on val: written"
    table = Table(title=title, title_justify="left")
    for name in ("scheme", "split", "log-loss", "accuracy", "over head-only, points [95 %]"):
        table.add_column(name, justify="left" if name in ("scheme", "split") else "right")
    for row in rows:
        accuracy = f"{row.accuracy:.1f} ± {row.deviation:.1f} %"
        name = f"{row.name} *" if row.name == finding.chosen_name else row.name
        table.add_row(name, row.split, f"{row.log_loss:.4f}", accuracy, str(row.gain.points))
    return [table] if finding.chosen_name == FOUND else [table, *search_tables(finding)]
