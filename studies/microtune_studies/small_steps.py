"""Full update with ever smaller steps: it diverges if weights are truncated, and not if rounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from microtune_studies.runs import OURS, Result, Run
from microtune_studies.work import Work

MODEL, SCHEME, DATA = "mcunet-5fps", "full", "signdigits10.tar"
RATE = 0.0005
SMALL = (1e-4, 1e-5, 1e-6)
RULES = {
    "stochastic (the law)": "", "to nearest": "MT_STUDY_WEIGHTS=MT_NEAREST",
    "towards zero, as a cast does": "MT_STUDY_WEIGHTS=MT_TOWARDS_ZERO",
}  # fmt: skip


@dataclass(frozen=True)
class SmallStepResult:
    """The effect of one more epoch at a small rate on a trained network."""

    rule: str
    rate: float
    results: Sequence[Result]


def run_small_steps(work: Work, data: str, seeds: int, epochs: int) -> list[SmallStepResult]:
    """Train with every rounding of the weights at every rate."""
    settings = [(label, rule, rate) for label, rule in RULES.items() for rate in SMALL]
    runs = [
        Run(MODEL, data, SCHEME, OURS, RATE, 0, epochs, rule=rule, then_lr=rate)
        for _, rule, rate in settings
    ]
    results = work.seeded(runs, seeds)
    return [
        SmallStepResult(label, rate, own)
        for (label, _, rate), own in zip(settings, results, strict=True)
    ]


def small_steps_table(cells: Sequence[SmallStepResult]) -> Table:
    """A table of the accuracy before and after, by rounding and rate."""
    run = cells[0].results[0].run
    before = np.mean([result.curve[0][1] for cell in cells for result in cell.results])
    title = (
        f"{MODEL}, full update, {run.data.partition('.')[0]}: trained to {before:.1f} %, then one "
        f"epoch at a small constant rate; test accuracy in %, {len(cells[0].results)} seeds"
    )
    table = Table("weights rounded", *(f"rate {rate:g}" for rate in SMALL), title=title)
    for label in RULES:
        own = [cell for cell in cells if cell.rule == label]
        table.add_row(label, *(f"{np.mean([r.accuracy for r in c.results]):.1f}" for c in own))
    return table
