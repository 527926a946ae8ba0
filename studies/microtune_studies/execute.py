"""Execute a run: the generated C on this machine, or a simulated baseline."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microtune.data import Split
from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile
from microtune.tools.cache import keep_array, read_array
from microtune.training.scheme import resolve_scheme
from microtune_studies.baselines import SIMULATIONS, BaselineTraining
from microtune_studies.device import run_device
from microtune_studies.runs import OURS, Result, Run
from microtune_studies.sources import Sources

if TYPE_CHECKING:
    from torch import Tensor


def execute(run: Run, sources: Sources) -> Result:
    """Train as a run says, and evaluate once after the last epoch."""
    os.environ["OMP_NUM_THREADS"] = "1"
    start = time.process_time()
    result = _executed(run, sources)
    return replace(result, seconds=time.process_time() - start)


def _executed(run: Run, sources: Sources) -> Result:
    if run.method == OURS:
        return run_device(run, sources)
    if run.method not in SIMULATIONS:
        raise MicrotuneError(f"no method {run.method}; there are {[OURS, *SIMULATIONS]}")
    return _baseline(run, sources)


def prefix_latents(
    training: BaselineTraining, model: ModelFile, split: Split, cache: Path
) -> Tensor:
    """The output of the frozen layers for all images, computed once and cached.

    If no layer is frozen the latents are the frames, which need no file.
    """
    if training.network.cut == 0:
        return training.latents(split)
    network, digest = training.network, hashlib.sha256(split.frames.tobytes())
    digest.update(f"{model.sha256()} {network.arithmetic} {network.cut}".encode())
    path = cache / f"latents-{digest.hexdigest()[:24]}.bin"
    found = read_array(path)
    if found is not None:
        return network.torch.from_numpy(found[0])
    latents = training.latents(split)
    keep_array(path, latents.numpy())
    return latents


def _baseline(run: Run, sources: Sources) -> Result:
    model = sources.model(run.model)
    classes, train, asked = sources.splits(run)
    scheme = resolve_scheme(run.scheme, model.graph, model.graph.name)
    baseline = SIMULATIONS[run.method]
    training = BaselineTraining(model.graph, scheme, baseline, len(classes), run.lr, run.schedule)
    latents = [prefix_latents(training, model, split, sources.cache) for split in (train, asked)]
    loss = 0.0
    for epoch in range(run.epochs):
        loss = training.epoch(latents[0], train.labels, run.seed, epoch, run.epochs)
    predicted = training.predictions(latents[1]).astype(np.int64).tolist()
    return Result(run, predicted, asked.labels.tolist(), loss, 0.0)
