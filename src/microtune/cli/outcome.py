"""What `train` and `evaluate` print, draw and write of a classifier's outcome."""

from __future__ import annotations

from pathlib import Path

from microtune import MicrotuneError, Outcome
from microtune.report.console import console, errors
from microtune.report.json_file import check_json_place
from microtune.report.outcome_text import outcome_tables
from microtune.report.pictures import check_confusion_place

_PICTURE = "confusion.png"


def check_outputs(confusion: Path | None, json_file: Path | None, *, predictions: bool) -> None:
    """Raise MicrotuneError before the work begins if its outcome could not be written."""
    if predictions and json_file is None:
        raise MicrotuneError("--predictions go into the JSON: say where with --json FILE")
    if confusion is not None:
        check_confusion_place(confusion)
    check_json_place(json_file)


def print_outcome(outcome: Outcome, project: Path, confusion: Path | None) -> None:
    """Print accuracy by class and the confusion matrix, and draw the latter at `confusion`, or in
    the project's folder, where that is possible."""
    console.print(*outcome_tables(outcome, console), sep="\n")
    place = project / _PICTURE if confusion is None else confusion
    try:
        outcome.save_confusion(place)
    except MicrotuneError as error:
        if confusion is not None:
            raise
        errors.print(f"note: no picture of the confusion matrix: {error}", markup=False)
    else:
        console.print(f"confusion matrix: {place}", markup=False)


def print_warnings(outcome: Outcome) -> None:
    """Print what the user should know of the outcome."""
    for line in outcome.warnings:
        errors.print(line if line.startswith("What helps") else f"warning: {line}", markup=False)
