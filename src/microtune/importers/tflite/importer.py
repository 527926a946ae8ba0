"""From a `.tflite` file to a verified graph, operator by operator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtune.errors import MicrotuneError
from microtune.importers.base import Unsupported, UnsupportedError, licence_beside
from microtune.importers.dead_channels import neutralize_dead_channels
from microtune.importers.tflite.inputs import preprocessing_of
from microtune.importers.tflite.operators import SEVERAL, TRANSLATIONS
from microtune.importers.tflite.reader import DAMAGE, FileTensor, TfliteFile, read_file
from microtune.importers.tflite.translation import (
    NHWC,
    CannotError,
    Origin,
    Translation,
    Value,
    graph_shape,
)
from microtune.ir.builder import Builder
from microtune.ir.graph import Quant
from microtune.ir.modelfile import ModelFile
from microtune.ir.verifier import InvalidGraphError, verify

FORMAT = ".tflite (int8 networks of TensorFlow Lite)"
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")


@dataclass(frozen=True)
class TfliteModel:
    """An imported model, and where each of its tensors comes from.

    `input` and `origins` lead from the graph's tensors to the file's. `converted` are the layers of
    which some weights could not be kept code for code.
    """

    model: ModelFile
    file: TfliteFile
    input: Origin
    origins: tuple[Origin, ...]
    converted: tuple[str, ...]


def import_tflite(path: Path) -> TfliteModel:
    """Read a `.tflite` model into a verified graph.

    Raises MicrotuneError for a damaged file, and UnsupportedError with all operators that cannot be
    taken.
    """
    file = read_file(path)
    try:
        return _translated(file)
    except UnsupportedError:
        raise
    except InvalidGraphError as error:
        raise MicrotuneError(f"{path}: the network breaks a rule: {error}") from error
    except DAMAGE as error:
        raise MicrotuneError(f"{path}: not a readable TensorFlow Lite model: {error}") from error


def _translated(file: TfliteFile) -> TfliteModel:
    legacy = _is_legacy(file)
    mode = "tflite-uint8" if legacy else "tflite"
    t = Translation(file, Builder(file.path.stem, mode), legacy)
    given = _input(t)
    for operator in file.operators:
        known = [index for index in operator.inputs if index in t.unknown]
        if known:
            _check_kind(t, operator)
            t.forget(operator)
            continue
        try:
            _take(t, operator)
        except CannotError as error:
            t.refuse(operator, error)
        except ValueError as error:  # a rule of the graph's op
            t.refuse(operator, CannotError(str(error), "operands that fit"))
    if t.problems:
        raise UnsupportedError(file.path, t.problems)
    graph = t.builder.graph
    graph.outputs.extend(dict.fromkeys(_outputs(t)))
    neutralize_dead_channels(graph)
    verify(graph)
    labels = (
        list(file.labels) if graph.tensors[graph.outputs[0]].elements == len(file.labels) else []
    )
    kind = "uint8" if legacy else "int8"
    model = ModelFile(
        graph, preprocessing_of(graph.input_tensor), licence_beside(file.path),
        f"{file.path.name} (TensorFlow Lite, {kind})", labels,
    )  # fmt: skip
    return TfliteModel(model, file, given, tuple(t.origins), tuple(t.converted))


def _is_legacy(file: TfliteFile) -> bool:
    """Whether activations are uint8: what the first layer makes decides. An int8 model with a uint8
    input begins with a QUANTIZE."""
    for operator in file.operators:
        if operator.kind in _LAYERS:
            return file.tensors[operator.outputs[0]].dtype == "uint8"
    return False


def _take(t: Translation, operator: Any) -> None:  # noqa: ANN401
    _check_float(t, operator)
    translate = TRANSLATIONS.get(operator.kind)
    if translate is None:
        raise CannotError("microtune has no such operator", _supported())
    dynamic = next((i for i in operator.outputs if t.file.tensors[i].dynamic), None)
    if dynamic is not None:
        raise CannotError(f"{t.file.tensors[dynamic].name!r} has no fixed shape", "fixed shapes")
    named = (t.file.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0)
    empty = next((tensor for tensor in named if 0 in tensor.shape), None)
    if empty is not None:
        raise CannotError(f"{empty.name!r} of shape {list(empty.shape)} is empty", "other shapes")
    if len(operator.outputs) > 1 and operator.kind not in SEVERAL:
        raise CannotError(f"{len(operator.outputs)} results", "one result")
    translate(t, operator)


def _check_float(t: Translation, operator: Any) -> None:  # noqa: ANN401
    """A float operator other than the ends means that the model is not quantised."""
    weights = [t.file.tensors[i] for i in operator.inputs if i >= 0]
    if any(w.data is not None and w.dtype in ("float32", "float16") for w in weights):
        raise CannotError("float weights", "a model with full int8 quantisation")


def _check_kind(t: Translation, operator: Any) -> None:  # noqa: ANN401
    """Behind an operator that was not taken, an unknown one is still reported."""
    if operator.kind not in TRANSLATIONS:
        t.refuse(operator, CannotError("microtune has no such operator", _supported()))


def _supported() -> str:
    return "one of those that docs/start/your-own-model.md lists"


def _input(t: Translation) -> Origin:
    """Declare the graph's input; returns where it comes from."""
    file = t.file
    if len(file.inputs) != 1:
        names = ", ".join(repr(file.tensors[i].name) for i in file.inputs)
        raise UnsupportedError(
            file.path, [Unsupported(names, f"{len(file.inputs)} inputs", "one input")]
        )
    tensor = file.tensors[file.inputs[0]]
    try:
        axes, offset = _input_axes(t, tensor), 0
        shape = graph_shape(tensor.shape)
        quant, offset = _input_quant(t, tensor)
    except CannotError as error:
        problem = Unsupported(f"input {tensor.name!r}", error.why, error.instead)
        raise UnsupportedError(file.path, [problem]) from error
    ours = [0] * len(shape)
    for i, axis in enumerate(axes):
        ours[axis] = tensor.shape[i]
    ours = [size or 1 for size in ours]
    assert quant.scale is not None
    name = t.builder.input(ours, quant.scale, quant.zero_point)
    t.values[tensor.index] = Value(name, axes)
    return Origin(name, tensor.index, "input", axes, offset)


def _input_axes(t: Translation, tensor: FileTensor) -> tuple[int, ...]:
    """Which axis of our input each axis is: as the model turns it before it computes."""
    if tensor.dynamic:
        raise CannotError("it has no fixed shape", "a fixed shape")
    rank = len(tensor.shape)
    graph_shape(tensor.shape)
    plain = {2: (0, 1), 3: (0, 1, 3), 4: NHWC}[rank]
    readers = t.readers(tensor.index)
    while len(readers) == 1 and readers[0].kind == "QUANTIZE":
        readers = t.readers(readers[0].outputs[0])
    if rank != 4 or not readers or any(r.kind != "TRANSPOSE" for r in readers):
        return plain
    orders = {tuple(int(axis) for axis in t.constant(r, 1).reshape(-1)) for r in readers}
    order = orders.pop()
    if orders or sorted(order) != [0, 1, 2, 3] or order[0] != 0:
        return plain
    return tuple(order.index(axis) for axis in range(4))


def _input_quant(t: Translation, tensor: FileTensor) -> tuple[Quant, int]:
    """(the quantisation of our int8 input, what the file's codes are above ours)."""
    if tensor.dtype == "float32":
        readers = t.readers(tensor.index)
        if readers and all(r.kind == "QUANTIZE" for r in readers):
            quants = {t.quant(t.result(r)) for r in readers}
            if len(quants) == 1:
                return quants.pop(), t.offset
        raise CannotError("it is float32 and is not quantised at once", "full int8 quantisation")
    if tensor.dtype == "uint8" and not t.legacy:
        # QUANTIZE behind it turns uint8 to int8.
        return t.quant(tensor, "uint8"), 128
    return t.quant(tensor), t.offset


def _outputs(t: Translation) -> list[str]:
    found = []
    for index in t.file.outputs:
        if index not in t.values:
            raise ValueError(f"output {t.file.tensors[index].name!r} is never made")
        found.append(t.values[index].name)
    return found


class TfliteImporter:
    """The importer of `.tflite` files."""

    format = FORMAT

    def sniff(self, start: bytes, path: Path) -> bool:
        """Whether the file has the identifier of the format."""
        return start[4:8] == b"TFL3"

    def load(self, path: Path) -> ModelFile:
        """Read a model. Raises what `import_tflite` raises."""
        return import_tflite(path).model
