"""‖W‖/‖G‖ of every trained tensor: why int8 training needs scaled gradients (simulated)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from microtune.tools.files import write_whole
from microtune.training.scheme import resolve_scheme
from microtune_studies.baselines import BASELINES, BaselineTraining
from microtune_studies.execute import prefix_latents
from microtune_studies.runs import Run
from microtune_studies.work import Work

METHODS = ("fp32 SGD-M", "int8 SGD-M", "int8 SGD-M + QAS")
_IMAGES = 256
_RATE = 0.0005


def run_ratios(work: Work, run: Run) -> Mapping[str, Mapping[str, float]]:
    """Method -> tensor -> ratio after one epoch, over the first training images.

    The ratios are stored as JSON and not computed again.
    """
    key = work.store.key(replace(run, method=METHODS[0], lr=_RATE))
    path = work.store.folder.parent / f"ratios-{key}.json"
    if path.is_file():
        stored: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
        return stored
    found = {method: _ratios(work, replace(run, method=method)) for method in METHODS}
    write_whole(path, (json.dumps(found) + "\n").encode())
    return found


def _ratios(work: Work, run: Run) -> dict[str, float]:
    model = work.sources.model(run.model)
    classes, train, _ = work.sources.splits(run)
    scheme = resolve_scheme(run.scheme, model.graph, model.graph.name)
    baseline = BASELINES[run.method]
    training = BaselineTraining(model.graph, scheme, baseline, len(classes), _RATE)
    latents = prefix_latents(training, model, train, work.sources.cache)
    training.epoch(latents, train.labels, run.seed, 0, 1)
    ratios = training.ratios(latents[:_IMAGES], train.labels[:_IMAGES])
    return {name: value for name, value in ratios.items() if name.endswith(".weight")}
