"""Small `.tflite` files for tests: one operator, or a few, with the scales that a case asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

_TYPES = {
    "int8": tflite.TensorType.INT8, "uint8": tflite.TensorType.UINT8,
    "int32": tflite.TensorType.INT32,
}  # fmt: skip
_VERSION_1 = (
    tflite.BuiltinOperator.RELU_N1_TO_1, tflite.BuiltinOperator.RESHAPE,
    tflite.BuiltinOperator.PRELU, tflite.BuiltinOperator.HARD_SWISH,
)  # fmt: skip
Options = Callable[[Any], int]


@dataclass(frozen=True)
class T:
    """A tensor: int8 or uint8 with a scale and a zero point, or an int32 constant."""

    shape: tuple[int, ...]
    scale: float = 0.0
    zero: int = 0
    data: Any = None
    dtype: str = "int8"
    scales: tuple[float, ...] = ()


@dataclass(frozen=True)
class Op:
    """An operator: its code, indices of its tensors, and what writes its options."""

    code: int
    inputs: tuple[int, ...]
    output: int
    options_type: int = 0
    options: Options | None = None
    more: tuple[int, ...] = ()  # results behind the first one

    @property
    def outputs(self) -> tuple[int, ...]:
        """All of its results."""
        return (self.output, *self.more)


def options(name: str, **fields: Any) -> Options:
    """A function that writes an options table of this name, for instance Pool2DOptions."""

    def write(b: Any) -> int:
        getattr(tflite, f"{name}Start")(b)
        for key, value in fields.items():
            getattr(tflite, f"{name}Add{key}")(b, value)
        end: int = getattr(tflite, f"{name}End")(b)
        return end

    return write


def write(path: Path, tensors: Sequence[T], ops: Sequence[Op], outputs: Sequence[int]) -> Path:
    """A file whose input is tensor 0."""
    b = flatbuffers.Builder(1024)
    buffers = [_buffer(b, None), *(_buffer(b, t) for t in tensors)]
    made = [_tensor(b, t, i) for i, t in enumerate(tensors)]
    codes = [_code(b, op.code) for op in ops]
    nodes = [_operator(b, op, i) for i, op in enumerate(ops)]
    lists = [
        _offsets(b, made), _ints(b, [0]), _ints(b, list(outputs)), _offsets(b, nodes)
    ]  # fmt: skip
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, lists[0])
    tflite.SubGraphAddInputs(b, lists[1])
    tflite.SubGraphAddOutputs(b, lists[2])
    tflite.SubGraphAddOperators(b, lists[3])
    graph = tflite.SubGraphEnd(b)
    parts = [_offsets(b, codes), _offsets(b, [graph]), _offsets(b, buffers)]
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, parts[0])
    tflite.ModelAddSubgraphs(b, parts[1])
    tflite.ModelAddBuffers(b, parts[2])
    b.Finish(tflite.ModelEnd(b), b"TFL3")
    path.write_bytes(bytes(b.Output()))
    return path


def _offsets(b: Any, items: Sequence[int]) -> int:
    b.StartVector(4, len(items), 4)
    for item in reversed(items):
        b.PrependUOffsetTRelative(item)
    end: int = b.EndVector()
    return end


def _ints(b: Any, items: Sequence[int]) -> int:
    end: int = b.CreateNumpyVector(np.array(items, np.int32))
    return end


def _buffer(b: Any, tensor: T | None) -> int:
    data = None
    if tensor is not None and tensor.data is not None:
        raw = np.asarray(tensor.data, tensor.dtype).tobytes()
        data = b.CreateNumpyVector(np.frombuffer(raw, np.uint8))
    tflite.BufferStart(b)
    if data is not None:
        tflite.BufferAddData(b, data)
    end: int = tflite.BufferEnd(b)
    return end


def _tensor(b: Any, tensor: T, index: int) -> int:
    shape, name, quant = _ints(b, tensor.shape), b.CreateString(f"t{index}"), None
    scales = tensor.scales or ((tensor.scale,) if tensor.scale else ())
    if scales:
        scale = b.CreateNumpyVector(np.array(scales, np.float32))
        zero = b.CreateNumpyVector(np.array([tensor.zero] * len(scales), np.int64))
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scale)
        tflite.QuantizationParametersAddZeroPoint(b, zero)
        quant = tflite.QuantizationParametersEnd(b)
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, _TYPES[tensor.dtype])
    tflite.TensorAddBuffer(b, index + 1)
    tflite.TensorAddName(b, name)
    if quant is not None:
        tflite.TensorAddQuantization(b, quant)
    end: int = tflite.TensorEnd(b)
    return end


def _code(b: Any, code: int) -> int:
    tflite.OperatorCodeStart(b)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, 127))
    tflite.OperatorCodeAddBuiltinCode(b, code)
    tflite.OperatorCodeAddVersion(b, 1 if code in _VERSION_1 else 2)
    end: int = tflite.OperatorCodeEnd(b)
    return end


def _operator(b: Any, op: Op, index: int) -> int:
    inputs, outputs = _ints(b, op.inputs), _ints(b, op.outputs)
    table = op.options(b) if op.options is not None else None
    tflite.OperatorStart(b)
    tflite.OperatorAddOpcodeIndex(b, index)
    tflite.OperatorAddInputs(b, inputs)
    tflite.OperatorAddOutputs(b, outputs)
    if table is not None:
        tflite.OperatorAddBuiltinOptionsType(b, op.options_type)
        tflite.OperatorAddBuiltinOptions(b, table)
    end: int = tflite.OperatorEnd(b)
    return end
