"""From a float network to an int8 model: PyTorch modules and their exports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microtune.api.arguments import Place, as_path, public, whole
from microtune.api.calibration import Samples, arranged, gather, is_folder, pictures
from microtune.api.reports import OnNote, OnProgress, Reporter
from microtune.data import open_images
from microtune.data.image.input_values import InputValues, read_values
from microtune.data.image.input_values import Values as Values
from microtune.data.modality import read_modality
from microtune.errors import MicrotuneError
from microtune.floats import FloatGraph, FloatNode, run_floats
from microtune.importers.pytorch import (
    convolutions,
    export_module,
    input_shape_of,
    is_module,
    load_exported,
    lower_program,
    sniff_exported,
)
from microtune.importers.pytorch.views import memory_order
from microtune.ir.modelfile import ModelFile
from microtune.quantization.network import quantize_network, run_int8
from microtune.quantization.quality import Accuracy, Quantized

if TYPE_CHECKING:
    import torch

DEFAULT_SAMPLES = 256
_LICENCE = "The licence of these weights was not told.\n"
_FEW = 16
ACCURACY_SAMPLES = 200


@dataclass(repr=False)
class QuantizedModel(ModelFile):
    """An int8 model, and how it was made of a float one.

    `quantization` has the float network after folding, the method and the signal-to-noise ratio of
    each tensor, and the agreement of both networks. `notes` are what `quantize` had to say.
    """

    quantization: Quantized | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)

    def __repr__(self) -> str:
        found = self.quantization
        assert found is not None
        methods = ", ".join(f"{name} {count}" for name, count in found.methods().items())
        even = f"; {found.equalised} pairs of layers equalised" if found.equalised else ""
        return (
            f"{super().__repr__()[:-1]}; int8 against float on {found.held_out} held-out samples: "
            f"{found.sqnr:.1f} dB, {100 * found.agreement:.0f} % agree; ranges by {methods}{even})"
        )

    def accuracy(
        self, data: Place, *, samples: int = ACCURACY_SAMPLES, progress: OnProgress | None = None
    ) -> Accuracy | None:
        """Top-1 of the float network and of the exact int8 one on labelled pictures.

        Args:
            data: a data set with as many classes as the network has outputs, in label order; its
                test split is used, else val, else train.
            samples: so many pictures at most, spread evenly.
            progress: is told how far the work is.

        Returns:
            None where the data have another number of classes.

        Raises:
            MicrotuneError: the data cannot be read.
        """
        found, count = self.quantization, whole("samples", samples, 1)
        assert found is not None
        dataset = open_images(as_path("data", data))
        if len(dataset.classes) != self.graph.output_tensor.elements:
            return None
        split = next(name for name in ("test", "val", "train") if dataset.size(name))
        modality = read_modality(self.preprocessing, self.graph.input_tensor)
        with Reporter(progress).stage("evaluating") as update:
            loaded = dataset.load(split, modality, lambda done, total: update(done, total, ""))
            chosen = np.linspace(0, len(loaded.labels) - 1, min(count, len(loaded.labels)))
            part = loaded.take(chosen.astype(np.int64))
            quant, scale = self.graph.quant("input"), self.graph.scale("input")
            real = (part.frames.astype(np.float32) - quant.zero_point) * np.float32(scale)
            real = real.reshape(len(real), *self.graph.input_tensor.shape[1:])
            outputs = run_floats(found.folded, real), run_int8(self.graph, real)
        rights = [
            float((made.reshape(len(real), -1).argmax(axis=1) == part.labels).mean())
            for made in outputs
        ]
        return Accuracy(split, len(real), rights[0], rights[1])


@public
def quantize(
    model: torch.nn.Module | Place, calibration: object, *, values: Values = "auto",
    mean: Sequence[float] | float | None = None, std: Sequence[float] | float | None = None,
    input_shape: Sequence[int] | None = None, samples: int = DEFAULT_SAMPLES, name: str = "",
    classes: Sequence[str] = (), progress: OnProgress | None = None, note: OnNote | None = None,
) -> QuantizedModel:  # fmt: skip
    """Quantise a float network to int8; what comes out is a model that `compile` takes.

    Batch norms are folded, weights get a scale for each output channel, ranges of activations are
    chosen by their error on held-out samples. No labels are needed.

    Args:
        model: an `nn.Module` of PyTorch, or a file of `torch.export.save` (.pt2).
        calibration: samples as the network takes them: an array or tensor (N, C, H, W), (N, C, L)
            or (N, C), an iterable of such, a DataLoader, a NAME.npy file, or a folder of pictures.
            Some hundred are enough.
        values: the range of a picture as the network takes it: "0-1", "0-255", "-1-1", or
            "numbers" (the samples are no pictures); "auto" finds it in the samples and says so.
        mean, std: the network takes (x - mean)/std of pictures from 0 to 1; `calibration` are
            images before that. One number, or one for each channel.
        input_shape: (C, H, W) of the network, for a module with a folder of pictures.
        samples: use at most so many samples.
        name: the model's name; the module's class or the file's name by default.
        classes: the names of the network's classes, in label order.
        progress: is told how far the work is.
        note: is told, a line at a time, what was detected. Without it such lines are
            MicrotuneWarning.

    Raises:
        UnsupportedError: operators that microtune does not have; all are listed, with the path of
            their module.
        MicrotuneError: samples or weights that cannot be used, or PyTorch cannot export the module.
    """
    count, lines = whole("samples", samples, 1), []
    reporter = Reporter(progress, note)

    def say(line: str) -> None:
        lines.append(line)
        reporter.note(line)

    if is_module(model):
        title = name or type(model).__name__
        given = _for_module(model, calibration, input_shape, count, reporter, say)
        given = _checked_range(given)
        values_read = _values(given, values, mean, std)
        with reporter.stage("exporting"):
            sample = _in_torch_order(values_read, given.ndim)[:1]
            program = export_module(model, sample)
        source = f"{type(model).__module__}.{type(model).__qualname__} (PyTorch)"
    else:
        if not isinstance(model, str | os.PathLike):
            raise MicrotuneError(
                f"model: {type(model).__name__}; give an nn.Module of PyTorch, or a .pt2 file"
            )
        path = as_path("model", model)
        title, program = name or path.stem, _program(path)
        given = _for_shape(input_shape_of(program, path), calibration, count, reporter, say)
        values_read = _values(given, values, mean, std)
        source = f"{path.name} (PyTorch export)"
    for line in values_read.notes:
        say(line)
    graph, notes = lower_program(program, title)
    for line in notes:
        say(line)
    return _quantized(graph, values_read, source, list(classes), lines, reporter)


def _program(path: Path) -> Any:  # noqa: ANN401
    if not path.is_file():
        raise MicrotuneError(f"{path}: no such model file")
    if not sniff_exported(path):
        raise MicrotuneError(
            f"{path}: not an export of PyTorch; write one by torch.export.save(torch.export.export("
            "module.eval(), (sample,)), 'model.pt2'), or give quantize the module itself"
        )
    return load_exported(path)


def _for_module(
    module: Any, calibration: object, input_shape: Sequence[int] | None, count: int,  # noqa: ANN401
    reporter: Reporter, say: OnNote,
) -> Samples:  # fmt: skip
    if is_folder(calibration):
        if input_shape is None:
            raise MicrotuneError(
                f"{calibration}: a folder; give input_shape=(C, H, W) of the network too"
            )
        shape = tuple(whole("input_shape", size, 1) for size in input_shape)
        return pictures(as_path("calibration", str(calibration)), shape, count, reporter)
    rank, channels = convolutions(module)
    given = arranged(gather(calibration, count, rank), rank, channels, say)
    if input_shape is not None and tuple(input_shape) != given.shape[1:]:
        raise MicrotuneError(
            f"calibration samples of shape {list(given.shape[1:])}; input_shape is "
            f"{list(input_shape)}"
        )
    return given


def _for_shape(
    shape: tuple[int, ...], calibration: object, count: int, reporter: Reporter, say: OnNote
) -> Samples:
    if is_folder(calibration):
        return pictures(as_path("calibration", str(calibration)), shape[1:], count, reporter)
    given = gather(calibration, count, len(shape))
    if len(shape) > 2:
        given = arranged(given, len(shape), [shape[1]], say)
    if given.shape[1:] != shape[1:]:
        raise MicrotuneError(
            f"calibration samples of shape {list(given.shape[1:])}; the network takes "
            f"{list(shape[1:])}"
        )
    return _checked_range(given)


def _checked_range(given: Samples) -> Samples:
    if given.ndim not in (2, 3, 4):
        raise MicrotuneError(
            f"calibration of shape {list(given.shape)}: give (N, C, H, W), (N, C, L) or (N, C)"
        )
    return given


def _values(
    given: Samples, values: Values, mean: Sequence[float] | float | None,
    std: Sequence[float] | float | None,
) -> InputValues:  # fmt: skip
    """The samples in our order, (N, H, W, C), and what they are."""
    ours = np.ascontiguousarray(given.transpose(memory_order(given.ndim)))
    ours = ours.reshape(len(ours), *(1,) * (4 - given.ndim), *ours.shape[1:])
    numbers = [None if v is None else np.atleast_1d(v).tolist() for v in (mean, std)]
    return read_values(ours, values, numbers[0], numbers[1], pictures=given.ndim == 4)


def _in_torch_order(found: InputValues, rank: int) -> np.ndarray:
    """The samples as PyTorch takes them, float32."""
    ours = found.samples
    shape = (len(ours), *ours.shape[5 - rank :])
    return np.ascontiguousarray(np.moveaxis(ours.reshape(shape), -1, 1))


def _quantized(
    graph: FloatGraph, found: InputValues, source: str, classes: list[str], notes: list[str],
    reporter: Reporter,
) -> QuantizedModel:  # fmt: skip
    inputs = found.samples.reshape(len(found.samples), *graph.shapes[graph.input][1:])
    if found.scale is not None and found.shift is not None:
        graph = _with_first_step(graph, found)
    if len(inputs) < _FEW:
        line = f"{len(inputs)} calibration samples are few: some hundred give better ranges"
        notes.append(line)
        reporter.note(line)
    if len(inputs) > 1 and bool((inputs == inputs[:1]).all()):
        line = "all calibration samples are alike: the ranges fit nothing else"
        notes.append(line)
        reporter.note(line)
    with reporter.stage("quantising") as update:
        try:
            made = quantize_network(graph, inputs, update, found.quant)
        except ValueError as error:  # a rule of the int8 graph's op
            raise MicrotuneError(f"{graph.name}: {error}") from error
    outputs = made.graph.output_tensor.elements
    if classes and len(classes) != outputs:
        raise MicrotuneError(f"classes: {len(classes)} names for {outputs} outputs")
    return QuantizedModel(
        made.graph, found.preprocessing, _LICENCE, source, classes, made, tuple(notes)
    )


def _with_first_step(graph: FloatGraph, found: InputValues) -> FloatGraph:
    """The network that normalises its input itself."""
    assert found.scale is not None and found.shift is not None
    first = FloatNode(
        "affine", graph.fresh("normalise"), (graph.input,), {},
        {"scale": found.scale, "shift": found.shift},
    )  # fmt: skip
    nodes = [
        FloatNode(
            node.op, node.name,
            tuple(first.name if x == graph.input else x for x in node.inputs),
            node.attrs, node.arrays, node.where,
        )
        for node in graph.nodes
    ]  # fmt: skip
    return graph.with_nodes([first, *nodes])
