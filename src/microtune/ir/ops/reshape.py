"""Reshape: a view, forward and on the way back."""

from __future__ import annotations

import numpy as np

from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.common import lower_codes
from microtune.ir.ops.operands import Single
from microtune.ir.ops.registry import Context, ShapeList, Trait, op
from microtune.ir.ops.rules import Tape


def _shapes(graph: Graph, node: Node) -> ShapeList:
    tensor = graph.tensors[Single[str].of(node.inputs).x]
    shape = tuple(node.ints("shape"))
    if int(np.prod(shape)) != tensor.elements:
        raise ValueError(f"reshape: {tensor.shape} has not the elements of {shape}")
    return [(shape, tensor.dtype)]


def _gradient(tape: Tape, node: Node, g: str) -> None:
    x = Single[str].of(node.inputs).x
    dx = tape.emit("reshape", f"{node.outputs[0]}.dx", Single(g), shape=tape.shape(x))
    tape.contribute(x, dx)


@op("reshape", Single, _shapes, Trait.VIEW, attrs="shape", gradient=_gradient, lowering=lower_codes)
def reshape(ctx: Context, o: Single[Array]) -> list[Array]:
    """The same elements in another shape; nothing moves."""
    return [o.x.reshape(ctx.node.ints("shape"))]
