"""Clamps (ReLU and its kin), and the masks that their gradients pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.common import clamped, same_as
from microtune.ir.ops.operands import Operands, Single, T
from microtune.ir.ops.registry import Context, Trait, always, op
from microtune.ir.ops.rules import Lowering, Tape


@dataclass(frozen=True)
class MaskGradient(Operands[T]):
    """Operands of mask_gradient and q_mask_gradient."""

    g: T
    mask: T


def _gradient(tape: Tape, node: Node, g: str) -> None:
    tape.contribute(Single[str].of(node.inputs).x, g)


def _overwrites(graph: Graph, node: Node) -> tuple[str, ...]:
    return ("x",)


@op(
    "clamp", Single, same_as("x"), Trait.STREAMED, attrs="clamp", gradient=_gradient,
    overwrites=_overwrites, clamps=always, back={"dx": "q_mask_gradient"},
)  # fmt: skip
def clamp(ctx: Context, o: Single[Array]) -> list[Array]:
    """ReLU and its kin on codes: the mask is 1 where the bounds are not exceeded."""
    return clamped(ctx, o.x.astype(np.int64))


def _lower_mask(low: Lowering, node: Node) -> None:
    o = MaskGradient[str].of(node.inputs)
    if low.mask_of(o.g) is None:
        low.apply_mask(o.g, o.mask)
    low.alias(node.outputs[0], low.gradient(o.g))


@op("mask_gradient", MaskGradient, same_as("g"), Trait.FLOAT, Trait.MASK, lowering=_lower_mask)
def mask_gradient(ctx: Context, o: MaskGradient[Array]) -> list[Array]:
    """The gradient g where the clamp was not active, else 0."""
    return [np.where(o.mask, o.g, np.zeros((), o.g.dtype))]


def _mask_overwrites(graph: Graph, node: Node) -> tuple[str, ...]:
    return ("g",)


@op("q_mask_gradient", MaskGradient, same_as("g"), overwrites=_mask_overwrites)
def q_mask_gradient(ctx: Context, o: MaskGradient[Array]) -> list[Array]:
    """Mantissas where the mask is 1, else 0; the exponent stays."""
    return [np.where(o.mask, o.g, np.int8(0))]
