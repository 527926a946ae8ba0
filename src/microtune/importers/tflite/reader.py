"""Read a `.tflite` file into plain data; what is damaged is one MicrotuneError.

The package `tflite` follows offsets without checking them. Whatever it raises on damaged bytes is
caught here, and nothing larger than the file is ever allocated.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array

MAX_BYTES = 256 * 2**20
_MAX_RANK = 8
# What `tflite`, flatbuffers and numpy raise on damaged bytes.
DAMAGE = (
    struct.error, IndexError, ValueError, TypeError, KeyError, OverflowError, MemoryError,
    AttributeError, AssertionError, ZeroDivisionError,
)  # fmt: skip
_TYPES: dict[int, tuple[str, type[np.generic]]] = {
    tflite.TensorType.FLOAT32: ("float32", np.float32),
    tflite.TensorType.INT32: ("int32", np.int32),
    tflite.TensorType.UINT8: ("uint8", np.uint8), tflite.TensorType.INT64: ("int64", np.int64),
    tflite.TensorType.BOOL: ("bool", np.bool_), tflite.TensorType.INT16: ("int16", np.int16),
    tflite.TensorType.INT8: ("int8", np.int8), tflite.TensorType.FLOAT16: ("float16", np.float16),
}  # fmt: skip


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


_OPERATORS = _names(tflite.BuiltinOperator)
_OTHER_TYPES = _names(tflite.TensorType)


@dataclass(frozen=True)
class FileTensor:
    """A tensor of the file, as it is written there.

    `dtype` is numpy's name of the element type. `scales` and `zeros` are empty where it is not
    quantised, and have one element, or one for each index of axis `axis`. `data` is None unless it
    is a constant. `dynamic` says that an axis other than the first has no fixed size.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...] = ()
    zeros: tuple[int, ...] = ()
    axis: int = 0
    data: Array | None = None
    dynamic: bool = False


@dataclass(frozen=True)
class Operator:
    """An operator of the file; `inputs` has −1 for an optional one that is absent."""

    number: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any

    def read(self, options: type[Any]) -> Any:  # noqa: ANN401
        """The options as this class of `tflite`; those of an empty table if there are none."""
        made = options()
        table = self.options if self.options is not None else _EMPTY
        made.Init(table.Bytes, table.Pos)
        return made


@dataclass(frozen=True)
class TfliteFile:
    """What microtune needs of a file: tensors, operators in order, inputs and outputs, labels."""

    path: Path
    tensors: tuple[FileTensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    description: str = ""
    labels: tuple[str, ...] = field(default=())


class _Empty:
    """The place of a table without fields: its offset leads to a vtable of 4 bytes."""

    Bytes = struct.pack("<HHi", 4, 4, 4)
    Pos = 4


_EMPTY = _Empty()


def read_file(path: Path) -> TfliteFile:
    """Read a file. Raises MicrotuneError if it is not a readable model of one subgraph."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MicrotuneError(f"cannot read the model {path}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise MicrotuneError(f"{path}: {len(content):,} bytes; at most {MAX_BYTES:,} are read")
    try:
        return _parse(path, content)
    except DAMAGE as error:
        raise MicrotuneError(f"{path}: not a readable TensorFlow Lite model: {error}") from error


def _parse(path: Path, content: bytes) -> TfliteFile:
    model = tflite.Model.GetRootAs(content, 0)
    if model.SubgraphsLength() != 1:
        raise ValueError(f"it has {model.SubgraphsLength()} subgraphs, and one is read")
    graph = model.Subgraphs(0)
    buffers = _Buffers(model, len(content))
    tensors = tuple(
        _tensor(graph.Tensors(i), i, buffers) for i in _count(graph.TensorsLength(), content)
    )
    operators = tuple(
        _operator(model, graph.Operators(i), i) for i in _count(graph.OperatorsLength(), content)
    )
    description = model.Description() or b""
    result = TfliteFile(
        path, tensors, operators, _numbers(graph.InputsAsNumpy), _numbers(graph.OutputsAsNumpy),
        description.decode("utf-8", "replace"), _labels(content),
    )  # fmt: skip
    _check(result)
    return result


def _count(length: int, content: bytes) -> range:
    """A range over a vector, which cannot be longer than its file."""
    if length * 4 > len(content):
        raise ValueError(f"a list of {length} parts in {len(content)} bytes")
    return range(length)


def _numbers(as_numpy: Callable[[], Any]) -> tuple[int, ...]:
    values = as_numpy()
    return () if isinstance(values, int) else tuple(int(v) for v in values)


@dataclass(frozen=True)
class _Buffers:
    """The constants of a file."""

    model: Any
    size: int

    def bytes_of(self, index: int) -> bytes:
        """The bytes of a buffer; empty for what is no constant."""
        if not 0 <= index < self.model.BuffersLength():
            raise ValueError(f"buffer {index} of {self.model.BuffersLength()}")
        buffer = self.model.Buffers(index)
        if buffer.Offset() > 1 or buffer.DataLength() > self.size:
            raise ValueError("constants outside of the file's own tables")
        return buffer.DataAsNumpy().tobytes() if buffer.DataLength() else b""


def _tensor(tensor: Any, index: int, buffers: _Buffers) -> FileTensor:  # noqa: ANN401
    shape = _numbers(tensor.ShapeAsNumpy)
    if len(shape) > _MAX_RANK or any(not 0 <= size < 2**24 for size in shape):
        raise ValueError(f"tensor {index} of shape {list(shape)}")
    name, (dtype, numpy_type) = tensor.Name() or b"", _element_type(tensor.Type())
    quant = tensor.Quantization()
    scales: tuple[float, ...] = ()
    zeros: tuple[int, ...] = ()
    axis = 0
    if quant is not None and quant.ScaleLength():
        scales = tuple(float(v) for v in quant.ScaleAsNumpy())
        zeros = _numbers(quant.ZeroPointAsNumpy) or (0,) * len(scales)
        axis = quant.QuantizedDimension() if len(scales) > 1 else 0
    signature = _numbers(tensor.ShapeSignatureAsNumpy)
    return FileTensor(
        index, name.decode("utf-8", "replace") or f"tensor {index}", shape, dtype, scales, zeros,
        axis, _constant(buffers.bytes_of(tensor.Buffer()), shape, numpy_type, index),
        any(size < 0 for size in signature[1:]),
    )  # fmt: skip


def _element_type(number: int) -> tuple[str, type[np.generic] | None]:
    name = _OTHER_TYPES.get(number, f"type {number}").lower()
    return _TYPES.get(number, (name, None))


def _constant(
    content: bytes, shape: tuple[int, ...], dtype: type[np.generic] | None, index: int
) -> Array | None:
    if not content or dtype is None:
        return None
    values: Array = np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).astype(dtype)
    if values.size != int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"tensor {index} of shape {list(shape)} has {values.size} elements")
    return values.reshape(shape)


def _operator(model: Any, operator: Any, number: int) -> Operator:  # noqa: ANN401
    index = operator.OpcodeIndex()
    if not 0 <= index < model.OperatorCodesLength():
        raise ValueError(f"operator {number} is of kind {index}")
    code = model.OperatorCodes(index)
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = _OPERATORS.get(builtin, f"operator {builtin}")
    if kind == "CUSTOM":
        kind = (code.CustomCode() or b"custom operator").decode("utf-8", "replace")
    return Operator(
        number, kind, _numbers(operator.InputsAsNumpy), _numbers(operator.OutputsAsNumpy),
        operator.BuiltinOptions(),
    )  # fmt: skip


def _indices(file: TfliteFile) -> Iterator[int]:
    yield from file.inputs
    yield from file.outputs
    for operator in file.operators:
        yield from (index for index in operator.inputs if index != -1)
        yield from operator.outputs


def _check(file: TfliteFile) -> None:
    """Every index is a tensor; a value has one maker, which comes before its readers."""
    if not file.inputs or not file.outputs:
        raise ValueError("it has no input or no output")
    if any(not 0 <= index < len(file.tensors) for index in _indices(file)):
        raise ValueError("an operator names a tensor that does not exist")
    made = set(file.inputs) | {t.index for t in file.tensors if t.data is not None}
    for operator in file.operators:
        if not operator.outputs:
            raise ValueError(f"operator {operator.number} ({operator.kind}) has no result")
        if any(index in made for index in operator.outputs):
            raise ValueError(f"a result of operator {operator.number} is made twice")
        made.update(operator.outputs)


def _labels(content: bytes) -> tuple[str, ...]:
    """The lines of the only text file that is packed behind the model; empty if there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            texts = [info for info in archive.infolist() if info.filename.endswith(".txt")]
            if len(texts) != 1 or texts[0].file_size > 2**20:
                return ()
            lines = archive.read(texts[0]).decode("utf-8", "replace").splitlines()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError):
        return ()
    return _distinct([line.strip() for line in lines if line.strip()])


def _distinct(names: list[str]) -> tuple[str, ...]:
    """The names, with a number behind those that were there before."""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(result)
