"""The training run: order of samples, schedules, epochs, canonical hashes.

Every back end gets the same stream of records: for each epoch the training samples in the epoch's
order, then (at the end of each epoch) the test samples.

A run that goes on from what was saved is the rest of the same stream: its place is the number of
steps that were done, so the order of samples, the schedule and the random bits are those of a run
without a break.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from microtune.data import Split, epoch_order
from microtune.data.image.augment import NONE, Augmentation
from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph
from microtune.ir.numerics import NUMERICS_VERSION
from microtune.run.canonical import LogitsHash, parameters_sha256
from microtune.run.job import Call, Record, RecordResult
from microtune.run.runners import NO_REPLAY, Runner
from microtune.stats import mean_and_deviation
from microtune.train.balance import balanced_order
from microtune.train.outcome import Outcome, pooled
from microtune.training.tasks import CLASSIFY, task_of

# Chosen on the validation split of clothing10 (docs/accuracy.md).
DEFAULT_LEARNING_RATE = 0.002
# MT_LEARNING_RATE_MAX of the runtime.
MAX_LEARNING_RATE = 1024.0
# The device keeps 32 bits.
MAX_SEED = 2**32 - 1

Schedule = Literal["constant", "cosine"]
EvaluateWhen = Literal["each-epoch", "at-the-end"]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TrainingPlan:
    """How a training run proceeds.

    `steps` ends the run after so many steps. `evaluate` says when the test split is evaluated.
    `rehearse` steps on stored samples follow each step on a new one; they do not count as `steps`.
    Samples that are not `shuffled` come in the split's order. `balance` shows every class equally
    often (`balanced_order`). The run begins after the first `done` steps, which were taken before.
    """

    epochs: int
    learning_rate: float
    schedule: Schedule
    seed: int
    steps: int | None = None
    evaluate: EvaluateWhen = "each-epoch"
    rehearse: int = 0
    shuffled: bool = True
    augmentation: Augmentation = NONE
    balance: bool = False
    done: int = 0

    def evaluates(self, step: int, samples: int) -> bool:
        """Whether the test split is evaluated once `step` steps are done."""
        last = step == self.total_steps(samples)
        return last or (self.evaluate == "each-epoch" and step % samples == 0)

    def order(self, labels: npt.NDArray[np.int32], epoch: int) -> list[int]:
        """Indices of an epoch's samples, as many as there are labels."""
        if self.balance:
            return balanced_order(labels, self.seed, epoch)
        if not self.shuffled:
            return list(range(len(labels)))
        return [int(index) for index in epoch_order(len(labels), self.seed, epoch)]

    def total_steps(self, samples: int) -> int:
        """Training steps of the whole plan; the schedule always spans all epochs."""
        full = self.epochs * samples
        return full if self.steps is None else min(self.steps, full)


@dataclass
class Epoch:
    """The figures of one epoch: accuracies as fractions, the loss in nats."""

    train_loss: float
    train_accuracy: float
    test_accuracy: float | None


@dataclass
class TrainingReport:
    """The results of a training run, as `train` prints them and writes them as JSON.

    `steps` counts the plan's steps, those before this run included. `last_epoch` has labels and
    predictions of the last epoch's training images, `predictions` are those of the test images,
    `outcome` has them by class.
    """

    plan: TrainingPlan
    steps: int = 0
    seconds: float = 0.0
    epochs: list[Epoch] = field(default_factory=list)
    parameters_sha256: str = ""
    logits_sha256: str = ""
    predictions: Array | None = None
    classes: int = 0
    last_epoch: tuple[Array, Array] | None = None
    outcome: Outcome | None = None

    @property
    def loss_of_guessing(self) -> float:
        """The loss of answering every image alike, in nats."""
        return CLASSIFY.loss_of_guessing(np.empty(0), self.classes)

    @property
    def diverged(self) -> bool:
        """Whether the last epoch's mean loss is above that of guessing."""
        return bool(self.epochs) and not self.epochs[-1].train_loss <= self.loss_of_guessing

    @property
    def test_accuracy(self) -> float | None:
        """The accuracy on the test split after the last epoch, not that of the best epoch."""
        return self.epochs[-1].test_accuracy if self.epochs else None

    def to_json(self, *, predictions: bool = False) -> dict[str, Any]:
        """The fields of `--json`; on request with the prediction of every image."""
        by_class = {} if self.outcome is None else self.outcome.to_json(predictions=predictions)
        return {
            "epochs": [vars(epoch) for epoch in self.epochs],
            "test_accuracy": self.test_accuracy, "diverged": self.diverged, "steps": self.steps,
            "seconds": round(self.seconds, 3), "seed": self.plan.seed,
            "lr": self.plan.learning_rate, "lr_schedule": self.plan.schedule,
            "numerics_version": NUMERICS_VERSION, "parameters_sha256": self.parameters_sha256,
            "logits_sha256": self.logits_sha256, "balance": self.plan.balance,
            "steps_before": self.plan.done, **by_class,
        }  # fmt: skip


def seeds_json(reports: Sequence[TrainingReport], *, predictions: bool = False) -> dict[str, Any]:
    """The fields of `--json` of several runs.

    Every run as `to_json` has it, mean and deviation of the test accuracy if it is known, and the
    fields of `Outcome.to_json` of all runs together.
    """
    known = [r.test_accuracy for r in reports if r.test_accuracy is not None]
    mean, deviation = mean_and_deviation(known) if known else (None, None)
    together = pooled([r.outcome for r in reports if r.outcome is not None])
    return {
        "runs": [report.to_json(predictions=predictions) for report in reports],
        "test_accuracy_mean": mean, "test_accuracy_deviation": deviation,
        **({} if together is None else together.to_json()),
    }  # fmt: skip


def learning_rate(plan: TrainingPlan, step: int, total: int) -> float:
    """The learning rate of a step as a float32; a cosine ends at zero after `total` steps."""
    if plan.schedule == "constant":
        return float(np.float32(plan.learning_rate))
    return float(np.float32(plan.learning_rate * 0.5 * (1 + math.cos(math.pi * step / total))))


def training_records(plan: TrainingPlan, train: Split, test: Split | None) -> Iterator[Record]:
    """The records of a run, in order: training steps and evaluations."""
    samples = len(train.labels)
    planned, total = plan.epochs * samples, plan.total_steps(samples)
    step = plan.done
    while step < total:
        epoch, begun = divmod(step, samples)
        for index in plan.order(train.labels, epoch)[begun : begun + total - step]:
            rate = learning_rate(plan, step, planned)
            kind = Call.TRAIN_KEEP if plan.rehearse else Call.TRAIN
            label = int(train.labels[index])
            codes = None if train.targets is None else train.targets[index]
            yield Record(kind, train.frames[index], label, rate, plan.augmentation, codes=codes)
            yield from (Record(Call.REHEARSE, None, 0, rate) for _ in range(plan.rehearse))
            step += 1
        if test is not None and plan.evaluates(step, samples):
            yield from (Record(Call.INFER, f) for f in test.frames)


def check_learning_rate(rate: float) -> None:
    """Raise MicrotuneError for a learning rate that the device refuses."""
    if not 0 <= rate <= MAX_LEARNING_RATE:
        raise MicrotuneError(
            f"learning rate {rate}: it must lie between 0 and {MAX_LEARNING_RATE:g}"
        )


def check_classes(split: Split, classes: int) -> None:
    """Raise MicrotuneError if a label has no class in the compiled head."""
    if len(split.labels) == 0:
        raise MicrotuneError("the data has no training images")
    largest = int(split.labels.max())
    if largest >= classes:
        raise MicrotuneError(
            f"the data has {largest + 1} classes, the project was compiled for {classes}; "
            f"compile again with --classes {largest + 1}"
        )


def _check_plan(plan: TrainingPlan, graph: Graph, train: Split, classes: int) -> None:
    """Raise MicrotuneError for a plan that cannot be run."""
    check_learning_rate(plan.learning_rate)
    if plan.rehearse and not graph.execution.replay_slots:
        raise MicrotuneError(NO_REPLAY)
    check_classes(train, classes)
    check_steps_left(plan, len(train.labels))


def check_steps_left(plan: TrainingPlan, samples: int) -> None:
    """Raise MicrotuneError if all steps of the plan were done before."""
    total = plan.total_steps(samples)
    if plan.done >= total:
        raise MicrotuneError(
            f"all {total:,} steps of this run are done already ({plan.done:,} when it was saved). "
            "--epochs and --steps count the whole run from its beginning: give a larger number, or "
            "--anew to start a new run from what was learnt"
        )


def run_training(
    runner: Runner, graph: Graph, plan: TrainingPlan, train: Split, test: Split | None,
    on_progress: Progress | None = None, on_epoch: Callable[[], None] | None = None,
) -> TrainingReport:  # fmt: skip
    """Train by a plan and evaluate; the report of the run.

    `graph` is the project's training graph, for the hash of the parameters. `on_epoch` is called
    after every epoch. Raises MicrotuneError for a plan that cannot be run.
    """
    classes = task_of(graph).classes(graph.output_tensor.elements)
    _check_plan(plan, graph, train, classes)
    samples = len(train.labels)
    total = plan.total_steps(samples)
    report = TrainingReport(plan, plan.done, classes=classes)
    tally, logits = _Tally(report), LogitsHash()
    order = _labels_in_order(plan, train)
    start = time.monotonic()
    for result in runner.run(training_records(plan, train, test)):
        if result.call == Call.REHEARSE:
            logits.update(result.logits)
        elif result.call != Call.INFER:
            logits.update(result.logits)
            tally.train(result, next(order))
            report.steps += 1
            end = report.steps % samples == 0 or report.steps == total
            if end and (test is None or not plan.evaluates(report.steps, samples)):
                tally.close(None)
        else:
            tally.predictions.append(result.predicted)
            if test is not None and len(tally.predictions) == len(test.labels):
                report.predictions = np.array(tally.predictions)
                tally.close(test)
        if on_epoch is not None and not tally.labels:
            on_epoch()
        if on_progress is not None:
            on_progress(report.steps, total, tally.text())
    report.seconds = time.monotonic() - start
    report.parameters_sha256 = parameters_sha256(graph, runner.parameters())
    report.logits_sha256 = logits.hexdigest()
    return report


def _labels_in_order(plan: TrainingPlan, train: Split) -> Iterator[int]:
    first, begun = divmod(plan.done, len(train.labels))
    for epoch in range(first, plan.epochs):
        yield from train.labels[plan.order(train.labels, epoch)][begun:].tolist()
        begun = 0


class _Tally:
    """The figures of the current epoch."""

    def __init__(self, report: TrainingReport) -> None:
        self._report = report
        self._clear()

    def _clear(self) -> None:
        self.loss = 0.0
        self.labels: list[int] = []
        self.guesses: list[int] = []
        self.predictions: list[int] = []

    def train(self, result: RecordResult, label: int) -> None:
        self.loss += result.loss_q16 / 65536
        self.labels.append(label)
        self.guesses.append(result.predicted)

    def text(self) -> str:
        return f"loss {self.loss / len(self.labels):.3f}" if self.labels else ""

    def close(self, test: Split | None) -> None:
        """Put the epoch into the report and begin the next one."""
        accuracy = None
        if test is not None:
            accuracy = float(np.mean(np.array(self.predictions) == test.labels))
        labels, guesses = np.array(self.labels), np.array(self.guesses)
        right = float(np.mean(labels == guesses))
        self._report.epochs.append(Epoch(self.loss / len(labels), right, accuracy))
        self._report.last_epoch = labels, guesses
        self._clear()


def evaluate_accuracy(
    runner: Runner, test: Split, on_progress: Progress | None = None
) -> tuple[float, Array]:
    """(accuracy as a fraction, predictions, int (N,)) of a split with the present parameters."""
    records = (Record(Call.INFER, f) for f in test.frames)
    predictions = np.empty(len(test.labels), np.int64)
    for done, result in enumerate(runner.run(records)):
        predictions[done] = result.predicted
        if on_progress is not None:
            on_progress(done + 1, len(predictions), "")
    return float(np.mean(predictions == test.labels)), predictions
