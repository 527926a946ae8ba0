"""Mean squared error: the loss of a regression or of an auto-encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.operands import Operands, T
from microtune.ir.ops.registry import Context, ShapeList, Trait, op
from microtune.ir.ops.rules import Lowering


@dataclass(frozen=True)
class MeanSquaredError(Operands[T]):
    """Operands of mean_squared_error; `codes` is int8 (1, N), worth code / 128."""

    outputs: T
    codes: T


def _shapes(graph: Graph, node: Node) -> ShapeList:
    o = MeanSquaredError[str].of(node.inputs)
    outputs, codes = graph.tensors[o.outputs], graph.tensors[o.codes]
    if outputs.shape != codes.shape:
        raise ValueError(f"mean_squared_error: {outputs.shape} outputs, {codes.shape} targets")
    if outputs.dtype == "i32":
        return [((1,), "i32"), (outputs.shape, "i16")]
    return [((1,), "f32"), (outputs.shape, "f32")]


def _lowering(low: Lowering, node: Node) -> None:
    outputs = MeanSquaredError[str].of(node.inputs).outputs
    if low.source.tensors[outputs].dtype == "i8":
        raise MicrotuneError("the device trains a head of its own: replace the int8 output layer")
    low.copy(node)


def mean_squared_error_q16(
    outputs: npt.NDArray[np.int64], codes: npt.NDArray[np.int8]
) -> tuple[npt.NDArray[np.int64], int]:
    """Integer mean squared error of outputs (N,) in Q16 against codes (N,) worth 1/128 each.

    Returns (errors in Q14 clamped to ±32767, loss in Q16); an error counts at most 2.
    """
    e = np.clip(outputs - codes.astype(np.int64) * 512, -(2**17), 2**17)
    mean = int((e * e).sum()) // len(e)
    return np.clip((e + 2) >> 2, -32767, 32767), (mean + 2**15) >> 16


def mean_squared_error_real(
    outputs: npt.NDArray[Any], codes: npt.NDArray[np.int8], real: type[np.floating[Any]]
) -> tuple[npt.NDArray[Any], np.floating[Any]]:
    """The same in float32 or float64, the squares summed in ascending order.

    Returns (gradient with respect to the outputs, loss).
    """
    count = real(len(codes))
    e = outputs.astype(real) - codes.astype(real) * real(2.0**-7)
    e = np.minimum(np.maximum(e, real(-2.0)), real(2.0))
    total = np.add.accumulate(e * e, dtype=real)[-1]
    return e * (real(2.0) / count), total / count


def gradient_unit(outputs: int) -> float:
    """The real value of one code of the int16 gradient: 2/N of an error of 2^-14."""
    return 2.0 / outputs * 2.0**-14


@op("mean_squared_error", MeanSquaredError, _shapes, Trait.LOSS, lowering=_lowering)
def mean_squared_error(ctx: Context, o: MeanSquaredError[Array]) -> list[Array]:
    """(loss, gradient) of outputs (1, N) against int8 codes (1, N), each code worth 1/128.

    An error counts at most 2, the largest between two codes. int32 outputs (Q16): loss Q16,
    gradient int16 in units of `gradient_unit(N)`. float32: the same in float.
    """
    codes = o.codes.reshape(-1)
    if o.outputs.dtype == np.int32:
        d, loss = mean_squared_error_q16(o.outputs.reshape(-1).astype(np.int64), codes)
        return [np.array([loss], np.int32), d.astype(np.int16)[None]]
    real = np.float64 if ctx.real is np.float64 else np.float32
    d_real, loss_real = mean_squared_error_real(o.outputs.reshape(-1), codes, real)
    return [np.array([loss_real], real), d_real[None]]
