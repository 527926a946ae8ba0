"""The command `train`."""

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
from microtune.cli.regression import refuse_classes, train_values
from microtune.report.console import console, images_table, seeds_table, training_table
from microtune.report.json_file import write_json


class LrSchedule(StrEnum):
    """How the learning rate changes over the run."""

    constant = "constant"
    cosine = "cosine"


class EvaluateWhen(StrEnum):
    """When the test images are evaluated."""

    each_epoch = "each-epoch"
    at_the_end = "at-the-end"


def train(
    project: Project,
    data: Annotated[Path, typer.Option(help="Folder, .tar, .zip or .npz (docs/data.md).")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images; with --load "
                                        "those of the whole run, from its beginning.")] = 10,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    lr: Annotated[float, typer.Option(help="Learning rate per sample.")] = mt.DEFAULT_LEARNING_RATE,
    lr_schedule: Annotated[LrSchedule, typer.Option(help="Over the run.")] = LrSchedule.cosine,
    seed: Annotated[int | None, typer.Option(min=0, max=mt.MAX_SEED, help="Order of samples and "
                    "rounding.", show_default="0, or that of --load")] = None,
    seeds: Annotated[str | None, typer.Option(metavar="0,1,2", help="Several runs instead, side "
                                              "by side on all cores; --on host.")] = None,
    on: Annotated[OnBackEnd, typer.Option(help="Where to run; the bits are the same.")]
    = OnBackEnd.host,
    save: Annotated[Path | None, typer.Option(help="Write what was learnt here, as mt_save does; "
                    "on the host after every epoch and on Ctrl-C too, for --load.")] = None,
    load: Load = None,
    anew: Annotated[bool, typer.Option("--anew", help="With --load: a new run from what was "
                    "learnt, instead of the rest of the run that was saved.")] = False,
    balance: Annotated[bool, typer.Option("--balance", help="Show every class equally often, "
                       "however many images it has.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Stop where an accumulator overflows "
                     "(portable kernels, slower, the same bits).")] = False,
    augment: Annotated[str | None, typer.Option(metavar="flip,shift=4,brightness=20", help=
                       "Change training frames at random, as the device can.")] = None,
    rehearse: Annotated[int, typer.Option(min=0, help="Steps on stored samples after each new one "
                        "(a project compiled with --replay).")] = 0,
    latents: Annotated[bool, typer.Option("--latents", help="Run the frozen layers once an image "
                       "(the same bits, faster; --on host).")] = False,
    evaluate: Annotated[EvaluateWhen, typer.Option(help="When the test images are evaluated.")]
    = EvaluateWhen.each_epoch,
    predictions: Predictions = False,
    confusion: Confusion = None,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Train the compiled network on DATA with the generated C."""
    check_outputs(confusion, json_file, predictions=predictions)
    check_places(
        {"--save": save, "--json": json_file, "--confusion": confusion},
        {"--data": data, "--load": load}, project,
    )  # fmt: skip
    opened = mt.open(project)
    if opened.learns_values:
        refuse_classes({
            "--balance": balance, "--predictions": predictions, "--confusion": confusion,
            "--rehearse": rehearse, "--augment": augment, "--seeds": seeds,
            "--evaluate": evaluate is not EvaluateWhen.each_epoch,
        })  # fmt: skip
        train_values(
            opened, json_file, data, epochs=epochs, steps=steps, lr=lr,
            lr_schedule=lr_schedule.value, seed=seed, on=on.value, save=save, load=load, anew=anew,
            debug=debug, latents=latents,
        )  # fmt: skip
        return
    with Bars() as bars:
        outcome = opened.train(
            data, epochs=epochs, steps=steps, lr=lr, lr_schedule=lr_schedule.value, seed=seed,
            seeds=seeds, on=on.value, save=save, load=load, anew=anew, balance=balance,
            debug=debug, augment=augment, rehearse=rehearse, latents=latents,
            evaluate=evaluate.value,
            on_images=lambda images: console.print(images_table(images)), progress=bars, note=say,
        )  # fmt: skip
    if seeds is None:
        _print_run(outcome)
    else:
        console.print(seeds_table(outcome.runs))
    print_outcome(outcome, project, confusion)
    print_warnings(outcome)
    write_json(json_file, outcome.to_json(predictions=predictions))


def _print_run(outcome: mt.TrainingOutcome) -> None:
    """The epochs of a run, and its hashes."""
    console.print(training_table(outcome.runs[0]))
    console.print(f"parameters sha256 {outcome.parameters_sha256}", soft_wrap=True)
    console.print(f"logits     sha256 {outcome.logits_sha256}", soft_wrap=True)
