"""A project that learns values: train, evaluate, predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.api.arguments import (
    Place,
    SplitName,
    as_path,
    choice,
    maybe_path,
    public,
    real,
    whole,
)
from microtune.api.places import check_places
from microtune.api.reports import OnNote, OnProgress, Reporter
from microtune.api.samples import read_samples
from microtune.api.training import check_options, going_on, run_seed, tell_rate
from microtune.errors import MicrotuneError
from microtune.ir.graph import Array
from microtune.run.runners import BackEnd
from microtune.train.regression import (
    RegressionOutcome,
    RegressionReport,
    answer,
    evaluate_regression,
    open_regression,
    require_values,
    run_regression,
)
from microtune.train.session import OpenProject
from microtune.train.trainer import (
    DEFAULT_LEARNING_RATE,
    Schedule,
    TrainingPlan,
    check_learning_rate,
)
from microtune.training.tasks.regress import squared_errors

_UNTAUGHT = (
    "as compiled the head is all zeros, so that every output is 0: train, and give what was learnt "
    "with --load FILE"
)


@dataclass(frozen=True)
class Values:
    """What the network answers to samples, in their order: `outputs`, float64 (N, outputs), in
    units of the target. `frames` are the samples as the device gets them, int8 (N, height, width,
    channels)."""

    samples: tuple[str, ...]
    outputs: npt.NDArray[np.float64]
    frames: Array = field(repr=False, compare=False)

    @property
    def anomaly_scores(self) -> npt.NDArray[np.float64]:
        """How far each answer of an auto-encoder is from its sample, mean squared error, (N,).

        Raises MicrotuneError if there are not as many outputs as values in a sample.
        """
        size = int(np.prod(self.frames.shape[1:]))
        if self.outputs.shape[1] != size:
            raise MicrotuneError(
                f"a network of {self.outputs.shape[1]} outputs for {size} inputs is no "
                "auto-encoder, and has no anomaly score"
            )
        scores: npt.NDArray[np.float64] = squared_errors(self.outputs, self.frames).mean(axis=1)
        return scores

    def to_json(self) -> dict[str, Any]:
        """The fields of `predict --json`."""
        rows = zip(self.samples, self.outputs.tolist(), strict=True)
        return {"samples": [{"sample": name, "outputs": row} for name, row in rows]}


@dataclass(frozen=True)
class Regression:
    """A folder that `compile` has written with `outputs`; `Project.regression` makes it."""

    path: Path

    @staticmethod
    def of(opened: OpenProject) -> Regression:
        """Raises MicrotuneError for a classifier."""
        require_values(opened)
        return Regression(opened.path)

    @public
    def train(
        self,
        data: Place,
        *,
        epochs: int = 10,
        steps: int | None = None,
        lr: float = DEFAULT_LEARNING_RATE,
        lr_schedule: Schedule = "cosine",
        seed: int | None = None,
        on: BackEnd = "host",
        save: Place | None = None,
        load: Place | None = None,
        anew: bool = False,
        debug: bool = False,
        latents: bool = False,
        progress: OnProgress | None = None,
        note: OnNote | None = None,
    ) -> RegressionReport:
        """Train the compiled network to answer targets, with mean squared error.

        Args:
            data: an .npz with the array `target`; for an auto-encoder any data (docs/data.md).
            epochs: as all other options those of `Project.train`.
            steps: stop after so many steps.
            lr: learning rate per sample, 0 to 1,024.
            lr_schedule: "cosine" or "constant".
            seed: order of the samples and rounding.
            on: "host", "qemu" or "numpy"; the bits are the same.
            save: write what was learnt here.
            load: go on from what `save` or a device's mt_save wrote.
            anew: with `load`: a new run from what was learnt.
            debug: stop where an accumulator overflows.
            latents: run the frozen layers once a sample (on the host).
            progress: is told how far the work is.
            note: is told lines that the user should know.

        Returns:
            Errors epoch by epoch, beside that of always answering the mean target.

        Raises:
            MicrotuneError: data that do not fit the project, a file that cannot be read or written.
        """
        reporter, place = Reporter(progress, note), as_path("data", data)
        check_learning_rate(real("lr", lr))
        state, learnt = maybe_path("save", save), maybe_path("load", load)
        choice("on", on, BackEnd)
        check_options([], seed, on, state, learnt, anew=anew, latents=latents, augment=None)
        check_places({"--save": state}, {"--data": place, "--load": learnt}, self.path)
        with reporter.stage("reading samples") as update:
            session = open_regression(self.path, place, on, update, learnt, reporter.note)
        plan = TrainingPlan(
            whole("epochs", epochs, 1), float(lr), choice("lr_schedule", lr_schedule, Schedule),
            run_seed(session, seed), None if steps is None else whole("steps", steps, 1),
        )  # fmt: skip
        plan = session.resume(plan, anew=anew)
        tell_rate(session, plan, learnt, reporter)
        with going_on(session, state, reporter) as update:
            report = session.run(run_regression, plan, update, state, debug=debug, latents=latents)
        reporter.warn(report.warnings)
        return report

    @public
    def evaluate(
        self,
        data: Place,
        *,
        load: Place | None = None,
        split: SplitName = "test",
        on: BackEnd = "host",
        progress: OnProgress | None = None,
        note: OnNote | None = None,
    ) -> RegressionOutcome:
        """The mean squared error on a split, as compiled or as learnt (`load`).

        The arguments are those of `train` and of `Project.evaluate`. Raises MicrotuneError for data
        or a file that do not fit the project, and without such samples.
        """
        reporter, learnt = Reporter(progress, note), maybe_path("load", load)
        place = as_path("data", data)
        choice("split", split, SplitName)
        choice("on", on, BackEnd)
        self._tell_untaught(learnt, reporter)
        with reporter.stage(f"evaluating on {on}") as update:
            return evaluate_regression(self.path, place, split, on, learnt, update, reporter.note)

    @public
    def predict(
        self,
        samples: Place | Sequence[Place] | Array,
        *,
        load: Place | None = None,
        on: BackEnd = "host",
        dump: Place | None = None,
        progress: OnProgress | None = None,
        note: OnNote | None = None,
    ) -> Values:
        """The outputs for samples: .npy files, images, or int8 frames (N, height, width, channels).

        The arguments are those of `Project.predict`. Raises MicrotuneError for a sample that cannot
        be read and for a file that does not fit the project.
        """
        reporter, opened = Reporter(progress, note), OpenProject.read(self.path)
        state = maybe_path("load", load)
        choice("on", on, BackEnd)
        learnt = opened.learnt(state)
        found = read_samples(opened, "samples", samples, maybe_path("dump", dump), state, reporter)
        self._tell_untaught(state, reporter)
        with reporter.stage(f"predicting on {on}") as update:
            outputs = np.stack(list(answer(opened, found.frames, on, learnt, update)))
        return Values(tuple(found.names), outputs, found.frames)

    def _tell_untaught(self, load: Path | None, reporter: Reporter) -> None:
        if load is None and OpenProject.read(self.path).is_untaught:
            reporter.note(_UNTAUGHT)
