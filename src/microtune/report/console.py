"""Progress bars and tables that the commands print (rich)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from microtune.data import Description
from microtune.stats import mean_and_deviation
from microtune.tools.cache import Entry
from microtune.train.trainer import TrainingReport

_UNBOUND = 160
"""Columns where the output goes to a file or a pipe, which has no width to keep to."""


def _make_console(stream: TextIO, *, stderr: bool = False) -> Console:
    known = stream.isatty() or "COLUMNS" in os.environ
    # Names of files, layers and classes may hold brackets: nothing is read as markup or emoji.
    return Console(
        stderr=stderr, highlight=False, markup=False, emoji=False,
        width=None if known else _UNBOUND,
    )  # fmt: skip


console = _make_console(sys.stdout)
errors = _make_console(sys.stderr, stderr=True)


def in_colour() -> bool:
    """Whether standard output is a terminal that shows colours and block characters."""
    return console.is_terminal and not console.no_color and console.encoding.startswith("utf")


def map_width() -> int:
    """Columns for a memory map: those of the terminal, within reason; 100 without a terminal."""
    return max(40, min(console.width, 140)) if console.is_terminal else 100


# Seconds of a step that is more than a look into a cache.
_SLOW_S = 0.1

Update = Callable[[int, int, str], None]


@contextmanager
def progress(title: str, *, resumable: bool = False) -> Iterator[Update]:
    """A context with a progress bar and the time left; its value is called with (done, total,
    note).

    On Ctrl-C it says that the same command continues where this one ended, if that is `resumable`.
    The time left is estimated from all steps of this run. rich's own estimate forgets what is older
    than half a minute, or than the last total; steps of a search take minutes, and their total
    grows.
    """
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[note]}", markup=False), TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    try:
        hidden = not errors.is_terminal  # else rich leaves an empty line in a log
        with Progress(*columns, console=errors, transient=True, disable=hidden) as bar:
            task = bar.add_task(title, total=None, note="", left="")
            left = _TimeLeft(time.monotonic)

            def update(done: int, total: int, note: str = "") -> None:
                bar.update(task, completed=done, total=total, note=note, left=left(done, total))

            yield update
    except KeyboardInterrupt:
        if resumable:
            errors.print("interrupted: what is finished is kept, the same command goes on")
        raise


class _TimeLeft:
    """The time left, for steps at a steady rate.

    If few steps took most of the time, only these count: the others came out of a cache.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._at, self._done = clock, clock(), 0
        self._all, self._slow = _Rate(), _Rate()

    def __call__(self, done: int, total: int) -> str:
        """The time left in words, "0:12:30 left"; empty before there is a rate."""
        now = self._clock()
        seconds, steps = now - self._at, done - self._done
        self._at, self._done = now, done
        if steps < 0:
            self._all, self._slow = _Rate(), _Rate()
        elif steps:
            self._all.add(seconds, steps)
            if seconds / steps > _SLOW_S:
                self._slow.add(seconds, steps)
        rate = self._slow if self._slow.seconds > self._all.seconds / 2 else self._all
        if not rate.steps or done >= total:
            return ""
        return f"{timedelta(seconds=round(rate.seconds / rate.steps * (total - done)))} left"


@dataclass
class _Rate:
    seconds: float = 0.0
    steps: int = 0

    def add(self, seconds: float, steps: int) -> None:
        self.seconds += seconds
        self.steps += steps


# Rows of a table of classes; of more, the first ones and a total.
_CLASS_ROWS = 100


def images_table(images: Description) -> Table:
    """A table of the images of each class and split."""
    table = Table(title="Images", title_justify="left")
    for name in ("label", "class", *images.images):
        table.add_column(name, justify="left" if name == "class" else "right")
    for label, name in enumerate(images.classes[:_CLASS_ROWS]):
        counts = [str(of_split[label]) for of_split in images.images.values()]
        table.add_row(str(label), Text(name), *counts)
    if len(images.classes) > _CLASS_ROWS:
        table.add_row("…", f"{len(images.classes) - _CLASS_ROWS} more classes")
    table.add_section()
    table.add_row("", "all", *[str(sum(of_split)) for of_split in images.images.values()])
    return table


def training_table(report: TrainingReport) -> Table:
    """The table of a training run, with one row for each epoch."""
    table = Table(title="Training", title_justify="left")
    for name in ("epoch", "train loss", "train accuracy", "test accuracy"):
        table.add_column(name, justify="right")
    for number, epoch in enumerate(report.epochs, start=1):
        test = "-" if epoch.test_accuracy is None else f"{100 * epoch.test_accuracy:.1f} %"
        table.add_row(
            str(number), f"{epoch.train_loss:.3f}", f"{100 * epoch.train_accuracy:.1f} %", test
        )
    return table


def seeds_table(reports: Sequence[TrainingReport]) -> Table:
    """The table of several runs: one row for each after its last epoch, mean and deviation."""
    table = Table(title="Training", title_justify="left")
    names = ("seed", "train loss", "train accuracy", "test accuracy", "parameters sha256")
    for name in names:
        table.add_column(name, justify="right")
    for report in reports:
        last = report.epochs[-1]
        test = "-" if last.test_accuracy is None else f"{100 * last.test_accuracy:.1f} %"
        table.add_row(str(report.plan.seed), f"{last.train_loss:.3f}",
                      f"{100 * last.train_accuracy:.1f} %", test,
                      report.parameters_sha256[:16])  # fmt: skip
    known = [r.test_accuracy for r in reports if r.test_accuracy is not None]
    if known:
        mean, deviation = mean_and_deviation(known)
        table.add_row("mean", "", "", f"{100 * mean:.1f} ± {100 * deviation:.1f} %", "")
    return table


def figures_table(title: str, figures: dict[str, Any]) -> Table:
    """A table of names and values; integers have thousands separators."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in figures.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {_number(v)}" for key, v in value.items())
        table.add_row(name.replace("_", " "), _number(value))
    return table


def _number(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def cache_table(limit: int, entries: Sequence[Entry]) -> Table:
    """A table of the cache: its size and limit, and what is in it by kind."""
    table = Table()
    for name in ("kind", "entries", "bytes"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind in sorted({entry.kind for entry in entries}):
        sizes = [entry.bytes for entry in entries if entry.kind == kind]
        table.add_row(kind, str(len(sizes)), f"{sum(sizes):,}")
    table.add_section()
    table.add_row("all", str(len(entries)), f"{sum(entry.bytes for entry in entries):,}")
    table.add_row("limit", "", f"{limit:,}")
    return table
