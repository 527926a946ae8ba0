"""What `train` and `evaluate` print, draw and write of a classifier's outcome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from microtune.errors import MicrotuneError
from microtune.report.console import console, errors
from microtune.report.outcome_text import outcome_tables

if TYPE_CHECKING:
    from microtune.train.outcome import Outcome

UNTAUGHT = (
    "note: as compiled the head is all zeros, so that every image gets the first class: train, and "
    "give what was learnt with --load FILE"
)
_PICTURE = "confusion.png"


def check_outputs(confusion: Path | None, json_file: Path | None, *, predictions: bool) -> None:
    """Raise MicrotuneError before the work begins if its outcome could not be written."""
    from microtune.report.pictures import check_confusion_place
    from microtune.tools.files import check_place

    if predictions and json_file is None:
        raise MicrotuneError("--predictions go into the JSON: say where with --json FILE")
    if confusion is not None:
        check_confusion_place(confusion)
        check_place(confusion)
    if json_file is not None and (not json_file.exists() or json_file.is_dir()):
        check_place(json_file)


def print_outcome(outcome: Outcome, project: Path, confusion: Path | None) -> None:
    """Print accuracy by class and the confusion matrix, and draw the latter at `confusion`, or in
    the project's folder, where that is possible."""
    from microtune.report.pictures import save_confusion

    console.print(*outcome_tables(outcome, console), sep="\n")
    place = project / _PICTURE if confusion is None else confusion
    try:
        save_confusion(place, outcome)
    except MicrotuneError as error:
        if confusion is not None:
            raise
        errors.print(f"note: no picture of the confusion matrix: {error}", markup=False)
    else:
        console.print(f"confusion matrix: {place}", markup=False)
