"""What `train`, `evaluate` and `predict` do with a project that learns values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import microtune as mt
from microtune.cli.bars import Bars, say
from microtune.report.console import console, errors
from microtune.report.json_file import write_json
from microtune.report.values_text import anomaly_line, epochs_table, error_line, values_table


def refuse_classes(options: Mapping[str, object]) -> None:
    """Raise MicrotuneError if an option is given that only classifiers have."""
    given = [name for name, value in options.items() if value]
    if given:
        raise mt.MicrotuneError(f"{', '.join(given)}: this project learns values, not classes")


def train_values(
    project: mt.Project,
    json_file: Path | None,
    data: Path,
    **options: Any,  # noqa: ANN401
) -> None:
    """Train, and print the errors of each epoch."""
    with Bars() as bars:
        report = project.regression.train(data, progress=bars, note=say, **options)
    console.print(epochs_table(report))
    console.print(error_line(report.test_loss, report.loss_of_guessing, "test"))
    if report.anomaly is not None:
        console.print(anomaly_line(report.anomaly, "test"))
    console.print(f"parameters sha256 {report.parameters_sha256}", soft_wrap=True)
    console.print(f"logits     sha256 {report.outputs_sha256}", soft_wrap=True)
    for line in report.warnings:
        errors.print(f"warning: {line}", markup=False)
    write_json(json_file, report.to_json())


def evaluate_values(
    project: mt.Project,
    data: Path,
    json_file: Path | None,
    **options: Any,  # noqa: ANN401
) -> None:
    """Evaluate, and print the error."""
    with Bars() as bars:
        found = project.regression.evaluate(data, progress=bars, note=say, **options)
    console.print(error_line(found.test_loss, found.loss_of_guessing, found.split))
    if found.anomaly is not None:
        console.print(anomaly_line(found.anomaly, found.split))
    write_json(json_file, found.to_json())


def predict_values(
    project: mt.Project,
    samples: list[Path],
    json_file: Path | None,
    **options: Any,  # noqa: ANN401
) -> mt.Values:
    """Print the outputs for each sample."""
    with Bars() as bars:
        found = project.regression.predict(samples, progress=bars, note=say, **options)
    console.print(values_table(found.samples, found.outputs))
    write_json(json_file, found.to_json())
    return found
