"""Small real projects for the tests: the embedded model, compiled."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from microtune import embedded, pipeline
from microtune.data import Preprocessing, Split, open_dataset
from microtune.importers import load_any
from microtune.ir.modelfile import ModelFile
from microtune.project.project import Project
from microtune.run.canonical import LogitsHash, parameters_sha256
from microtune.run.runners import Runner
from microtune.targets import load_target
from microtune.train.trainer import TrainingPlan, training_records
from microtune.training.build import Formats
from microtune.training.head_origin import NEW, HeadOrigin
from microtune.training.optimisers import DEFAULT_OPTIMIZER, Optimizer
from microtune.training.scheme import Scheme
from microtune.training.tasks import CLASSIFY, Task

SRAM, FLASH = 256 * 1024, 1024 * 1024


def compile_project(
    folder: Path, scheme: str | Scheme, formats: Formats | None = None,
    model: ModelFile | None = None, classes: int = 5, sram: int = SRAM,
    input_mode: pipeline.InputMode = "resident",
    schedule: pipeline.Schedule = "stream", target: str = "cortex-m7", replay: int = 0,
    prefix: str = "", task: Task = CLASSIFY, optimizer: Optimizer = DEFAULT_OPTIMIZER,
    head: HeadOrigin = NEW,
) -> Project:  # fmt: skip
    """Compile a model (the embedded one by default), for the Cortex-M7 by default."""
    request = pipeline.Request(
        classes, scheme, load_target(target), sram, FLASH, formats or Formats(),
        input_mode, schedule, replay, prefix=prefix, task=task, optimizer=optimizer,
        head=head,
    )  # fmt: skip
    return pipeline.compile_model(model or load_any(embedded.MODEL), request, folder)


def load_train(data: Path, model: ModelFile) -> Split:
    """The training split as the device gets it, decoded once for all tests: nobody may write."""
    return _train_split(data, json.dumps(model.preprocessing))


@cache
def _train_split(data: Path, preprocessing: str) -> Split:
    split = open_dataset(data).load("train", Preprocessing.from_json(json.loads(preprocessing)))
    split.frames.flags.writeable = False
    return split


def hashes(runner: Runner, project: Project, train: Split, steps: int) -> tuple[str, str]:
    """(parameters, logits) after the first steps of a run with seed 0."""
    plan = TrainingPlan(1, 0.01, "constant", 0, steps)
    logits = LogitsHash()
    for result in runner.run(training_records(plan, train, None)):
        logits.update(result.logits)
    return parameters_sha256(project.graph, runner.parameters()), logits.hexdigest()
