"""Is an imported network what its file says? The file's own runtime is asked, layer by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microtune.api.arguments import Place, as_path, public, whole
from microtune.api.reports import OnNote, OnProgress, Reporter
from microtune.data import open_images
from microtune.data.modality import read_modality
from microtune.errors import MicrotuneError
from microtune.importers import importer_of
from microtune.importers.tflite import TfliteImporter, TfliteModel, import_tflite
from microtune.ir.graph import Array
from microtune.measure.parity import Parity, compare

DEFAULT_SAMPLES = 8
_SEED = 0


@public
def verify(
    path: Place, *, data: Place | None = None, samples: int = DEFAULT_SAMPLES,
    progress: OnProgress | None = None, note: OnNote | None = None,
) -> Parity:  # fmt: skip
    """Run an imported graph beside its format's own runtime and compare every layer, bit by bit.

    Args:
        path: a `.tflite` file; LiteRT runs it by its reference kernels.
        data: test images to run; random codes if None.
        samples: how many of them.
        progress: is told how far the work is.
        note: is told what the user should know.

    Raises:
        MicrotuneError: the file cannot be imported, has no other runtime, or that is not installed.
    """
    place, reporter = as_path("path", path), Reporter(progress, note)
    count = whole("samples", samples, 1)
    if not isinstance(importer_of(place), TfliteImporter):
        raise MicrotuneError(
            f"{place}: no other runtime knows this format; verify the .tflite file that a model "
            "comes from"
        )
    model = import_tflite(place)
    chosen = _samples(model, None if data is None else as_path("data", data), count, reporter)
    with reporter.stage("comparing") as update:
        return compare(model, chosen, lambda done, total: update(done, total, ""))


def _samples(model: TfliteModel, data: Path | None, count: int, reporter: Reporter) -> list[Array]:
    graph_input = model.model.graph.input_tensor
    if data is None:
        rng = np.random.default_rng(_SEED)
        shape = (count, *graph_input.shape)
        return list(rng.integers(-128, 128, shape).astype(np.int8))
    modality = read_modality(model.model.preprocessing, graph_input)
    dataset = open_images(data)
    split = "test" if dataset.size("test") else "train"
    with reporter.stage("reading") as update:
        frames = dataset.load(split, modality, lambda done, total: update(done, total, "")).frames
    if not len(frames):
        raise MicrotuneError(f"{data}: no sample to run")
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).astype(int)
    return [frames[i].reshape(graph_input.shape) for i in chosen]
