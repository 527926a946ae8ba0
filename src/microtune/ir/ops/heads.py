"""The classifier head, the loss, and their float gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtune.ir import numerics
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.registry import Array, Context, Shape, op, shape_of


def centred(ctx: Context, name: str, codes: Array) -> Array:
    """q - z as int64, flattened."""
    return codes.reshape(-1).astype(np.int64) - ctx.graph.quant(name).zero_point


def _head_shapes(graph: Graph, node: Node) -> list[tuple[Shape, str]]:
    x, w = graph.tensors[node.inputs[0]], graph.tensors[node.inputs[1]]
    if w.shape[1] != x.elements:
        raise ValueError(f"head: weight {w.shape} does not fit features {x.shape}")
    return [((1, w.shape[0]), "i32" if w.dtype == "i16" else "f32")]


@op("head", (3, 3), _head_shapes, "", "fraction_bits")
def head(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Logits (1, N) of features x: int16 weights -> int32 in Q16, float32 weights -> float32."""
    x, w, b = arrays
    name = ctx.node.inputs[0]
    features = centred(ctx, name, x)
    if w.dtype == np.int16:
        acc = w.astype(np.int64) @ features + b.astype(np.int64)
        drop = ctx.node.int("fraction_bits") - 16
        logits = numerics.round_shift(acc, drop) if drop >= 0 else acc << -drop
        return [numerics.saturate_int32(logits).astype(np.int32)[None]]
    scale = ctx.real(ctx.graph.scale(name))
    real = features.astype(ctx.real) * scale
    if ctx.real is np.float64:
        return [(w @ real + b)[None]]
    return [numerics.ordered_dot32(lambda j: real[j] * w[:, j], real.size, b)[None]]


def _loss_shapes(graph: Graph, node: Node) -> list[tuple[Shape, str]]:
    logits = graph.tensors[node.inputs[0]]
    if logits.dtype == "i32":
        return [((1,), "i32"), (logits.shape, "i16")]
    return [((1,), "f32"), (logits.shape, "f32")]


@op("softmax_cross_entropy", (2, 2), _loss_shapes)
def softmax_cross_entropy(ctx: Context, arrays: list[Array]) -> list[Array]:
    """(loss, gradient) on dequantised logits.

    int32 logits (Q16): loss Q16, gradient Q15 with respect to the logits. float32: the same in
    float. int8: dequantised by their scale; the gradient is with respect to the codes.
    """
    logits, label = arrays[0].reshape(-1), int(arrays[1].reshape(-1)[0])
    if logits.dtype == np.int32:
        d, loss = numerics.softmax_q15(logits.astype(np.int64), label)
        return [np.array([loss], np.int32), d.astype(np.int16)[None]]
    if logits.dtype == np.int8 or ctx.real is np.float64:
        return _real_softmax(ctx, arrays[0], label)
    d32, loss32 = numerics.softmax_float32(logits, label)
    return [np.array([loss32], np.float32), d32[None]]


def _real_softmax(ctx: Context, logits: Array, label: int) -> list[Array]:
    scale = 1.0
    real = logits.reshape(-1).astype(np.float64)
    if logits.dtype == np.int8:
        quant = ctx.graph.quant(ctx.node.inputs[0])
        scale = ctx.graph.scale(ctx.node.inputs[0])
        real = (real - quant.zero_point) * scale
    shifted = real - real.max()
    total = np.exp(shifted).sum()
    p = np.exp(shifted) / total
    loss = np.log(total) - shifted[label]
    p[label] -= 1.0
    return [np.array([loss]).astype(ctx.real), (p * scale).astype(ctx.real).reshape(logits.shape)]


def _dequantized(d: Array, real: type[np.floating[Any]]) -> Array:
    """Logit gradients as reals: int16 is Q15."""
    values = d.reshape(-1).astype(real)
    return values * real(2.0**-15) if d.dtype == np.int16 else values


def _weight_unit(ctx: Context, w: Array, x_scale: float) -> float:
    """The real value of one code of a head weight (1 for float weights)."""
    if w.dtype != np.int16:
        return 1.0
    return 2.0 ** -ctx.node.int("fraction_bits") / x_scale


def _grad_x_shapes(graph: Graph, node: Node) -> list[tuple[Shape, str]]:
    return [(tuple(node.ints("shape")), "f32")]


@op("head_input_grad", (2, 2), _grad_x_shapes, "shape x_scale", "fraction_bits")
def head_input_grad(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Gradient with respect to the feature codes: s_x · Wᵀ d."""
    d, w = arrays
    x_scale = float(ctx.node.attrs["x_scale"])  # type: ignore[arg-type]
    unit = _weight_unit(ctx, w, x_scale) * x_scale
    g = w.astype(ctx.real).T @ _dequantized(d, ctx.real) * ctx.real(unit)
    return [g.reshape(ctx.node.ints("shape"))]


def _grad_w_shapes(graph: Graph, node: Node) -> list[tuple[Shape, str]]:
    d, x = graph.tensors[node.inputs[0]], graph.tensors[node.inputs[1]]
    return [((d.elements, x.elements), "f32")]


@op("head_weight_grad", (2, 2), _grad_w_shapes)
def head_weight_grad(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Gradient with respect to the real weights: d · s_x(q_x - z_x)."""
    d, x = arrays
    name = ctx.node.inputs[1]
    features = centred(ctx, name, x).astype(ctx.real) * ctx.real(ctx.graph.scale(name))
    return [np.outer(_dequantized(d, ctx.real), features)]


@op("head_bias_grad", (1, 1), lambda g, n: [((shape_of(g, n, 0)[1],), "f32")])
def head_bias_grad(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Gradient with respect to the real biases: d."""
    return [_dequantized(arrays[0], ctx.real)]
