"""Float gradient ops: what autodiff emits, and the oracle of the int8 ones.

Every gradient is with respect to *codes* (int8 activations and weights, int32 biases), straight
through the rounding. M[o] = s_x·s_w[o]/s_y. Gradients are float32 tensors that the interpreter
computes in `ctx.real`.
"""

from __future__ import annotations

import numpy as np

from microtune.ir import convolution
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.forward import full_weight, pool_windows, weight_shape
from microtune.ir.ops.registry import (
    CONV_ATTRS,
    Array,
    Context,
    Shape,
    as_hwc,
    op,
    same_as,
    shape_of,
)


def real_attr(node: Node, name: str) -> float:
    """A float attribute."""
    value = node.attrs[name]
    if isinstance(value, (list, str)):
        raise TypeError(f"{node.op}: attribute {name} is not a number")
    return float(value)


def multipliers(node: Node, scales: Array) -> Array:
    """M[o] = s_x·s_w[o]/s_y in float64."""
    x_scale, y_scale = real_attr(node, "x_scale"), real_attr(node, "y_scale")
    return x_scale * scales.astype(np.float64) / y_scale


def declared_shape(graph: Graph, node: Node) -> list[tuple[Shape, str]]:
    """Shape rule: the node's attribute `shape`, float32."""
    return [(tuple(node.ints("shape")), "f32")]


@op("conv2d_input_grad", (3, 5), declared_shape, CONV_ATTRS + " shape x_scale y_scale")
def conv2d_input_grad(ctx: Context, arrays: list[Array]) -> list[Array]:
    """dx = convᵀ(g·M, w): inputs (g, weight, scales[, trained, order])."""
    g, w, scales, *rest = arrays
    shape = ctx.node.ints("shape")
    size = (shape[1], shape[2]) if len(shape) == 4 else (1, 1)
    weight = full_weight(ctx.node.int("groups"), w, rest)
    scaled = as_hwc(g).astype(np.float64) * multipliers(ctx.node, scales)
    dx = convolution.input_gradient(scaled, weight, size, ctx.geometry())
    return [dx.reshape(shape).astype(ctx.real)]


@op(
    "conv2d_weight_grad", (3, 4), declared_shape,
    CONV_ATTRS + " shape x_zero x_scale y_scale", "selected",
)  # fmt: skip
def conv2d_weight_grad(ctx: Context, arrays: list[Array]) -> list[Array]:
    """dW = M·corr(q_x - z_x, g): inputs (g, x, scales[, order]).

    With `order` x holds the trained channels only; a depthwise layer then needs their g.
    """
    g, x, scales, *order = arrays
    grad = as_hwc(g).astype(np.float64) * multipliers(ctx.node, scales)
    geometry = ctx.geometry()
    if order and convolution.split_axis(geometry.groups) == 0:
        chosen = order[0][: ctx.node.int("selected")]
        grad = grad[..., chosen]
        geometry = convolution.Geometry(geometry.stride, geometry.padding, len(chosen))
    shape = ctx.node.ints("shape")
    kernel = (shape[1], shape[2]) if len(shape) == 4 else (1, 1)
    centred = as_hwc(x).astype(np.int64) - ctx.node.int("x_zero")
    dw = convolution.weight_gradient(centred, grad, kernel, geometry)
    return [dw.reshape(shape).astype(ctx.real)]


@op("conv2d_bias_grad", (2, 2), lambda g, n: [(shape_of(g, n, 1), "f32")], "x_scale y_scale")
def conv2d_bias_grad(ctx: Context, arrays: list[Array]) -> list[Array]:
    """db = M·Σ g over the pixels: inputs (g, scales)."""
    g, scales = arrays
    total = as_hwc(g).astype(np.float64).sum(axis=(0, 1))
    return [(total * multipliers(ctx.node, scales)).astype(ctx.real)]


@op("mask_gradient", (2, 2), same_as(0))
def mask_gradient(ctx: Context, arrays: list[Array]) -> list[Array]:
    """g where the clamp was not active, else 0."""
    return [np.where(arrays[1], arrays[0], np.zeros((), arrays[0].dtype))]


@op("gradient_sum", (2, 2), same_as(0))
def gradient_sum(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Two paths meet: gradients are summed (never assigned)."""
    return [arrays[0] + arrays[1]]


@op("scale_gradient", (1, 1), same_as(0), "factor")
def scale_gradient(ctx: Context, arrays: list[Array]) -> list[Array]:
    """g·factor: the way back through one input of a residual add."""
    return [arrays[0] * ctx.real(real_attr(ctx.node, "factor"))]


def spread_windows(g: Array, size: tuple[int, int], node: Node) -> Array:
    """(out_h, out_w, C) -> (H, W, C): each element the sum over the windows that hold it."""
    (kh, kw), (sh, sw) = node.ints("kernel"), node.ints("stride")
    out = pool_windows(size, node)
    dx = np.zeros((*size, g.shape[2]), dtype=g.dtype)
    for i in range(kh):
        for j in range(kw):
            dx[i : i + sh * (out[0] - 1) + 1 : sh, j : j + sw * (out[1] - 1) + 1 : sw] += g
    return dx


@op("average_pool_grad", (1, 1), declared_shape, "kernel stride shape")
def average_pool_grad(ctx: Context, arrays: list[Array]) -> list[Array]:
    """g/n to each element of its window."""
    shape, kernel = ctx.node.ints("shape"), ctx.node.ints("kernel")
    dx = spread_windows(as_hwc(arrays[0]), (shape[1], shape[2]), ctx.node)
    return [dx[None] / ctx.real(kernel[0] * kernel[1])]


__all__ = ["declared_shape", "multipliers", "real_attr", "spread_windows", "weight_shape"]
