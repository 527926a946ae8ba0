"""Small real projects for the tests: the embedded model, compiled."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from microtune import embedded, pipeline
from microtune.data import Preprocessing, Split, open_dataset
from microtune.importers import load_any
from microtune.ir.modelfile import ModelFile
from microtune.project.project import Project
from microtune.run.builds import code_version, digest
from microtune.run.canonical import LogitsHash, parameters_sha256
from microtune.run.runners import Runner
from microtune.targets import load_target
from microtune.tools.objects import OBJECTS
from microtune.train.trainer import TrainingPlan, training_records
from microtune.training.build import Formats
from microtune.training.head_origin import NEW, HeadOrigin
from microtune.training.optimisers import DEFAULT_OPTIMIZER, Optimizer
from microtune.training.scheme import Scheme, resolve_scheme
from microtune.training.tasks import CLASSIFY, Task

SRAM, FLASH = 256 * 1024, 1024 * 1024


def compile_project(
    folder: Path, scheme: str | Scheme, formats: Formats | None = None,
    model: ModelFile | None = None, classes: int = 5, sram: int = SRAM,
    input_mode: pipeline.InputMode = "resident",
    schedule: pipeline.Schedule = "stream", target: str = "cortex-m7", replay: int = 0,
    prefix: str = "", task: Task = CLASSIFY, optimizer: Optimizer = DEFAULT_OPTIMIZER,
    head: HeadOrigin = NEW,
    anew: bool = False,
) -> Project:  # fmt: skip
    """Compile a model (the embedded one by default), for the Cortex-M7 by default.

    A new folder gets a copy if some test of this run has compiled the same; `anew` is for tests of
    compiling itself.
    """
    request = pipeline.Request(
        classes, scheme, load_target(target), sram, FLASH, formats or Formats(),
        input_mode, schedule, replay, prefix=prefix, task=task, optimizer=optimizer,
        head=head,
    )  # fmt: skip
    model = model or load_any(embedded.MODEL)
    store = os.environ.get(OBJECTS)
    if anew or store is None or folder.exists():
        return pipeline.compile_model(model, request, folder)
    name = resolve_scheme(scheme, model.graph, model.graph.name).sha256()
    key = digest(code_version(), model.sha256(), name, str(request))
    kept = Path(store, "projects", key)
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as name:
            project = pipeline.compile_model(model, request, Path(name, "new/project"))
            Path(name, "new/object").write_bytes(pickle.dumps(project))
            with suppress(OSError):  # the other worker was faster
                Path(name, "new").rename(kept)
    shutil.copytree(kept / "project", folder, copy_function=shutil.copyfile)
    found = pickle.loads((kept / "object").read_bytes())
    assert isinstance(found, Project)
    return found


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
