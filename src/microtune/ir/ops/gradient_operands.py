"""Groups of operands that int8 gradients share."""

from __future__ import annotations

from dataclasses import dataclass

from microtune.ir.ops.operands import Operands, T


@dataclass(frozen=True)
class Gradient(Operands[T]):
    """An int8 gradient: codes·factor·2^exponent, the factor being in the codes' quantisation."""

    codes: T
    exponent: T


@dataclass(frozen=True)
class Rounding(Operands[T]):
    """What rounding by the exponent rule reads: base exponent, offset, seed and step."""

    base: T
    offset: T
    seed: T
    step: T
