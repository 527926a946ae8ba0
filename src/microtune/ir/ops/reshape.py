"""Reshape: a view, forward and on the way back."""

from __future__ import annotations

import numpy as np

from microtune.ir.graph import Array, Graph, Node, Tensor
from microtune.ir.ops.gradient_operands import Gradient
from microtune.ir.ops.operands import Single
from microtune.ir.ops.registry import Context, ShapeList, Trait, op
from microtune.ir.ops.rules import Lowering, Tape


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


def _lower(low: Lowering, node: Node) -> None:
    name = node.outputs[0]
    if low.source.tensors[name].dtype != "f32":
        low.copy(node)
        return
    g = low.gradient(Single[str].of(node.inputs).x)
    quant = low.target.tensors[g.codes].quant
    tensor = Tensor(name, low.source.tensors[name].shape, "i8", "value", quant)
    low.target.add_node(Node("reshape", (g.codes,), (name,), node.attrs), [tensor])
    low.alias(name, Gradient(name, g.exponent))
    mask = low.mask_of(name)
    if mask is not None:
        low.apply_mask(name, mask)


@op("reshape", Single, _shapes, Trait.VIEW, attrs="shape", gradient=_gradient, lowering=_lower)
def reshape(ctx: Context, o: Single[Array]) -> list[Array]:
    """The same elements in another shape; nothing moves."""
    return [o.x.reshape(ctx.node.ints("shape"))]
