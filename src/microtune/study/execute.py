"""Execute a run: the generated C on this machine, or a simulated baseline."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microtune import pipeline
from microtune.datasets import Preprocessing, Split, open_dataset
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir.modelfile import ModelFile
from microtune.simulate.runners import HostRunner
from microtune.simulate.session import write_whole
from microtune.simulate.trainer import TrainingPlan, run_training
from microtune.study.baselines import SIMULATIONS, BaselineTraining
from microtune.study.runs import OURS, Result, Run
from microtune.targets import load_target
from microtune.training.build import Formats
from microtune.training.scheme import resolve_scheme

if TYPE_CHECKING:
    from torch import Tensor

UNLIMITED = 1 << 28  # what fits is the question of `compile`
_FLAGS = ("-O3", "-march=native")


@dataclass(frozen=True)
class Sources:
    """The folder with data/ and models/, and one for what the frozen prefix makes of images."""

    folder: Path
    cache: Path

    def model(self, name: str) -> ModelFile:
        """By its file's name without ending."""
        found = sorted(p for p in (self.folder / "models").rglob(f"{name}.*") if p.is_file())
        for path in found:
            if path.suffix in (".pkl", ".mt"):
                return load_any(path)
        raise MicrotuneError(f"{self.folder}/models has no {name}.pkl or {name}.mt")

    def splits(self, run: Run) -> tuple[list[str], Split, Split]:
        """(classes, what is learnt, what is asked). For "val" the test split is not opened."""
        preprocessing = Preprocessing.from_json(self.model(run.model).preprocessing)
        dataset = open_dataset(self.folder / "data" / run.data)
        if run.split == "val":
            return dataset.classes, *dataset.load_choice(preprocessing)
        train, test = (dataset.load(name, preprocessing) for name in ("train", "test"))
        return dataset.classes, train, test


def execute(run: Run, sources: Sources) -> Result:
    """Train and evaluate once, after the last epoch."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if run.method == OURS:
        return _device(run, sources)
    if run.method not in SIMULATIONS:
        raise MicrotuneError(f"no method {run.method}; there are {[OURS, *SIMULATIONS]}")
    return _baseline(run, sources)


def request_of(run: Run, classes: int) -> pipeline.Request:
    """What the device's project of a run is compiled for; no budget."""
    formats = Formats(
        "int16" if run.bias == "int16" else "int32", "float32" if run.head == "float32" else "int16"
    )
    chip = load_target("cortex-m7")
    return pipeline.Request(classes, run.scheme, chip, UNLIMITED, UNLIMITED, formats)


def _device(run: Run, sources: Sources) -> Result:
    model = sources.model(run.model)
    classes, train, asked = sources.splits(run)
    flags = (*_FLAGS, "-DMT_PORTABLE", f"-D{run.rule}") if run.rule else _FLAGS
    with tempfile.TemporaryDirectory(prefix="microtune-study-") as name:
        folder = Path(name) / "project"
        project = pipeline.compile_model(model, request_of(run, len(classes)), folder)
        runner = HostRunner(folder, run.seed, flags=flags)
    plan = TrainingPlan(run.epochs, run.lr, "cosine", run.seed, evaluate="at the end")
    if runner.library.latent_bytes:
        train, asked = runner.use_latents(train), runner.use_latents(asked)
    report = run_training(runner, project.graph, plan, train, asked)
    predicted = [] if report.predictions is None else report.predictions.tolist()
    return Result(
        run, predicted, asked.labels.tolist(), report.epochs[-1].train_loss, report.seconds,
        report.parameters_sha256,
    )  # fmt: skip


def _latents(training: BaselineTraining, model: ModelFile, split: Split, cache: Path) -> Tensor:
    """The frozen prefix's output of all images, computed once."""
    network, digest = training.network, hashlib.sha256(split.frames.tobytes())
    digest.update(f"{model.sha256()} {network.arithmetic} {network.cut}".encode())
    path = cache / f"latents-{digest.hexdigest()[:24]}.npy"
    if path.is_file():
        return network.torch.from_numpy(np.load(path, allow_pickle=False))
    latents = training.latents(split)
    cache.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.save(content, latents.numpy())
    write_whole(path, content.getvalue())
    return latents


def _baseline(run: Run, sources: Sources) -> Result:
    model = sources.model(run.model)
    classes, train, asked = sources.splits(run)
    scheme = resolve_scheme(run.scheme, model.graph, model.graph.name)
    baseline = SIMULATIONS[run.method]
    training = BaselineTraining(model.graph, scheme, baseline, len(classes), run.lr)
    latents = [_latents(training, model, split, sources.cache) for split in (train, asked)]
    start, loss = time.monotonic(), 0.0
    for epoch in range(run.epochs):
        loss = training.epoch(latents[0], train.labels, run.seed, epoch, run.epochs)
    predicted = training.predictions(latents[1]).astype(np.int64).tolist()
    return Result(run, predicted, asked.labels.tolist(), loss, time.monotonic() - start)
