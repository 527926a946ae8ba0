"""The command `train`."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
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
from microtune.cli.outcome import check_outputs, print_outcome
from microtune.cli.places import check_places
from microtune.errors import MicrotuneError
from microtune.report.console import (
    console,
    errors,
    print_images,
    progress,
    seeds_table,
    training_table,
    warn_of_divergence,
)
from microtune.report.outcome_text import unseen_warnings
from microtune.train.trainer import DEFAULT_LEARNING_RATE, MAX_SEED

if TYPE_CHECKING:
    from microtune.train.session import Session
    from microtune.train.trainer import TrainingPlan, TrainingReport


class LrSchedule(StrEnum):
    """Learning rate over the run."""

    constant = "constant"
    cosine = "cosine"


def parse_seeds(text: str) -> list[int]:
    """Different seeds, "0,1,2"."""
    if re.fullmatch(r"\d+(,\d+)*", text) is None:
        raise MicrotuneError(f"'{text}' is no list of seeds; write for instance 0,1,2")
    seeds = [int(part) for part in text.split(",")]
    if len(set(seeds)) < len(seeds):
        raise MicrotuneError(f"seeds {text}: one is there twice")
    if max(seeds) > MAX_SEED:
        raise MicrotuneError(f"seeds {text}: a seed is at most {MAX_SEED}, as on the device")
    return seeds


def train(
    project: Project,
    data: Annotated[Path, typer.Option(help="Folder, .tar, .zip or .npz with images.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images; with --load "
                                        "those of the whole run, from its beginning.")] = 10,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    lr: Annotated[float, typer.Option(help="Learning rate per sample.")] = DEFAULT_LEARNING_RATE,
    lr_schedule: Annotated[LrSchedule, typer.Option(help="Over the run.")] = LrSchedule.cosine,
    seed: Annotated[int | None, typer.Option(min=0, max=MAX_SEED, help="Order of samples and "
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
    predictions: Predictions = False,
    confusion: Confusion = None,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Train the compiled network on DATA with the generated C."""
    from microtune.data.augment import NONE, parse_augmentation
    from microtune.train.outcome import pooled
    from microtune.train.session import Session
    from microtune.train.trainer import TrainingPlan, check_learning_rate, seeds_json

    check_learning_rate(lr)
    change = NONE if augment is None else parse_augmentation(augment)
    several = [] if seeds is None else parse_seeds(seeds)
    _check_options(several, seed, on, save, load, anew=anew, latents=latents, augment=augment)
    check_outputs(confusion, json_file, predictions=predictions)
    check_places(
        {"--save": save, "--json": json_file, "--confusion": confusion},
        {"--data": data, "--load": load}, project,
    )  # fmt: skip
    with progress("reading images") as bar:
        session = Session.open(project, data, on.value, bar, load)
    if session.images is not None:
        print_images(session.images)
    plan = TrainingPlan(
        epochs, lr, lr_schedule.value, _seed(session, seed), steps, rehearse=rehearse,
        augmentation=change, balance=balance,
    )  # fmt: skip
    plan = session.resume(plan, anew=anew)
    rates = session.other_rate(plan)
    if rates is not None:
        errors.print(
            f"note: the last step of {load} had the rate {rates[0]:g}, in this plan it has "
            f"{rates[1]:g}: another --lr, --epochs, --lr-schedule or other data than before. This "
            "run is not the rest of that one (--anew starts a new run)", markup=False,
        )  # fmt: skip
    if several:
        reports = _train_seeds(session, plan, several, latents=latents)
        content = seeds_json(reports, predictions=predictions)
    else:
        reports = [_train_once(session, plan, save, debug=debug, latents=latents)]
        content = reports[0].to_json(predictions=predictions)
    trained = np.bincount(session.train_split.labels, minlength=len(session.classes)).tolist()
    outcome = pooled([report.outcome for report in reports if report.outcome is not None])
    if outcome is not None:
        print_outcome(outcome, project, confusion)
    for line in unseen_warnings(reports, trained):
        errors.print(line, markup=False)
    warn_of_divergence(reports)
    write_json(json_file, content)


def _check_options(
    several: list[int], seed: int | None, on: OnBackEnd, save: Path | None, load: Path | None, *,
    anew: bool, latents: bool, augment: str | None,
) -> None:  # fmt: skip
    """Raise MicrotuneError for options that exclude each other."""
    from microtune.tools.files import check_place

    if latents and augment is not None:
        raise MicrotuneError("--latents runs the frozen layers once an image: not with --augment")
    if anew and load is None:
        raise MicrotuneError("--anew says how to go on from --load FILE: give a file")
    if several and seed is not None:
        raise MicrotuneError("--seed is for one run, --seeds for several: give one of them")
    if several and save is not None:
        raise MicrotuneError("--save keeps one run: use --seed, not --seeds")
    if several and load is not None:
        raise MicrotuneError("--load goes on with one run: not with --seeds")
    if several and on is not OnBackEnd.host:
        raise MicrotuneError("--seeds needs --on host; run one seed at a time with --seed")
    if save is not None:
        check_place(save)


def _seed(session: Session, seed: int | None) -> int:
    """The seed of the run; what was loaded has one already."""
    if session.learnt is None:
        return seed or 0
    if seed is not None and seed != session.learnt.seed:
        raise MicrotuneError(
            f"what was loaded was trained with seed {session.learnt.seed}, which goes on: leave "
            f"--seed {seed} out"
        )
    return session.learnt.seed


def _train_once(
    session: Session, plan: TrainingPlan, save: Path | None, *, debug: bool, latents: bool
) -> TrainingReport:
    """One run: its epochs and hashes."""
    before = _written(save)
    try:
        with progress(f"training on {session.back_end}") as bar:
            report = session.train(plan, bar, save, debug=debug, latents=latents)
    except (KeyboardInterrupt, SystemExit):
        if _written(save) != before:
            errors.print(f"interrupted: the same command with --load {save} goes on", markup=False)
        raise
    console.print(training_table(report))
    console.print(f"parameters sha256 {report.parameters_sha256}", soft_wrap=True)
    console.print(f"logits     sha256 {report.logits_sha256}", soft_wrap=True)
    return report


def _written(path: Path | None) -> tuple[int, int] | None:
    """Changes when the file is written anew; None where there is none."""
    if path is None or not path.is_file():
        return None
    state = path.stat()
    return state.st_ino, state.st_mtime_ns


def _train_seeds(
    session: Session, plan: TrainingPlan, seeds: list[int], *, latents: bool
) -> list[TrainingReport]:
    """Several runs: one row each, and their mean."""
    with progress("compiling for the host") as bar:
        runs = session.seed_runs(plan, seeds, bar, latents=latents)
    with runs, progress(f"training {len(seeds)} seeds") as bar:
        reports = runs.reports(bar)
    console.print(seeds_table(reports))
    return reports
