"""Weights of a file as the graph has them: int8 within ±127, symmetric, a scale per channel.

Two kinds of channels are converted: uint8 ones whose codes reach further than 127 from their zero
point, and those that hold −128. Their scale grows until the largest weight is 127; each weight
moves by at most half of the new step. All other channels keep every code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microtune.importers.tflite.reader import FileTensor
from microtune.importers.tflite.translation import SCALES, CannotError
from microtune.ir.graph import Array

LARGEST = 127


@dataclass(frozen=True)
class Weights:
    """A layer's parameters, and how many of its channels were converted.

    `weight` is int8 (O, …), `scales` float32 (O,), `bias` int32 (O,).
    """

    weight: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]
    bias: npt.NDArray[np.int32]
    converted: int


def layer_weights(weight: FileTensor, bias: FileTensor | None, channels: int) -> Weights:
    """The parameters of a layer, as the graph has them.

    `weight` has its output channels in the axis of its scales where it has several, else in axis
    `channels`. Raises CannotError for what is not int8 or uint8, or has no scale.
    """
    codes = _codes(weight, channels)
    scales = np.array(weight.scales, np.float32)
    if len(scales) == 1:
        scales = np.repeat(scales, len(codes))
    if len(scales) != len(codes) or (len(weight.scales) > 1 and weight.axis != channels):
        raise CannotError(f"{len(weight.scales)} scales along axis {weight.axis}", "one a channel")
    if not ((scales >= SCALES[0]) & (scales <= SCALES[1])).all():
        raise CannotError("a weight scale that is 0, negative or not finite", "positive scales")
    biases = _bias(bias, len(codes))
    largest = np.abs(codes.reshape(len(codes), -1)).max(axis=1)
    wide = largest > LARGEST
    if wide.any():
        ratio = np.where(wide, largest / LARGEST, 1.0)
        new = (scales * ratio).astype(np.float32)
        factor = scales.astype(np.float64) / new
        codes = np.rint(codes * factor.reshape(-1, *[1] * (codes.ndim - 1))).astype(np.int64)
        biases = np.rint(biases * factor).astype(np.int64)
        scales = new
    return Weights(codes.astype(np.int8), scales, biases.astype(np.int32), int(wide.sum()))


def _codes(weight: FileTensor, channels: int) -> Array:
    """The codes minus their zero point, int64, with the output channels in axis 0."""
    if weight.data is None:
        raise CannotError("weights that are no constants", "constant weights", frozen_possible=True)
    if weight.dtype not in ("int8", "uint8"):
        raise CannotError(f"weights of {weight.dtype}", "full int8 quantisation")
    zeros = set(weight.zeros)
    if len(zeros) != 1 or (weight.dtype == "int8" and zeros != {0}):
        raise CannotError("int8 weights with a zero point", "symmetric weights")
    codes = weight.data.astype(np.int64) - zeros.pop()
    return np.moveaxis(codes, channels, 0)


def _bias(bias: FileTensor | None, channels: int) -> Array:
    if bias is None:
        return np.zeros(channels, np.int64)
    if bias.data is None or bias.dtype != "int32" or bias.data.size != channels:
        raise CannotError(f"a bias of {bias.dtype}{list(bias.shape)}", f"int32 [{channels}]")
    return bias.data.reshape(-1).astype(np.int64)
