"""The named operands of layers, their gradients and the updates of their parameters."""

from __future__ import annotations

from dataclasses import dataclass

from microtune.ir.ops.gradient_operands import Gradient, Rounding
from microtune.ir.ops.operands import Operands, T


@dataclass(frozen=True)
class Split(Operands[T]):
    """The trained channels of a partly trained weight.

    `order` lists the original channel numbers, trained ones first; the frozen channels are in the
    operand `weight`.
    """

    trained: T
    order: T


@dataclass(frozen=True)
class Layer(Operands[T]):
    """Operands of conv2d and fully_connected."""

    x: T
    weight: T
    bias: T
    split: Split[T] | None


@dataclass(frozen=True)
class Gather(Operands[T]):
    """Operands of gather_channels."""

    x: T
    order: T


@dataclass(frozen=True)
class BiasFromDelta(Operands[T]):
    """Operands of bias_from_delta."""

    base: T
    delta: T


@dataclass(frozen=True)
class ConvInputGrad(Operands[T]):
    """Operands of conv2d_input_grad."""

    g: T
    weight: T
    scales: T
    split: Split[T] | None


@dataclass(frozen=True)
class ConvWeightGrad(Operands[T]):
    """Operands of conv2d_weight_grad; with `order`, `x` holds the trained channels only."""

    g: T
    x: T
    scales: T
    order: T | None


@dataclass(frozen=True)
class ConvBiasGrad(Operands[T]):
    """Operands of conv2d_bias_grad."""

    g: T
    scales: T


@dataclass(frozen=True)
class QConvInputGrad(Operands[T]):
    """Operands of q_conv2d_input_grad."""

    g: Gradient[T]
    weight: T
    scales: T
    split: Split[T] | None
    rounding: Rounding[T]
    mask: T | None


@dataclass(frozen=True)
class WeightUpdate(Operands[T]):
    """Operands of conv2d_weight_update.

    With `order`, `x` and `weight` hold the trained channels only.
    """

    g: Gradient[T]
    x: T
    weight: T
    scales: T
    lr: T
    seed: T
    step: T
    order: T | None


@dataclass(frozen=True)
class BiasUpdate(Operands[T]):
    """Operands of bias_update; `bias` is int32, or the int16 delta."""

    g: Gradient[T]
    bias: T
    scales: T
    lr: T
    seed: T
    step: T
