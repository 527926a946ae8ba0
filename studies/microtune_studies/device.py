"""A run of the generated C on this machine: device arithmetic, batch 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from microtune import pipeline
from microtune.data import Split
from microtune.data.image.augment import NONE, parse_augmentation
from microtune.ir.graph import Graph
from microtune.memory.latent import latent_cut
from microtune.run.builds import (
    FLAGS,
    UNLIMITED,
    compiled,
    frames_sha256,
    host_runner,
    kept_latents,
)
from microtune.run.runners import HostRunner
from microtune.targets import load_target
from microtune.train.trainer import TrainingPlan, evaluate_accuracy, run_training
from microtune.training.build import Formats
from microtune_studies.domains import DOMAINS, changed
from microtune_studies.overlay import rule_flags, study_overlay
from microtune_studies.runs import Result, Run
from microtune_studies.sources import Sources

_PIECES = 8  # of a stream: accuracy is measured after each


def request_of(run: Run, classes: int) -> pipeline.Request:
    """The compile request of a run on the device, without a budget."""
    formats = Formats(
        "int16" if run.bias == "int16" else "int32", "float32" if run.head == "float32" else "int16"
    )
    chip = load_target("cortex-m7")
    return pipeline.Request(
        classes, run.scheme, chip, UNLIMITED, UNLIMITED, formats, replay_bytes=run.replay_bytes
    )


def run_device(run: Run, sources: Sources) -> Result:
    """Compile, train, and evaluate after the last epoch or along the stream."""
    classes, train, asked = sources.splits(run)
    first = "" if run.then_lr else run.rule
    runner, graph = _runner(run, sources, len(classes), first)
    train = _few(train, run.per_class, run.seed)
    if run.order == "class by class":
        train = _class_by_class(train, run.seed)
    prepare = _preparation(run, runner, graph, sources)
    result = _learn(run, runner, graph, prepare(train), prepare(asked))
    if run.then_lr:
        last, _ = _runner(run, sources, len(classes), run.rule)
        last.library.load(runner.saved())
        return _go_on(
            run, last, graph, result, _preparation(run, last, graph, sources), train, asked
        )
    return _follow(run, runner, graph, result, train, asked, prepare) if run.domain else result


def _preparation(
    run: Run, runner: HostRunner, graph: Graph, sources: Sources
) -> Callable[[Split], Split]:
    """A function that turns frames into latents, each image once for all runs.

    Frames are kept as they are if no layer is frozen before the trained ones, or if every step
    changes them.
    """
    if latent_cut(graph) is None or run.augment:
        return lambda split: split
    model = sources.model(run.model).sha256()
    return lambda split: kept_latents(
        runner, graph, split, (model, frames_sha256(split)), sources.cache
    )


def _runner(run: Run, sources: Sources, classes: int, rule: str) -> tuple[HostRunner, Graph]:
    flags, overlay = (*FLAGS, *rule_flags(rule)), study_overlay() if rule else None
    request, model = request_of(run, classes), sources.model(run.model)
    folder = compiled(model, request, flags, sources.cache, overlay)
    return host_runner(folder, run.seed, flags)


def _go_on(
    run: Run, runner: HostRunner, graph: Graph, before: Result,
    prepare: Callable[[Split], Split], train: Split, asked: Split,
) -> Result:  # fmt: skip
    """Train one more epoch at a constant rate."""
    plan = replace(_plan(run), epochs=1, learning_rate=run.then_lr, schedule="constant")
    report = run_training(runner, graph, plan, prepare(train), prepare(asked))
    predicted = [] if report.predictions is None else report.predictions.tolist()
    after = replace(before, predicted=predicted, train_loss=report.epochs[-1].train_loss)
    curve = [[0.0, before.accuracy], [float(report.steps), after.accuracy]]
    return replace(after, curve=curve, parameters_sha256=report.parameters_sha256)


def _plan(run: Run) -> TrainingPlan:
    return TrainingPlan(
        run.epochs, run.lr, run.schedule, run.seed, evaluate="at-the-end", rehearse=run.rehearse,
        shuffled=run.order == "shuffled",
        augmentation=parse_augmentation(run.augment) if run.augment else NONE,
    )  # fmt: skip


def _learn(run: Run, runner: HostRunner, graph: Graph, train: Split, asked: Split) -> Result:
    report = run_training(runner, graph, _plan(run), train, asked)
    predicted = [] if report.predictions is None else report.predictions.tolist()
    return Result(
        run, predicted, asked.labels.tolist(), report.epochs[-1].train_loss, report.seconds,
        report.parameters_sha256,
    )  # fmt: skip


def _class_by_class(split: Split, seed: int) -> Split:
    """All samples of one class after the other; the seed decides the order of the classes."""
    places = np.random.default_rng(seed).permutation(int(split.labels.max()) + 1)
    return split.take(np.argsort(places[split.labels], kind="stable"))


def _few(split: Split, per_class: int, seed: int) -> Split:
    """The same number of samples of every class, drawn by the seed."""
    if per_class == 0:
        return split
    random = np.random.default_rng(seed)
    chosen = [
        random.permutation(np.flatnonzero(split.labels == label))[:per_class]
        for label in range(int(split.labels.max()) + 1)
    ]
    return split.take(np.sort(np.concatenate(chosen)))


def _follow(
    run: Run, runner: HostRunner, graph: Graph, before: Result, train: Split, asked: Split,
    prepare: Callable[[Split], Split],
) -> Result:  # fmt: skip
    """Train once on the stream of changed images, at a constant rate."""
    change = DOMAINS[run.domain]
    order = np.random.default_rng(run.seed).permutation(len(train.labels))
    stream = prepare(changed(train.take(order), change))
    old, new = prepare(asked), prepare(changed(asked, change))
    plan = replace(_plan(run), epochs=1, schedule="constant", shuffled=False)
    curve = [_row(0, runner, old, new)]
    for part in np.array_split(np.arange(len(order)), _PIECES):
        run_training(runner, graph, plan, stream.take(part), None)
        curve.append(_row(int(part[-1]) + 1, runner, old, new))
    predicted = [int(c) for split in (old, new) for c in evaluate_accuracy(runner, split)[1]]
    labels = [*before.labels, *before.labels]
    return replace(before, predicted=predicted, labels=labels, curve=curve)


def _row(samples: int, runner: HostRunner, old: Split, new: Split) -> list[float]:
    return [samples, *(100 * evaluate_accuracy(runner, split)[0] for split in (old, new))]
