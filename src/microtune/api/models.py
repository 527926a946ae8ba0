"""Models: reading them, and what is in one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from microtune.api.arguments import Place, as_path, public, whole
from microtune.api.reports import OnNote, OnProgress, Reporter
from microtune.api.results import Inspection
from microtune.importers import load_any
from microtune.ir.modelfile import ModelFile
from microtune.measure.inspection import inspect_model
from microtune.search.outlook import scheme_plans


@public
def load(path: Place) -> ModelFile:
    """Read an int8 network of any known format, which is told apart by its content.

    Args:
        path: a native `.mt` file, an int8 `.tflite` file, or the pickle of a network of the MCUNet
            family.

    Raises:
        MicrotuneError: the file is absent, damaged or of no known format, or holds what microtune
            does not support; all such nodes are listed.
    """
    return load_any(as_path("path", path))


@public
def save(model: ModelFile, path: Place) -> Path:
    """Write a model as a native file, NAME.mt, whole or not at all.

    Raises:
        MicrotuneError: another suffix, or a place that cannot be written.
    """
    place = as_path("path", path)
    model.save(place)
    return place


@public
def inspect(
    model: ModelFile | Place, *, classes: int | None = None, progress: OnProgress | None = None,
    note: OnNote | None = None,
) -> Inspection:  # fmt: skip
    """Layers, shapes, multiply-accumulates (MACs), bytes and quantisation of a model.

    Args:
        model: what `load` returns, or a path.
        classes: also plan what inference, the head alone, "auto" and everything would take with so
            many new classes; that takes seconds to a minute.
        progress: is told how far the work is.
        note: is told what of that cannot be planned, and why, as in `compile`.

    Raises:
        MicrotuneError: as `load`.
    """
    loaded = as_model(model)
    found = inspect_model(loaded)
    if classes is not None:
        count = whole("classes", classes, 2)
        reporter = Reporter(progress, note)
        with reporter.stage("planning") as update:
            plans = scheme_plans(loaded, count, update, reporter.note)
        found = replace(found, plan_classes=count, plans=plans)
    return Inspection.of(found)


def as_model(model: ModelFile | Place) -> ModelFile:
    """The model, read where a path is given. Raises MicrotuneError."""
    return model if isinstance(model, ModelFile) else load_any(as_path("model", model))
