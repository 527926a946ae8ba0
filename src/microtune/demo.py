"""`microtune demo`: the whole way on the embedded model, told as it happens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from microtune import embedded, pipeline
from microtune.data import Preprocessing, Split, open_dataset
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array
from microtune.ir.ops.head import head_of
from microtune.measure.measure import measure
from microtune.project.project import Project
from microtune.report.console import console, progress
from microtune.report.pictures import save_predictions
from microtune.run.emulator import find_qemu
from microtune.run.runners import BackEnd, make_runner
from microtune.targets import load_target
from microtune.tools.toolchain import find_arm_gcc
from microtune.train.trainer import (
    TrainingPlan,
    TrainingReport,
    evaluate_accuracy,
    run_training,
)

SCHEME = "last-13"
SEED = 0
LEARNING_RATE = 0.02
TARGET = "cortex-m7"
SRAM, FLASH = 256 * 1024, 1024 * 1024


@dataclass(frozen=True)
class Runs:
    """What the demo ran: the same training on host and chip, and head-only beside it."""

    host: TrainingReport
    chip: TrainingReport | None
    head_only: TrainingReport
    probe_accuracy: float
    before: float
    before_predictions: Array


def run_demo(output: Path, epochs: int) -> None:
    """Compile, train on the chip and on the host, compare, draw; results go to `output`."""
    model = load_any(embedded.MODEL)
    dataset = open_dataset(embedded.DATA)
    preprocessing = Preprocessing.from_json(model.preprocessing)
    train, test = dataset.load("train", preprocessing), dataset.load("test", preprocessing)
    console.print(
        f"A network that has only seen {', '.join(model.classes)} learns "
        f"{', '.join(dataset.classes)} from {len(train.labels)} images."
    )
    missing = missing_tools()
    chip = not missing
    for problem in missing:
        console.print(f"The chip's part is skipped: {problem}")
    request = pipeline.Request(len(dataset.classes), SCHEME, load_target(TARGET), SRAM, FLASH)
    project = pipeline.compile_model(model, request, output / "project")
    head_only = pipeline.Request(len(dataset.classes), "head-only", request.target, SRAM, FLASH)
    baseline = pipeline.compile_model(model, head_only, output / "head-only")
    plan = TrainingPlan(epochs, LEARNING_RATE, "cosine", SEED, evaluate="at the end")
    host = _train(project, output / "project", "host", plan, train, test)
    before, before_predictions = _before(output / "project", test)
    runs = Runs(
        host=host,
        chip=_train(project, output / "project", "qemu", plan, train, test) if chip else None,
        head_only=_train(baseline, output / "head-only", "host", plan, train, test),
        probe_accuracy=linear_probe(project, train, test),
        before=before,
        before_predictions=before_predictions,
    )
    figures = measure(output / "project").to_json() if chip else {}
    console.print(_table(runs, figures))
    _verdict(runs)
    picture = output / "predictions.png"
    after = (runs.chip or runs.host).predictions
    if after is not None:
        save_predictions(picture, test, dataset.classes, runs.before_predictions, after)
        console.print(f"Predictions before and after: {picture}")


def missing_tools() -> list[str]:
    """What keeps the emulated chip from running, in words for the user."""
    problems = []
    for find in (find_arm_gcc, find_qemu):
        try:
            find()
        except MicrotuneError as error:
            problems.append(str(error))
    return problems


def _train(
    project: Project, folder: Path, on: BackEnd, plan: TrainingPlan, train: Split, test: Split
) -> TrainingReport:
    place = "the emulated chip" if on == "qemu" else "the host"
    title = f"training {project.scheme_name} on {place}"
    with progress(title) as bar:
        if on == "qemu":
            runner = make_runner(folder, on, plan.seed, lambda done, total: bar(done, total, ""))
            return run_training(runner, project.graph, plan, train, test)
        runner = make_runner(folder, on, plan.seed)
        return run_training(runner, project.graph, plan, train, test, bar)


def _before(folder: Path, test: Split) -> tuple[float, Array]:
    """Accuracy of the untrained head: what the device knows when it is switched on."""
    return evaluate_accuracy(make_runner(folder, "host", SEED), test)


def linear_probe(project: Project, train: Split, test: Split) -> float:
    """Test accuracy of a logistic regression on the frozen network's pooled features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    graph = project.model.graph
    features = head_of(project.graph).x

    def pooled(split: Split) -> Array:
        rows = [
            evaluate(graph, {graph.signature.input: frame[None]}, keep={features})[features].ravel()
            for frame in split.frames
        ]
        return np.array(rows, dtype=np.float64)

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    probe.fit(pooled(train), train.labels)
    return float(probe.score(pooled(test), test.labels))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _table(runs: Runs, figures: dict[str, Any]) -> Table:
    table = Table(title="What the device learnt", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    place = "emulated Cortex-M7" if runs.chip else "host"
    table.add_row("test accuracy before", _percent(runs.before))
    table.add_row(
        f"after training on the {place}", _percent((runs.chip or runs.host).test_accuracy)
    )
    table.add_row("head-only, same steps", _percent(runs.head_only.test_accuracy))
    table.add_row("linear probe on the same features", _percent(runs.probe_accuracy))
    for name, label in (
        ("sram_bytes", "SRAM, bytes"), ("flash_bytes", "flash, bytes"),
        ("infer_instructions", "instructions, one inference"),
        ("train_instructions", "instructions, one training step"),
    ):  # fmt: skip
        table.add_row(label, f"{figures[name]:,}" if name in figures else "needs the Arm tools")
    table.add_row("host hash", runs.host.parameters_sha256[:16])
    if runs.chip is not None:
        same = runs.chip.parameters_sha256 == runs.host.parameters_sha256
        table.add_row("chip hash", runs.chip.parameters_sha256[:16])
        table.add_row("host hash = chip hash", "yes" if same else "NO")
    return table


def _verdict(runs: Runs) -> None:
    after = (runs.chip or runs.host).test_accuracy or 0.0
    gain = 100 * (after - (runs.head_only.test_accuracy or 0.0))
    if gain > 0:
        console.print(f"Training the backbone helped: {gain:+.1f} points over head-only.")
    else:
        console.print(f"Training the backbone did not help: {gain:+.1f} points over head-only.")
    if runs.chip is not None and (
        runs.chip.parameters_sha256 != runs.host.parameters_sha256
        or runs.chip.logits_sha256 != runs.host.logits_sha256
    ):
        raise MicrotuneError("host and chip differ: that is a bug; please report this output")
