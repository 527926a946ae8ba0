"""The command `train`."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microtune.cli.options import JsonFile, Project, write_json
from microtune.errors import MicrotuneError
from microtune.report.console import (
    console,
    print_images,
    progress,
    seeds_table,
    training_table,
    warn_of_divergence,
)
from microtune.simulate.trainer import DEFAULT_LEARNING_RATE

if TYPE_CHECKING:
    from microtune.simulate.session import Session
    from microtune.simulate.trainer import TrainingPlan


class OnBackEnd(StrEnum):
    """Where `train` runs."""

    host = "host"
    qemu = "qemu"
    numpy = "numpy"


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
    return seeds


def train(
    project: Project,
    data: Annotated[Path, typer.Option(help="Folder, .tar or .npz with train and test images.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 10,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    lr: Annotated[float, typer.Option(help="Learning rate per sample.")] = DEFAULT_LEARNING_RATE,
    lr_schedule: Annotated[LrSchedule, typer.Option(help="Over the run.")] = LrSchedule.cosine,
    seed: Annotated[int, typer.Option(min=0, help="Order of samples and rounding.")] = 0,
    seeds: Annotated[str | None, typer.Option(metavar="0,1,2", help="Several runs instead, side "
                                              "by side on all cores; --on host.")] = None,
    on: Annotated[OnBackEnd, typer.Option(help="Where to run; the bits are the same.")]
    = OnBackEnd.host,
    save: Annotated[Path | None, typer.Option(help="Write what was learnt here.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Stop where an accumulator overflows "
                     "(portable kernels, slower, the same bits).")] = False,
    augment: Annotated[str | None, typer.Option(metavar="flip,shift=4,brightness=20", help=
                       "Change training frames at random, as the device can.")] = None,
    rehearse: Annotated[int, typer.Option(min=0, help="Steps on stored samples after each new one "
                        "(a project compiled with --replay).")] = 0,
    latents: Annotated[bool, typer.Option("--latents", help="Run the frozen layers once an image "
                       "(the same bits, faster; --on host).")] = False,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Train the compiled network on DATA with the generated C."""
    from microtune.simulate.augment import NONE, parse_augmentation
    from microtune.simulate.session import Session
    from microtune.simulate.trainer import TrainingPlan

    change = NONE if augment is None else parse_augmentation(augment)
    plan = TrainingPlan(
        epochs, lr, lr_schedule.value, seed, steps, rehearse=rehearse, augmentation=change
    )
    several = [] if seeds is None else parse_seeds(seeds)
    if latents and augment is not None:
        raise MicrotuneError("--latents runs the frozen layers once an image: not with --augment")
    if several and save is not None:
        raise MicrotuneError("--save keeps one run: use --seed, not --seeds")
    if several and on is not OnBackEnd.host:
        raise MicrotuneError("--seeds needs --on host; run one seed at a time with --seed")
    with progress("reading images") as bar:
        session = Session.open(project, data, on.value, bar)
    if session.images is not None:
        print_images(session.images)
    if several:
        _train_seeds(session, plan, several, latents, json_file)
        return
    with progress(f"training on {on.value}") as bar:
        report = session.train(plan, bar, save, debug=debug, latents=latents)
    console.print(training_table(report))
    warn_of_divergence([report])
    console.print(f"parameters sha256 {report.parameters_sha256}")
    console.print(f"logits     sha256 {report.logits_sha256}")
    write_json(json_file, report.to_json())


def _train_seeds(
    session: Session, plan: TrainingPlan, seeds: list[int], latents: bool, json_file: Path | None
) -> None:
    """Several runs: one row each, and their mean."""
    from microtune.simulate.trainer import seeds_json

    with progress("compiling for the host") as bar:
        runs = session.seed_runs(plan, seeds, bar, latents=latents)
    with runs, progress(f"training {len(seeds)} seeds") as bar:
        reports = runs.reports(bar)
    console.print(seeds_table(reports))
    warn_of_divergence(reports)
    write_json(json_file, seeds_json(reports))
