"""Simulated int8 gradients, and how numbers are rounded."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Rounding = Literal["nearest", "stochastic"]
Granularity = Literal["tensor", "channel"]
_INT8_MAX = 127


@dataclass(frozen=True)
class GradientSimulation:
    """How gradients are simulated.

    `gradients` are int8 with one power-of-two exponent for a tensor or a channel; None: float32.
    """

    gradients: Granularity | None = None
    rounding: Rounding = "stochastic"


EXACT = GradientSimulation()


def rounded(torch: ModuleType, x: Tensor, how: Rounding) -> Tensor:
    """Round x to integers as `how` says; random bits are those of torch."""
    whole: Tensor = torch.round(x) if how == "nearest" else torch.floor(x + torch.rand_like(x))
    return whole


def int8_gradient(torch: ModuleType, gradient: Tensor, backward: GradientSimulation) -> Tensor:
    """The gradient (N, C, ...) as int8 with power-of-two steps can store it."""
    across = tuple(i for i in range(gradient.ndim) if backward.gradients == "tensor" or i != 1)
    largest = gradient.abs().amax(dim=across, keepdim=True).clamp(min=1e-30)
    step = torch.exp2(torch.ceil(torch.log2(largest / _INT8_MAX)))
    codes = rounded(torch, gradient / step, backward.rounding)
    kept: Tensor = codes.clamp(-_INT8_MAX, _INT8_MAX) * step
    return kept


def gate(torch: ModuleType, x: Tensor, backward: GradientSimulation) -> Tensor:
    """Return x unchanged; its gradient is rounded to int8."""
    if backward.gradients is not None and x.requires_grad:
        x.register_hook(lambda gradient: int8_gradient(torch, gradient, backward))
    return x
