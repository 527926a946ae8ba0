"""What `Project.train` does: options checked, images read, one run or several."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from microtune.api.arguments import Place, as_path, choice, maybe_path, real, whole
from microtune.api.places import check_places
from microtune.api.reports import Reporter, Update
from microtune.api.results import TrainingOutcome
from microtune.data import Description
from microtune.data.image.augment import NONE, Augmentation, parse_augmentation
from microtune.errors import MicrotuneError
from microtune.run.runners import BackEnd
from microtune.tools.files import check_place
from microtune.train.outcome import pooled
from microtune.train.session import Session
from microtune.train.trainer import (
    MAX_SEED,
    EvaluateWhen,
    Schedule,
    TrainingPlan,
    TrainingReport,
    check_learning_rate,
)


def train(
    project: Path, data: Place, *, epochs: int, steps: int | None, lr: float,
    lr_schedule: Schedule, seed: int | None, seeds: Sequence[int] | str | None, on: BackEnd,
    save: Place | None, load: Place | None, anew: bool, balance: bool, debug: bool,
    augment: str | Augmentation | None, rehearse: int, latents: bool, evaluate: EvaluateWhen,
    on_images: Callable[[Description], None] | None, reporter: Reporter,
) -> TrainingOutcome:  # fmt: skip
    """`Project.train`, whose arguments these are."""
    check_learning_rate(real("lr", lr))
    several = [] if seeds is None else parse_seeds(seeds)
    state, learnt = maybe_path("save", save), maybe_path("load", load)
    folder = as_path("data", data)
    choice("on", on, BackEnd)
    check_options(several, seed, on, state, learnt, anew=anew, latents=latents, augment=augment)
    check_places({"--save": state}, {"--data": folder, "--load": learnt}, project)
    change = parse_augmentation(augment) if isinstance(augment, str) else augment or NONE
    with reporter.stage("reading images") as update:
        session = Session.open(project, folder, on, update, learnt)
    _tell_images(session, on_images, reporter)
    plan = TrainingPlan(
        whole("epochs", epochs, 1), float(lr), choice("lr_schedule", lr_schedule, Schedule),
        run_seed(session, seed), None if steps is None else whole("steps", steps, 1),
        rehearse=whole("rehearse", rehearse, 0), augmentation=change, balance=balance,
        evaluate=choice("evaluate", evaluate, EvaluateWhen),
    )  # fmt: skip
    plan = session.resume(plan, anew=anew)
    tell_rate(session, plan, learnt, reporter)
    if several:
        reports = _train_seeds(session, plan, several, reporter, latents=latents)
    else:
        with going_on(session, state, reporter) as update:
            reports = [session.train(plan, update, state, debug=debug, latents=latents)]
    outcome = _outcome(session, reports, several=bool(several))
    reporter.warn(outcome.warnings)
    return outcome


def parse_seeds(seeds: Sequence[int] | str) -> list[int]:
    """Different seeds, from "0,1,2" or as they are. Raises MicrotuneError."""
    text = seeds if isinstance(seeds, str) else ",".join(map(str, seeds))
    if re.fullmatch(r"\d+(,\d+)*", text) is None:
        raise MicrotuneError(f"'{text}' is no list of seeds; write for instance 0,1,2")
    parsed = [int(part) for part in text.split(",")]
    if len(set(parsed)) < len(parsed):
        raise MicrotuneError(f"seeds {text}: one is there twice")
    if max(parsed) > MAX_SEED:
        raise MicrotuneError(f"seeds {text}: a seed is at most {MAX_SEED}, as on the device")
    return parsed


def check_options(
    several: list[int], seed: int | None, on: BackEnd, save: Path | None, load: Path | None, *,
    anew: bool, latents: bool, augment: object,
) -> None:  # fmt: skip
    """Raise MicrotuneError for options that exclude each other."""
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
    if several and on != "host":
        raise MicrotuneError("--seeds needs --on host; run one seed at a time with --seed")
    if seed is not None:
        whole("seed", seed, 0, MAX_SEED)
    if save is not None:
        check_place(save)


def _tell_images(
    session: Session, on_images: Callable[[Description], None] | None, reporter: Reporter
) -> None:
    """What the data holds, before the training begins."""
    if session.images is None:
        return
    if on_images is not None:
        on_images(session.images)
    for line in session.images.notes:
        reporter.note(line)


def tell_rate(session: Session, plan: TrainingPlan, load: Path | None, reporter: Reporter) -> None:
    """Whether this run is not the rest of the one that was saved."""
    rates = session.other_rate(plan)
    if rates is not None:
        reporter.note(
            f"the last step of {load} had the rate {rates[0]:g}, in this plan it has "
            f"{rates[1]:g}: another --lr, --epochs, --lr-schedule or other data than before. This "
            "run is not the rest of that one (--anew starts a new run)"
        )


def run_seed(session: Session, seed: int | None) -> int:
    """The seed of the run; what was loaded has one already."""
    if session.learnt is None:
        return seed or 0
    if seed is not None and seed != session.learnt.seed:
        raise MicrotuneError(
            f"what was loaded was trained with seed {session.learnt.seed}, which goes on: leave "
            f"--seed {seed} out"
        )
    return session.learnt.seed


@contextmanager
def going_on(session: Session, save: Path | None, reporter: Reporter) -> Iterator[Update]:
    """The stage of one run. An interruption says how it can go on."""
    before = _written(save)
    try:
        with reporter.stage(f"training on {session.back_end}") as update:
            yield update
    except (KeyboardInterrupt, SystemExit):
        if _written(save) != before:
            reporter.note(f"interrupted: the same command with --load {save} goes on")
        raise


def _written(path: Path | None) -> tuple[int, int] | None:
    """Changes when the file is written anew; None where there is none."""
    if path is None or not path.is_file():
        return None
    state = path.stat()
    return state.st_ino, state.st_mtime_ns


def _train_seeds(
    session: Session, plan: TrainingPlan, seeds: list[int], reporter: Reporter, *, latents: bool
) -> list[TrainingReport]:
    """Several runs side by side. No stage is under way when their processes are forked: who
    shows it may have threads."""
    with reporter.stage("compiling for the host") as update:
        runs = session.seed_runs(plan, seeds, update, latents=latents)
    with runs, reporter.stage(f"training {len(seeds)} seeds") as update:
        return runs.reports(update)


def _outcome(session: Session, reports: list[TrainingReport], *, several: bool) -> TrainingOutcome:
    """All runs as one. Every run has an outcome: it ends with an epoch, whole or not."""
    outcomes = [report.outcome for report in reports if report.outcome is not None]
    together = pooled(outcomes)
    assert together is not None
    if not several:
        together = replace(together, images=outcomes[0].images)
    trained = np.bincount(session.train_split.labels, minlength=len(session.classes)).tolist()
    return TrainingOutcome.of(
        together, runs=tuple(reports), trained=tuple(trained), data=session.images, several=several
    )
