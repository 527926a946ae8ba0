"""Rounding an int8 gradient by the exponent rule (docs/numerics.md, "Gradients").

A gradient tensor travels with its run-time exponent, an int32 tensor of one element. Ops that round
take (base exponent, offset) and return the offset's next value; attribute `rule` is "offset" (what
ships) or "exact" (the oracle that knows the maximum).
"""

from __future__ import annotations

import numpy as np

from microtune.ir import numerics
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.common import scalar
from microtune.ir.ops.gradient_operands import Rounding
from microtune.ir.ops.registry import Array, Context, ShapeList

ROUND_ATTRS = " rule site"


def rounded_shapes(graph: Graph, node: Node) -> ShapeList:
    """Shape rule: (codes, int8 in the shape of attribute `shape`; exponent, int32 (1,); the next
    offset, int8 (1,))."""
    return [(tuple(node.ints("shape")), "i8"), ((1,), "i32"), ((1,), "i8")]


def rounded(
    ctx: Context, acc: Array, e_acc: int, rounding: Rounding[Array], mask: Array | None
) -> list[Array]:
    """[codes, exponent, next offset] of accumulators: acc·2^e_acc rounded by the exponent rule."""
    base, offset, seed, step = (scalar(a) for a in rounding.flat())
    acc = acc.reshape(tuple(ctx.node.ints("shape")))
    inside = None if mask is None else mask.astype(np.bool_)
    exact = ctx.node.str("rule") == "exact"
    wanted = numerics.exact_exponent(acc, inside, e_acc) if exact else base + offset
    key = numerics.random_key(seed, step, ctx.node.int("site"))
    g, exponent, change = numerics.round_gradient(acc, inside, e_acc, wanted, key)
    moved = offset if exact else min(max(offset + change, -64), 63)
    return [g, np.array([exponent], np.int32), np.array([moved], np.int8)]
