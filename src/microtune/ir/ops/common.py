"""What several families of ops share: shape rules, views of arrays, attributes, clamps."""

from __future__ import annotations

import numpy as np

from microtune.ir.graph import Graph, Node, Tensor
from microtune.ir.ops.gradient_operands import Gradient
from microtune.ir.ops.registry import Array, Context, Shape, ShapeList, ShapeRule, operand_names
from microtune.ir.ops.rules import Lowering


def as_hwc(x: Array) -> Array:
    """(1, H, W, C) or (1, C) -> (H, W, C)."""
    return x[0] if x.ndim == 4 else x.reshape(1, 1, -1)


def as_ohwi(w: Array) -> Array:
    """(O, KH, KW, I) or (O, I) -> (O, KH, KW, I)."""
    return w if w.ndim == 4 else w.reshape(w.shape[0], 1, 1, -1)


def scalar(array: Array) -> int:
    """The one element of an array."""
    return int(array.reshape(-1)[0])


def real_attr(node: Node, name: str) -> float:
    """A float attribute of a node. Raises TypeError if it is no number."""
    value = node.attrs[name]
    if isinstance(value, (list, str)):
        raise TypeError(f"{node.op}: attribute {name} is not a number")
    return float(value)


def same_as(operand: str, dtype: str | None = None) -> ShapeRule:
    """Shape rule: one output like this operand (plus a mask where a second output is named)."""

    def rule(graph: Graph, node: Node) -> ShapeList:
        tensor = graph.tensors[operand_names(node)[operand]]
        return with_mask(node, tensor.shape, dtype or tensor.dtype)

    return rule


def with_mask(node: Node, shape: Shape, dtype: str) -> ShapeList:
    """One output, and a mask of the same shape where the node has a second output."""
    first = [(shape, dtype)]
    return [*first, (shape, "b1")] if len(node.outputs) == 2 else first


def lower_codes(low: Lowering, node: Node) -> None:
    """Lowering rule of a unary op that moves elements only: of a gradient it moves the codes.

    In the forward part it stays as it is. Exponent and factor of the gradient stay.
    """
    name = node.outputs[0]
    tensor = low.source.tensors[name]
    if tensor.dtype != "f32":
        low.copy(node)
        return
    g = low.gradient(node.inputs[0])
    made = Tensor(name, tensor.shape, "i8", "value", low.target.tensors[g.codes].quant)
    low.target.add_node(Node(node.op, (g.codes,), (name,), node.attrs), [made])
    low.alias(name, Gradient(name, g.exponent))
    mask = low.mask_of(name)
    if mask is not None:
        low.apply_mask(name, mask)


def declared_shape(graph: Graph, node: Node) -> ShapeList:
    """Shape rule: the node's attribute `shape`, float32."""
    return [(tuple(node.ints("shape")), "f32")]


def clamp_bounds(node: Node) -> tuple[int, int]:
    """The bounds of the node's `clamp`, all of int8 without one."""
    lo, hi = node.ints("clamp") if "clamp" in node.attrs else (-128, 127)
    return lo, hi


def clamped(ctx: Context, v: Array) -> list[Array]:
    """[clamp(v) as int8, mask of the values inside the bounds] by the node's `clamp`."""
    lo, hi = clamp_bounds(ctx.node)
    return [np.clip(v, lo, hi).astype(np.int8), (v >= lo) & (v <= hi)]


def centred(ctx: Context, name: str, codes: Array) -> Array:
    """The codes minus their zero point, int64, flattened."""
    return codes.reshape(-1).astype(np.int64) - ctx.graph.quant(name).zero_point
