"""The command `evaluate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from microtune.cli.options import (
    Confusion,
    JsonFile,
    Load,
    OnBackEnd,
    Predictions,
    Project,
    write_json,
)
from microtune.cli.outcome import UNTAUGHT, check_outputs, print_outcome
from microtune.cli.places import check_places
from microtune.report.console import errors, progress
from microtune.report.outcome_text import unseen_notes


class SplitName(StrEnum):
    """Which images of a data set."""

    test = "test"
    val = "val"
    train = "train"


def evaluate(
    project: Project,
    data: Annotated[Path, typer.Option(help="Folder, .tar, .zip or .npz with images.")],
    load: Load = None,
    split: Annotated[SplitName, typer.Option(help="Which of its images.")] = SplitName.test,
    on: Annotated[OnBackEnd, typer.Option(help="Where to run; the bits are the same.")]
    = OnBackEnd.host,
    predictions: Predictions = False,
    confusion: Confusion = None,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Run the images of DATA through the project, as compiled or as learnt: what is right?"""
    from microtune.train.evaluation import evaluate_project
    from microtune.train.session import OpenProject

    check_outputs(confusion, json_file, predictions=predictions)
    check_places(
        {"--json": json_file, "--confusion": confusion}, {"--data": data, "--load": load}, project
    )
    if load is None and OpenProject.read(project).is_untaught:
        errors.print(UNTAUGHT)
    with progress(f"evaluating on {on.value}") as bar:
        outcome = evaluate_project(project, data, split.value, on.value, load, bar)
    print_outcome(outcome, project, confusion)
    for line in unseen_notes(outcome):
        errors.print(line, markup=False)
    write_json(json_file, outcome.to_json(predictions=predictions))
