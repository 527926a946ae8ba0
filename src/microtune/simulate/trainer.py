"""The training run: order of samples, schedules, epochs, canonical hashes.

Every back end gets the same stream of records: for each epoch the training samples in the epoch's
order, then (at the end of each epoch) the test samples.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from microtune.datasets import Split, epoch_order
from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph
from microtune.ir.numerics import NUMERICS_VERSION
from microtune.memory.latent import stored_samples
from microtune.simulate.augment import NONE, Augmentation
from microtune.simulate.canonical import LogitsHash, parameters_sha256
from microtune.simulate.job import Record, RecordKind, RecordResult
from microtune.simulate.runners import NO_REPLAY, Runner

# Chosen on the validation split of clothing10 (docs/accuracy.md).
DEFAULT_LEARNING_RATE = 0.002
# MT_LEARNING_RATE_MAX of the runtime.
MAX_LEARNING_RATE = 1024.0

Schedule = Literal["constant", "cosine"]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TrainingPlan:
    """What to run. `steps` stops anywhere; `evaluate` says when the test split is run; `rehearse`
    steps on stored samples follow each step on a new one, and are not counted in `steps`. Samples
    that are not `shuffled` come as the split has them."""

    epochs: int
    learning_rate: float
    schedule: Schedule
    seed: int
    steps: int | None = None
    evaluate: Literal["each epoch", "at the end"] = "each epoch"
    rehearse: int = 0
    shuffled: bool = True
    augmentation: Augmentation = NONE

    def evaluates(self, step: int, samples: int) -> bool:
        """Whether the test split is run when `step` steps are done."""
        last = step == self.total_steps(samples)
        return last or (self.evaluate == "each epoch" and step % samples == 0)

    def order(self, samples: int, epoch: int) -> list[int]:
        """Indices of an epoch's samples."""
        if not self.shuffled:
            return list(range(samples))
        return [int(index) for index in epoch_order(samples, self.seed, epoch)]

    def total_steps(self, samples: int) -> int:
        """Training steps of the whole run; the schedule always spans all epochs."""
        full = self.epochs * samples
        return full if self.steps is None else min(self.steps, full)


@dataclass
class Epoch:
    """Figures of one epoch; the accuracies are fractions, the loss is in nats."""

    train_loss: float
    train_accuracy: float
    test_accuracy: float | None


@dataclass
class TrainingReport:
    """What `train` prints and writes as JSON."""

    plan: TrainingPlan
    steps: int = 0
    seconds: float = 0.0
    epochs: list[Epoch] = field(default_factory=list)
    parameters_sha256: str = ""
    logits_sha256: str = ""
    predictions: Array | None = None
    classes: int = 0

    @property
    def diverged(self) -> bool:
        """Whether the last epoch's mean loss is above that of guessing, ln(classes)."""
        return bool(self.epochs) and not self.epochs[-1].train_loss <= math.log(self.classes)

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy on the test split after the last epoch (never the best one)."""
        return self.epochs[-1].test_accuracy if self.epochs else None

    def to_json(self) -> dict[str, Any]:
        """The fields that `--json` promises."""
        return {
            "epochs": [vars(epoch) for epoch in self.epochs],
            "test_accuracy": self.test_accuracy, "diverged": self.diverged, "steps": self.steps,
            "seconds": round(self.seconds, 3), "seed": self.plan.seed,
            "lr": self.plan.learning_rate, "lr_schedule": self.plan.schedule,
            "numerics_version": NUMERICS_VERSION, "parameters_sha256": self.parameters_sha256,
            "logits_sha256": self.logits_sha256,
        }  # fmt: skip


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation of a sample (of one value: 0)."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def seeds_json(reports: Sequence[TrainingReport]) -> dict[str, Any]:
    """Every run as `to_json` has it, and mean and deviation of the test accuracy if it is known."""
    known = [r.test_accuracy for r in reports if r.test_accuracy is not None]
    mean, deviation = mean_and_deviation(known) if known else (None, None)
    return {
        "runs": [report.to_json() for report in reports],
        "test_accuracy_mean": mean, "test_accuracy_deviation": deviation,
    }  # fmt: skip


def learning_rate(plan: TrainingPlan, step: int, total: int) -> float:
    """float32 learning rate of a step; the cosine ends at zero after `total` steps."""
    if plan.schedule == "constant":
        return float(np.float32(plan.learning_rate))
    return float(np.float32(plan.learning_rate * 0.5 * (1 + math.cos(math.pi * step / total))))


def training_records(plan: TrainingPlan, train: Split, test: Split | None) -> Iterator[Record]:
    """The stream of records of a run."""
    samples = len(train.labels)
    planned, total = plan.epochs * samples, plan.total_steps(samples)
    step = 0
    while step < total:
        for index in plan.order(samples, step // samples)[: total - step]:
            rate = learning_rate(plan, step, planned)
            kind = RecordKind.TRAIN_KEEP if plan.rehearse else RecordKind.TRAIN
            label = int(train.labels[index])
            yield Record(kind, train.frames[index], label, rate, plan.augmentation)
            yield from (Record(RecordKind.REHEARSE, None, 0, rate) for _ in range(plan.rehearse))
            step += 1
        if test is not None and plan.evaluates(step, samples):
            yield from (Record(RecordKind.INFER, f) for f in test.frames)


def check_learning_rate(rate: float) -> None:
    """Raise MicrotuneError for a rate that the device refuses."""
    if not 0 <= rate <= MAX_LEARNING_RATE:
        raise MicrotuneError(
            f"learning rate {rate}: it must lie between 0 and {MAX_LEARNING_RATE:g}"
        )


def check_classes(split: Split, classes: int) -> None:
    """Raise MicrotuneError if a label does not fit the compiled head."""
    if len(split.labels) == 0:
        raise MicrotuneError("the data has no training images")
    largest = int(split.labels.max())
    if largest >= classes:
        raise MicrotuneError(
            f"the data has {largest + 1} classes, the project was compiled for {classes}; "
            f"compile again with --classes {largest + 1}"
        )


def run_training(
    runner: Runner, graph: Graph, plan: TrainingPlan, train: Split, test: Split | None,
    on_progress: Progress | None = None,
) -> TrainingReport:  # fmt: skip
    """Train and evaluate; `graph` is the project's training graph (for the canonical hash)."""
    check_learning_rate(plan.learning_rate)
    if plan.rehearse and not stored_samples(graph):
        raise MicrotuneError(NO_REPLAY)
    classes = graph.tensors["logits"].shape[1]
    check_classes(train, classes)
    samples = len(train.labels)
    total = plan.total_steps(samples)
    report, tally, logits = TrainingReport(plan, classes=classes), _Tally(), LogitsHash()
    order = _labels_in_order(plan, train)
    start = time.monotonic()
    for result in runner.run(training_records(plan, train, test)):
        if result.kind is RecordKind.REHEARSE:
            logits.update(result.logits)
        elif result.kind is not RecordKind.INFER:
            logits.update(result.logits)
            tally.train(result, next(order))
            report.steps += 1
            end = report.steps % samples == 0 or report.steps == total
            if end and (test is None or not plan.evaluates(report.steps, samples)):
                report.epochs.append(tally.close(None))
        else:
            tally.predictions.append(result.predicted)
            if test is not None and len(tally.predictions) == len(test.labels):
                report.predictions = np.array(tally.predictions)
                report.epochs.append(tally.close(test))
        if on_progress is not None:
            on_progress(report.steps, total, tally.text())
    report.seconds = time.monotonic() - start
    report.parameters_sha256 = parameters_sha256(graph, runner.parameters())
    report.logits_sha256 = logits.hexdigest()
    return report


def _labels_in_order(plan: TrainingPlan, train: Split) -> Iterator[int]:
    for epoch in range(plan.epochs):
        yield from train.labels[plan.order(len(train.labels), epoch)].tolist()


class _Tally:
    """Running figures of the epoch under way."""

    def __init__(self) -> None:
        self.loss, self.correct, self.count = 0.0, 0, 0
        self.predictions: list[int] = []

    def train(self, result: RecordResult, label: int) -> None:
        self.loss += result.loss_q16 / 65536
        self.correct += result.predicted == label
        self.count += 1

    def text(self) -> str:
        return f"loss {self.loss / self.count:.3f}" if self.count else ""

    def close(self, test: Split | None) -> Epoch:
        accuracy = None
        if test is not None:
            accuracy = float(np.mean(np.array(self.predictions) == test.labels))
        epoch = Epoch(self.loss / max(self.count, 1), self.correct / max(self.count, 1), accuracy)
        self.__init__()  # type: ignore[misc]
        return epoch


def evaluate_accuracy(runner: Runner, test: Split) -> tuple[float, Array]:
    """(accuracy, predictions) of the runner's present parameters."""
    records = (Record(RecordKind.INFER, f) for f in test.frames)
    predictions = np.array([r.predicted for r in runner.run(records)])
    return float(np.mean(predictions == test.labels)), predictions
