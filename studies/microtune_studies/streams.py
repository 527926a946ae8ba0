"""What devices in the field meet: little data, one class after the other, a domain that shifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.table import Table

from microtune_studies.domains import DOMAINS
from microtune_studies.runs import OURS, Result, Run
from microtune_studies.statistics import mean_and_deviation, paired_difference
from microtune_studies.work import Work

MODEL, DATA = "mcunet-5fps", "clothing10.tar"
PER_CLASS = (1, 5, 20)
FEW_SCHEMES = ("head-only", "last-6", "49KB")
AUGMENT = "flip,shift=8,brightness=25"
# Epochs for 1, 5 and 20 samples a class: about as many steps each, as far as patience goes.
_FEW_EPOCHS = {1: 40, 5: 40, 20: 20}
SCHEME = "49KB"
# Bytes of replay memory and samples rehearsed after each new one.
REPLAYS = ((0, 0), (16 << 10, 1), (64 << 10, 1), (256 << 10, 1), (64 << 10, 4))
RATES = (0.0005, 0.001, 0.002)
_ROUNDS = 1


@dataclass(frozen=True)
class StreamResult:
    """One setting with the learning rate that was chosen and a result for each seed."""

    run: Run
    results: Sequence[Result]


def _cells(work: Work, runs: Sequence[Run], seeds: int) -> list[StreamResult]:
    results = work.seeded(runs, seeds)
    return [StreamResult(run, own) for run, own in zip(runs, results, strict=True)]


def _with_best_rates(work: Work, runs: Sequence[Run]) -> list[Run]:
    return work.best_rates([(run, RATES) for run in runs], _ROUNDS)


def run_few(work: Work, data: str, seeds: int) -> list[StreamResult]:
    """Train every scheme with 1, 5 and 20 samples of each class, plain and augmented."""
    runs = [
        Run(MODEL, data, scheme, OURS, 0.0, 0, _FEW_EPOCHS[count], per_class=count, augment=augment)
        for scheme in FEW_SCHEMES
        for augment in ("", AUGMENT)
        for count in PER_CLASS
    ]
    return _cells(work, _with_best_rates(work, runs), seeds)


def few_table(cells: Sequence[StreamResult]) -> Table:
    """A table of the accuracy by samples of each class."""
    run = cells[0].run
    title = (
        f"{MODEL}, {run.data.partition('.')[0]}, {len(cells[0].results)} draws of the samples, "
        f"test accuracy in %"
    )
    table = Table("trained", "frames", *(f"{n} a class" for n in PER_CLASS), title=title)
    rows: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        mean, deviation = mean_and_deviation(cell.results)
        key = (cell.run.scheme, cell.run.augment or "as they are")
        rows.setdefault(key, []).append(f"{mean:.1f} ± {deviation:.1f}")
    for (scheme, frames), values in rows.items():
        table.add_row(scheme, frames, *values)
    return table


def run_ordered(work: Work, data: str, seeds: int) -> list[StreamResult]:
    """Train once over the samples: shuffled, and class by class with more and more replay."""
    base = Run(MODEL, data, SCHEME, OURS, 0.0, 0, 1, schedule="constant")
    ordered = replace(base, order="class by class")
    runs = [replace(ordered, replay_bytes=size, rehearse=n) for size, n in REPLAYS]
    return _cells(work, _with_best_rates(work, [base, *runs]), seeds)


def _memory(run: Run) -> str:
    if not run.replay_bytes:
        return "none"
    return f"{run.replay_bytes >> 10} KB, {run.rehearse} rehearsed"


def ordered_table(cells: Sequence[StreamResult]) -> Table:
    """A table of the loss by the order of classes, and of the gain by replay."""
    run = cells[0].run
    title = f"{MODEL}, {SCHEME}, {run.data.partition('.')[0]}, each sample once, constant rate"
    table = Table("order of samples", "replay memory", "test accuracy, %", "less no replay",
                  title=title)  # fmt: skip
    without = cells[1]
    for cell in cells:
        mean, deviation = mean_and_deviation(cell.results)
        found = "" if cell is without else str(paired_difference(cell.results, without.results))
        table.add_row(cell.run.order, _memory(cell.run), f"{mean:.1f} ± {deviation:.1f}", found)
    return table


def run_domains(work: Work, data: str, seeds: int, epochs: int) -> list[StreamResult]:
    """Train on plain images, then on a stream of changed ones, with and without replay.

    The rate of a domain is the one that is best without replay.
    """
    bases = [Run(MODEL, data, SCHEME, OURS, 0.0, 0, epochs, domain=name) for name in DOMAINS]
    runs = [
        replace(base, replay_bytes=size, rehearse=n)
        for base in _with_best_rates(work, bases)
        for size, n in REPLAYS[:-1]
    ]
    return _cells(work, runs, seeds)


def mean_curve(cell: StreamResult) -> np.ndarray:
    """The mean curve of all seeds, float64 (points, 3).

    Columns are samples of the stream, and the accuracy on plain and on changed images in percent.
    """
    curve: np.ndarray = np.mean([result.curve for result in cell.results], axis=0)
    return curve


def domain_table(cells: Sequence[StreamResult]) -> Table:
    """A table of the accuracy on both domains before and after the stream."""
    run = cells[0].run
    title = (
        f"{MODEL}, {SCHEME}, {run.data.partition('.')[0]}: {run.epochs} epochs on plain images, "
        f"then each changed image once; {len(cells[0].results)} seeds, test accuracy in %"
    )
    table = Table("domain", "replay memory", "changed: before", "after", "plain: before", "after",
                  "plain: less no replay", title=title)  # fmt: skip
    without: Sequence[Result] = []
    for cell in cells:
        first, last = mean_curve(cell)[0], mean_curve(cell)[-1]
        values = (first[2], last[2], first[1], last[1])
        if cell.run.replay_bytes:
            less = str(paired_difference(_on_plain(cell.results), without))
        else:
            table.add_section()
            without, less = _on_plain(cell.results), ""
        shown = (f"{value:.1f}" for value in values)
        table.add_row(cell.run.domain, _memory(cell.run), *shown, less)
    return table


def _on_plain(results: Sequence[Result]) -> list[Result]:
    """The results for plain images only, after the stream."""
    half = len(results[0].labels) // 2
    return [replace(r, predicted=r.predicted[:half], labels=r.labels[:half]) for r in results]


def curves(cells: Sequence[StreamResult]) -> Mapping[str, Mapping[str, np.ndarray]]:
    """The mean curves by domain and by memory."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for cell in cells:
        found.setdefault(cell.run.domain, {})[_memory(cell.run)] = mean_curve(cell)
    return found
