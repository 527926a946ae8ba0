"""Train, evaluate and ask a regression: mean squared error instead of classes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.data import Split
from microtune.data.targets import describe, load_values, open_values
from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph
from microtune.ir.numerics import NUMERICS_VERSION
from microtune.project.learnt import Learnt
from microtune.run.canonical import LogitsHash, parameters_sha256, real_outputs
from microtune.run.job import Call, Record
from microtune.run.runners import BackEnd, Runner, make_runner
from microtune.train.anomaly import AnomalyScores, anomaly_scores
from microtune.train.session import OpenProject, Session
from microtune.train.trainer import (
    Progress,
    TrainingPlan,
    check_learning_rate,
    check_steps_left,
    training_records,
)
from microtune.training.tasks import REGRESS, target_codes

_Q16 = 65536.0


@dataclass
class ValueEpoch:
    """Mean squared errors of an epoch: of its training steps, and of the test split after it
    (None: not evaluated)."""

    train_loss: float
    test_loss: float | None


@dataclass
class RegressionReport:
    """The results of training a regression; errors are mean squared errors.

    `loss_of_guessing` is that of always answering the mean target of the test split, and
    `train_loss_of_guessing` that of the training split. `steps` counts those before this run too.
    `anomaly` has the scores of the test samples after the last epoch; None without them, or if the
    network is no auto-encoder.
    """

    plan: TrainingPlan
    outputs: int
    train_loss_of_guessing: float
    loss_of_guessing: float | None
    steps: int = 0
    seconds: float = 0.0
    epochs: list[ValueEpoch] = field(default_factory=list)
    parameters_sha256: str = ""
    outputs_sha256: str = ""
    anomaly: AnomalyScores | None = None

    @property
    def test_loss(self) -> float | None:
        """The error on the test split after the last epoch; None without one."""
        return self.epochs[-1].test_loss

    @property
    def warnings(self) -> list[str]:
        """That the last epoch was worse than always answering the mean target, if it was."""
        loss, guessing = self.epochs[-1].train_loss, self.train_loss_of_guessing
        if loss <= guessing:
            return []
        return [
            f"the last epoch's mean squared error, {loss:.4f}, is above that of always answering "
            f"the mean target, {guessing:.4f}: more --epochs, or another --lr"
        ]

    def to_json(self) -> dict[str, Any]:
        """The fields of `train --json`."""
        return {
            "task": REGRESS.name, "outputs": self.outputs,
            "epochs": [vars(epoch) for epoch in self.epochs],
            "test_loss": self.test_loss, "loss_of_guessing": self.loss_of_guessing,
            "train_loss_of_guessing": self.train_loss_of_guessing, "steps": self.steps,
            "steps_before": self.plan.done, "seconds": round(self.seconds, 3),
            "seed": self.plan.seed, "lr": self.plan.learning_rate,
            "lr_schedule": self.plan.schedule, "numerics_version": NUMERICS_VERSION,
            "anomaly": _anomaly_json(self.anomaly),
            "parameters_sha256": self.parameters_sha256, "logits_sha256": self.outputs_sha256,
        }  # fmt: skip


@dataclass(frozen=True)
class RegressionOutcome:
    """The error of a regression on a split.

    `test_loss` is the mean squared error, `loss_of_guessing` that of always answering the mean
    target of the split. `outputs` are the network's answers, float64 (N, outputs), `targets` their
    codes, int8 (N, outputs). `anomaly` has the score of each sample; None if the network is no
    auto-encoder.
    """

    split: str
    test_loss: float
    loss_of_guessing: float
    outputs: npt.NDArray[np.float64] = field(repr=False, compare=False)
    targets: npt.NDArray[np.int8] = field(repr=False, compare=False)
    anomaly: AnomalyScores | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields of `evaluate --json`."""
        return {
            "task": REGRESS.name, "split": self.split, "samples": len(self.targets),
            "outputs": self.targets.shape[1], "test_loss": self.test_loss,
            "loss_of_guessing": self.loss_of_guessing, "anomaly": _anomaly_json(self.anomaly),
        }  # fmt: skip


def _anomaly_json(found: AnomalyScores | None) -> dict[str, Any] | None:
    return None if found is None else found.to_json()


def open_regression(
    project: Path, data: Path, back_end: BackEnd, progress: Progress, load: Path | None,
    note: Callable[[str], None],
) -> Session:  # fmt: skip
    """The project with its training and test samples and their targets; `note` is told what there
    is to say of the data. Raises MicrotuneError for data that do not fit the project."""
    opened = _read(project)
    if not opened.graph.updates:
        raise MicrotuneError(f"{project} was compiled with scheme none: nothing to train")
    learnt = opened.learnt(load)
    train, test = _load(opened, data, ("train", "test"), progress, note)
    if len(train.labels) == 0:
        raise MicrotuneError(f"{data}: no training samples (test is true for all)")
    return Session(
        project, opened.graph, back_end, train, test if len(test.labels) else None, (), learnt,
        None, opened.modality,
    )  # fmt: skip


def run_regression(
    runner: Runner, graph: Graph, plan: TrainingPlan, train: Split, test: Split | None,
    on_progress: Progress | None = None, on_epoch: Callable[[], None] | None = None,
) -> RegressionReport:  # fmt: skip
    """Train by a plan and evaluate: `run_training` for splits with targets. Raises MicrotuneError
    for a plan that cannot be run."""
    check_learning_rate(plan.learning_rate)
    samples = len(train.labels)
    check_steps_left(plan, samples)
    total, report = plan.total_steps(samples), _new_report(plan, graph, train, test)
    loss, steps = 0.0, 0
    answers: list[Array] = []
    digest, start = LogitsHash(), time.monotonic()
    for result in runner.run(training_records(plan, train, test)):
        ends = False
        if result.call == Call.INFER:
            answers.append(real_outputs(graph, result.logits))
            ends = test is not None and len(answers) == len(test.labels)
        else:
            digest.update(result.logits)
            loss, steps = loss + result.loss_q16 / _Q16, steps + 1
            report.steps += 1
            last = report.steps % samples == 0 or report.steps == total
            ends = last and (test is None or not plan.evaluates(report.steps, samples))
        if on_progress is not None:
            on_progress(report.steps, total, f"loss {loss / steps:.4f}")
        if ends:
            report.epochs.append(ValueEpoch(loss / steps, _error(answers, test)))
            if answers and test is not None:
                report.anomaly = anomaly_scores(np.stack(answers), test)
            loss, steps, answers = 0.0, 0, []
            if on_epoch is not None:
                on_epoch()
    report.seconds = time.monotonic() - start
    report.parameters_sha256 = parameters_sha256(graph, runner.parameters())
    report.outputs_sha256 = digest.hexdigest()
    return report


def evaluate_regression(
    project: Path, data: Path, split: str, on: BackEnd, load: Path | None, progress: Progress,
    note: Callable[[str], None],
) -> RegressionOutcome:  # fmt: skip
    """The error on a split, as compiled or with the trained state `load`. Raises MicrotuneError for
    a project, state or data that cannot be used."""
    opened = _read(project)
    learnt = opened.learnt(load)
    (found,) = _load(opened, data, (split,), progress, note)
    if found.targets is None or len(found.targets) == 0:
        raise MicrotuneError(f"{data} has no {split} samples")
    outputs = np.stack(list(answer(opened, found.frames, on, learnt, progress)))
    guessing = REGRESS.loss_of_guessing(found.targets, opened.classes)
    error = REGRESS.score(outputs, found.targets)
    scores = anomaly_scores(outputs, found)
    return RegressionOutcome(split, error, guessing, outputs, found.targets, scores)


def answer(
    opened: OpenProject, frames: Array, on: BackEnd, learnt: Learnt | None, progress: Progress
) -> Iterator[npt.NDArray[np.float64]]:
    """The outputs for each of the int8 frames (N, H, W, C), float64 (outputs,)."""
    runner = make_runner(
        opened.path, on, 0, lambda done, total: progress(done, total, ""), learnt=learnt
    )
    for done, result in enumerate(runner.run(Record(Call.INFER, frame) for frame in frames)):
        if on != "qemu":
            progress(done + 1, len(frames), "")
        yield real_outputs(opened.graph, result.logits)


def require_values(opened: OpenProject) -> None:
    """Raise MicrotuneError unless the project is a regression."""
    if not target_codes(opened.graph):
        raise MicrotuneError(
            f"{opened.path} learns classes, not values: compile it with --outputs for a regression"
        )


def _read(project: Path) -> OpenProject:
    opened = OpenProject.read(project)
    require_values(opened)
    return opened


def _load(
    opened: OpenProject, data: Path, splits: tuple[str, ...], progress: Progress,
    note: Callable[[str], None],
) -> list[Split]:  # fmt: skip
    """The splits with their targets; `note` is told about them."""
    dataset = open_values(data)
    found = [
        load_values(
            dataset, split, opened.modality, opened.classes,
            lambda done, total: progress(done, total, ""),
        )
        for split in splits
    ]  # fmt: skip
    for line in describe(dataset, found):
        note(f"{data}: {line}")
    return found


def _new_report(
    plan: TrainingPlan, graph: Graph, train: Split, test: Split | None
) -> RegressionReport:
    count = graph.output_tensor.elements
    train_guessing, guessing = (_guessing(split, count) for split in (train, test))
    assert train_guessing is not None
    return RegressionReport(plan, count, train_guessing, guessing, plan.done)


def _guessing(split: Split | None, count: int) -> float | None:
    if split is None or split.targets is None:
        return None
    return REGRESS.loss_of_guessing(split.targets, count)


def _error(answers: list[Array], test: Split | None) -> float | None:
    if test is None or test.targets is None or not answers:
        return None
    return REGRESS.score(np.stack(answers), test.targets)
