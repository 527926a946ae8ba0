"""Softmax cross-entropy: the loss of a classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.operands import Operands, T
from microtune.ir.ops.registry import Context, ShapeList, Trait, op
from microtune.ir.ops.rules import Lowering


@dataclass(frozen=True)
class CrossEntropy(Operands[T]):
    """Operands of softmax_cross_entropy."""

    logits: T
    label: T


def _shapes(graph: Graph, node: Node) -> ShapeList:
    logits = graph.tensors[CrossEntropy[str].of(node.inputs).logits]
    if logits.dtype == "i32":
        return [((1,), "i32"), (logits.shape, "i16")]
    return [((1,), "f32"), (logits.shape, "f32")]


def _lowering(low: Lowering, node: Node) -> None:
    logits = CrossEntropy[str].of(node.inputs).logits
    if low.source.tensors[logits].dtype == "i8":
        raise MicrotuneError("the device trains a head of its own: replace the int8 classifier")
    low.copy(node)


@op("softmax_cross_entropy", CrossEntropy, _shapes, Trait.LOSS, lowering=_lowering)
def softmax_cross_entropy(ctx: Context, o: CrossEntropy[Array]) -> list[Array]:
    """(loss, gradient) on dequantised logits.

    int32 logits (Q16): loss Q16, gradient Q15 with respect to the logits. float32: the same in
    float. int8: dequantised by their scale; the gradient is with respect to the codes.
    """
    logits, label = o.logits.reshape(-1), int(o.label.reshape(-1)[0])
    if logits.dtype == np.int32:
        d, loss = numerics.softmax_q15(logits.astype(np.int64), label)
        return [np.array([loss], np.int32), d.astype(np.int16)[None]]
    if logits.dtype == np.int8 or ctx.real is np.float64:
        return _real_softmax(ctx, o.logits, label)
    d32, loss32 = numerics.softmax_float32(logits, label)
    return [np.array([loss32], np.float32), d32[None]]


def _real_softmax(ctx: Context, logits: Array, label: int) -> list[Array]:
    scale = 1.0
    real = logits.reshape(-1).astype(np.float64)
    if logits.dtype == np.int8:
        name = CrossEntropy[str].of(ctx.node.inputs).logits
        scale = ctx.graph.scale(name)
        real = (real - ctx.graph.quant(name).zero_point) * scale
    shifted = real - real.max()
    total = np.exp(shifted).sum()
    p = np.exp(shifted) / total
    loss = np.log(total) - shifted[label]
    p[label] -= 1.0
    return [np.array([loss]).astype(ctx.real), (p * scale).astype(ctx.real).reshape(logits.shape)]
