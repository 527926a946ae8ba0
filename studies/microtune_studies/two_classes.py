"""Two classes at batch 1: what the published training loses there, and a rule that does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from microtune.train.trainer import Schedule
from microtune_studies.runs import OURS, Result, Run
from microtune_studies.statistics import mean_and_deviation, paired_difference
from microtune_studies.work import Work, at_edge

MODEL, SCHEME, DATA = "mcunet-5fps", "last-6", "person_cc.tar"
RATES = (0.0005, 0.001, 0.002)


@dataclass(frozen=True)
class Way:
    """A way to train: a method, a schedule, and candidate rates (none: the first way's rate)."""

    label: str
    method: str
    schedule: Schedule
    rates: tuple[float, ...] = RATES


WAYS = (
    Way("accumulation over 8, cosine", "accumulation over 8", "cosine", (0.002, 0.004, 0.008)),
    Way("accumulation over 8, constant", "accumulation over 8", "constant", (0.002, 0.004, 0.008)),
    Way("batch 1, constant", "float32 gradients", "constant"),
    Way("batch 1, cosine", "float32 gradients", "cosine"),
    Way("device, batch 1, constant", OURS, "constant"),
    Way("device, batch 1, cosine", OURS, "cosine"),
    Way("device, batch 1, cosine, the first row's rate", OURS, "cosine", ()),
)


@dataclass(frozen=True)
class TrainedWay:
    """A way with the rate that was chosen for it and a result for each seed."""

    way: Way
    rate: float
    results: Sequence[Result]


def run_two_classes(work: Work, data: str, seeds: int, epochs: int) -> list[TrainedWay]:
    """Train in every way with its best rate."""
    runs = [
        replace(Run(MODEL, data, SCHEME, way.method, 0.0, 0, epochs), schedule=way.schedule)
        for way in WAYS
    ]
    (first,) = work.best_rates([(runs[0], WAYS[0].rates)])
    asked = [(run, way.rates or (first.lr,)) for run, way in zip(runs, WAYS, strict=True)]
    chosen = work.best_rates(asked)
    results = work.seeded(chosen, seeds)
    return [
        TrainedWay(way, run.lr, own) for way, run, own in zip(WAYS, chosen, results, strict=True)
    ]


def two_classes_table(found: Sequence[TrainedWay]) -> Table:
    """A table of the accuracy of each way, minus that of gradient accumulation."""
    first = found[0]
    data = first.results[0].run.data.partition(".")[0]
    title = f"{MODEL}, {SCHEME}, {data}, {len(first.results)} seeds, last epoch"
    table = Table("", "rate", "test accuracy, %", "less the first row", title=title)
    for one in found:
        mean, deviation = mean_and_deviation(one.results)
        less = "" if one is first else str(paired_difference(one.results, first.results))
        simulated = "" if one.way.method == OURS else " (simulated)"
        table.add_row(f"{one.way.label}{simulated}", at_edge(one.rate, one.way.rates),
                      f"{mean:.1f} ± {deviation:.1f}", less)  # fmt: skip
    return table
