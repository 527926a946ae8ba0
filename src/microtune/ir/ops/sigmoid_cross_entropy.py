"""Sigmoid cross-entropy: the loss of a classifier of two classes with one logit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microtune.ir import numerics
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.operands import Operands, T
from microtune.ir.ops.registry import Context, ShapeList, Trait, op
from microtune.ir.ops.rules import Lowering


@dataclass(frozen=True)
class SigmoidCrossEntropy(Operands[T]):
    """Operands of sigmoid_cross_entropy: the logit of class 1, and the label, 0 or 1."""

    logit: T
    label: T


def _shapes(graph: Graph, node: Node) -> ShapeList:
    logit = graph.tensors[SigmoidCrossEntropy[str].of(node.inputs).logit]
    if logit.elements != 1 or logit.dtype not in ("i32", "f32"):
        raise ValueError(
            f"sigmoid_cross_entropy: one logit of a head, not {logit.dtype}{list(logit.shape)}"
        )
    if logit.dtype == "i32":
        return [((1,), "i32"), (logit.shape, "i16")]
    return [((1,), "f32"), (logit.shape, "f32")]


def _lowering(low: Lowering, node: Node) -> None:
    low.copy(node)


@op("sigmoid_cross_entropy", SigmoidCrossEntropy, _shapes, Trait.LOSS, lowering=_lowering)
def sigmoid_cross_entropy(ctx: Context, o: SigmoidCrossEntropy[Array]) -> list[Array]:
    """(loss, gradient) of one logit l: the softmax cross-entropy of (0, l), whose softmax is
    (1 - sigmoid(l), sigmoid(l)).

    An int32 logit (Q16): loss Q16, gradient sigmoid(l) - label in Q15. float32: the same in float.
    """
    logit, label = o.logit.reshape(-1), int(o.label.reshape(-1)[0])
    if logit.dtype == np.int32:
        pair = np.array([0, logit[0]], np.int64)
        d, loss = numerics.softmax_q15(pair, label)
        return [np.array([loss], np.int32), d[1:].astype(np.int16)[None]]
    if ctx.real is np.float64:
        power = np.exp(-np.abs(logit))
        share = np.where(logit >= 0, 1.0, power) / (1.0 + power)
        nats = np.log1p(power) + np.maximum(logit, 0.0) - logit * label
        return [nats, (share - label)[None]]
    d32, loss32 = numerics.softmax_float32(np.array([0, logit[0]], np.float32), label)
    return [np.array([loss32], np.float32), d32[1:][None]]
