"""The command `evaluate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import microtune as mt
from microtune.api.places import check_places
from microtune.cli.bars import Bars, say
from microtune.cli.options import Confusion, JsonFile, Load, OnBackEnd, Predictions, Project
from microtune.cli.outcome import check_outputs, print_outcome, print_warnings
from microtune.cli.regression import evaluate_values, refuse_classes
from microtune.report.json_file import write_json


class SplitName(StrEnum):
    """Which images of a data set are evaluated."""

    test = "test"
    val = "val"
    train = "train"


def evaluate(
    project: Project,
    data: Annotated[Path, typer.Option(help="Folder, .tar, .zip or .npz (docs/data.md).")],
    load: Load = None,
    split: Annotated[SplitName, typer.Option(help="Which of its images.")] = SplitName.test,
    on: Annotated[OnBackEnd, typer.Option(help="Where to run; the bits are the same.")]
    = OnBackEnd.host,
    predictions: Predictions = False,
    confusion: Confusion = None,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Run the images of DATA through the project, as compiled or as learnt: what is right?"""
    check_outputs(confusion, json_file, predictions=predictions)
    check_places(
        {"--json": json_file, "--confusion": confusion}, {"--data": data, "--load": load}, project
    )
    opened = mt.open(project)
    if opened.learns_values:
        refuse_classes({"--predictions": predictions, "--confusion": confusion})
        evaluate_values(opened, data, json_file, load=load, split=split.value, on=on.value)
        return
    with Bars() as bars:
        outcome = opened.evaluate(
            data, load=load, split=split.value, on=on.value, progress=bars, note=say
        )
    print_outcome(outcome, project, confusion)
    print_warnings(outcome)
    write_json(json_file, outcome.to_json(predictions=predictions))
