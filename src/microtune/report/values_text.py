"""The errors and the outputs of a regression, as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rich.table import Table
from rich.text import Text

from microtune.tools.names import printable
from microtune.train.anomaly import AnomalyScores
from microtune.train.regression import RegressionReport

_SHOWN = 16
"""More outputs than this are in the JSON only."""


def epochs_table(report: RegressionReport) -> Table:
    """The mean squared errors of a run, a row for each epoch."""
    table = Table(title="Training", title_justify="left")
    for name in ("epoch", "train loss", "test loss"):
        table.add_column(name, justify="right")
    for number, epoch in enumerate(report.epochs, start=1):
        table.add_row(str(number), _number(epoch.train_loss), _number(epoch.test_loss))
    table.add_section()
    table.add_row(
        "mean target", _number(report.train_loss_of_guessing), _number(report.loss_of_guessing)
    )
    return table


def error_line(loss: float | None, guessing: float | None, split: str) -> str:
    """The error of a split beside that of always answering its mean target."""
    if loss is None:
        return f"no {split} samples"
    return (
        f"mean squared error, {split}: {_number(loss)} (always answering the mean target: "
        f"{_number(guessing)})"
    )


def anomaly_line(found: AnomalyScores, split: str) -> str:
    """The anomaly scores of a split, and how well they tell anomalies from normal samples."""
    if found.abnormal is None:
        low, high = float(found.scores.min()), float(found.scores.max())
        return f"anomaly score, {split}: from {_number(low)} to {_number(high)}"
    means = [
        f"mean {_number(mean)} of {int((found.abnormal == kind).sum())} {name}"
        for kind, name in ((False, "normal samples"), (True, "anomalies"))
        if (mean := found.mean(abnormal=kind)) is not None
    ]
    auc = "no AUC, which needs both" if found.auc is None else f"AUC {found.auc:.3f}"
    return f"anomaly score, {split}: {', '.join(means)}: {auc}"


def values_table(samples: Sequence[str], outputs: npt.NDArray[np.float64]) -> Table:
    """One row for each sample: its outputs, the first ones if there are many."""
    table = Table(title="Outputs", title_justify="left")
    table.add_column("sample", overflow="fold")
    table.add_column("outputs")
    for name, row in zip(samples, outputs, strict=True):
        text = " ".join(f"{value:.4f}" for value in row[:_SHOWN].tolist())
        more = f" … ({len(row)} values, --json has all)" if len(row) > _SHOWN else ""
        table.add_row(Text(printable(name)), text + more)
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"
