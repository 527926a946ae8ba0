"""Forward ops on int8 activations. Mode "device" and mode "mcunet" (docs/numerics.md)."""

from __future__ import annotations

import numpy as np

from microtune.ir import convolution, numerics
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.registry import (
    CONV_ATTRS,
    Array,
    Context,
    Shape,
    as_hwc,
    as_ohwi,
    geometry_of,
    op,
    same_as,
    shape_of,
    with_mask,
)


def merge_channels(w: Array, trained: Array, order: Array, groups: int) -> Array:
    """The full weight from its frozen and its trained channels.

    `order` (C,) lists the original channel numbers, trained ones first.
    """
    axis = convolution.split_axis(groups)
    joined = np.concatenate([trained, w], axis=axis)
    full = np.empty_like(joined)
    np.moveaxis(full, axis, 0)[order] = np.moveaxis(joined, axis, 0)
    return full


def full_weight(groups: int, w: Array, rest: list[Array]) -> Array:
    """O·KH·KW·I weight of a node whose inputs end in (trained, order) or do not."""
    if not rest:
        return as_ohwi(w)
    trained, order = rest
    return merge_channels(w, trained, order, groups)


def weight_shape(graph: Graph, node: Node, w: int, trained: int) -> Shape:
    """Shape O·KH·KW·I of the full weight named by inputs `w` and perhaps `trained`."""
    shape = shape_of(graph, node, w)
    shape = shape if len(shape) == 4 else (shape[0], 1, 1, shape[1])
    if len(node.inputs) <= trained:
        return shape
    part = shape_of(graph, node, trained)
    if convolution.split_axis(node.int("groups")) == 0:
        return (shape[0] + part[0], *shape[1:])
    return (*shape[:3], shape[3] + part[3])


def _conv2d_shapes(graph: Graph, node: Node) -> list[tuple[Shape, str]]:
    x = shape_of(graph, node, 0)
    o, kh, kw, per_group = weight_shape(graph, node, 1, 3)
    g = geometry_of(node)
    if len(x) != 4 or x[3] != per_group * g.groups or o % g.groups:
        raise ValueError(f"conv2d: input {x} does not fit weight {(o, kh, kw, per_group)}")
    out = g.output_size(x[1], x[2], kh, kw)
    if min(out) < 1:
        raise ValueError(f"conv2d: kernel {kh}x{kw} is larger than the padded input {x}")
    return with_mask(node, (1, *out, o), "i8")


def multipliers_of(graph: Graph, layer: Node) -> tuple[Array, Array]:
    """(m, n) of a layer's requantisation in mode device, each int64 (O,)."""
    x, w = layer.inputs[:2]
    real = graph.scale(x) * graph.channel_scales(w) / graph.scale(layer.outputs[0])
    m, n = np.array([numerics.quantize_multiplier(float(v)) for v in real], np.int64).T
    return m, n


def _requantized(ctx: Context, acc: Array, y: str) -> list[Array]:
    """Accumulators (H, W, O) -> [codes, mask] in the shape of tensor `y`."""
    graph, (x, w) = ctx.graph, ctx.node.inputs[:2]
    quant = graph.quant(y)
    if ctx.mode == "mcunet":
        sx, sw, sy = graph.scale(x), graph.channel_scales(w), graph.scale(y)
        scale = np.float32(sx) * sw.astype(np.float32) / np.float32(sy)
        v = numerics.requantize_float32(acc, scale, quant.zero_point)
    else:
        m, n = multipliers_of(graph, ctx.node)
        v = numerics.requantize(acc, m, n, quant.zero_point)
    return clamped(ctx, v.reshape(graph.tensors[y].shape))


def clamped(ctx: Context, v: Array) -> list[Array]:
    """[clamp(v) as int8, mask of the values inside the bounds] by the node's `clamp`."""
    lo, hi = ctx.node.ints("clamp") if "clamp" in ctx.node.attrs else (-128, 127)
    return [np.clip(v, lo, hi).astype(np.int8), (v >= lo) & (v <= hi)]


@op("conv2d", (3, 5), _conv2d_shapes, CONV_ATTRS, "clamp")
def conv2d(ctx: Context, arrays: list[Array]) -> list[Array]:
    """y = conv2d(x, weight, bias[, trained, order]); the accumulator is int32."""
    x, w, bias, *rest = arrays
    zero = ctx.graph.quant(ctx.node.inputs[0]).zero_point
    weight = full_weight(ctx.node.int("groups"), w, rest)
    acc = convolution.convolve(as_hwc(x).astype(np.int64) - zero, weight, ctx.geometry())
    return _requantized(ctx, acc.astype(np.int64) + bias.astype(np.int64), ctx.node.outputs[0])


def _fully_connected_shapes(graph: Graph, node: Node) -> list[tuple[Shape, str]]:
    x, w = shape_of(graph, node, 0), shape_of(graph, node, 1)
    if len(x) != 2 or len(w) != 2 or x[1] != w[1]:
        raise ValueError(f"fully_connected: input {x} does not fit weight {w}")
    return with_mask(node, (1, w[0]), "i8")


@op("fully_connected", (3, 3), _fully_connected_shapes, "", "clamp")
def fully_connected(ctx: Context, arrays: list[Array]) -> list[Array]:
    """y = fully_connected(x (1,I), weight (O,I), bias)."""
    x, w, bias = arrays
    zero = ctx.graph.quant(ctx.node.inputs[0]).zero_point
    acc = (x.astype(np.int64) - zero) @ w.astype(np.int64).T + bias.astype(np.int64)
    return _requantized(ctx, acc, ctx.node.outputs[0])


@op("add", (2, 2), same_as(0), "", "clamp")
def add(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Residual add of two int8 tensors with their own scales."""
    graph, (name1, name2), y = ctx.graph, ctx.node.inputs, ctx.node.outputs[0]
    d1 = arrays[0].astype(np.int64) - graph.quant(name1).zero_point
    d2 = arrays[1].astype(np.int64) - graph.quant(name2).zero_point
    s1, s2, sy = graph.scale(name1), graph.scale(name2), graph.scale(y)
    if ctx.mode == "mcunet":
        f = np.float32
        total = d1.astype(f) * f(s1) + d2.astype(f) * f(s2)
        v = np.rint(total / f(sy)).astype(np.int64)
    else:
        a1, a2, k = numerics.add_constants(s1, s2, sy)
        v = (d1 * a1 + d2 * a2 + (1 << (k - 1))) >> k
    return clamped(ctx, v + graph.quant(y).zero_point)


def pool_windows(size: tuple[int, int], node: Node) -> tuple[int, int]:
    """(out_h, out_w) of a pool without padding."""
    kernel, stride = node.ints("kernel"), node.ints("stride")
    return (size[0] - kernel[0]) // stride[0] + 1, (size[1] - kernel[1]) // stride[1] + 1


def _pool_shapes(graph: Graph, node: Node) -> list[tuple[Shape, str]]:
    x = shape_of(graph, node, 0)
    if len(x) != 4:
        raise ValueError(f"average_pool: input {x} is not (1, H, W, C)")
    out = pool_windows((x[1], x[2]), node)
    if min(out) < 1:
        raise ValueError(f"average_pool: window {node.ints('kernel')} is larger than {x}")
    return [((1, *out, x[3]), "i8")]


@op("average_pool", (1, 1), _pool_shapes, "kernel stride")
def average_pool(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Mean over windows without padding; keeps scale and zero point."""
    x = arrays[0][0].astype(np.int64)
    (kh, kw), (sh, sw) = ctx.node.ints("kernel"), ctx.node.ints("stride")
    out = pool_windows((x.shape[0], x.shape[1]), ctx.node)
    total = np.zeros((*out, x.shape[2]), dtype=np.int64)
    for i in range(kh):
        for j in range(kw):
            total += x[i : i + sh * (out[0] - 1) + 1 : sh, j : j + sw * (out[1] - 1) + 1 : sw]
    n = kh * kw
    if ctx.mode == "mcunet":
        y = np.rint(total.astype(np.float32) / np.float32(n)).astype(np.int64)
    else:
        y = (2 * (total + 128 * n) + n) // (2 * n) - 128
    return [y.astype(np.int8)[None]]


@op("clamp", (1, 1), same_as(0), "clamp")
def clamp(ctx: Context, arrays: list[Array]) -> list[Array]:
    """ReLU and its kin on codes: the mask is 1 where the bounds are not exceeded."""
    return clamped(ctx, arrays[0].astype(np.int64))


def _reshape_shapes(graph: Graph, node: Node) -> list[tuple[Shape, str]]:
    tensor = graph.tensors[node.inputs[0]]
    shape = tuple(node.ints("shape"))
    if int(np.prod(shape)) != tensor.elements:
        raise ValueError(f"reshape: {tensor.shape} has not the elements of {shape}")
    return [(shape, tensor.dtype)]


@op("reshape", (1, 1), _reshape_shapes, "shape")
def reshape(ctx: Context, arrays: list[Array]) -> list[Array]:
    """The same elements in another shape; nothing moves."""
    return [arrays[0].reshape(ctx.node.ints("shape"))]


def _gather_shapes(graph: Graph, node: Node) -> list[tuple[Shape, str]]:
    x = graph.tensors[node.inputs[0]]
    return [((*x.shape[:-1], node.int("selected")), x.dtype)]


@op("gather_channels", (2, 2), _gather_shapes, "selected")
def gather_channels(ctx: Context, arrays: list[Array]) -> list[Array]:
    """The channels order[:selected] of x: the saved input of the trained channels."""
    return [arrays[0][..., arrays[1][: ctx.node.int("selected")]]]


@op("bias_from_delta", (2, 2), same_as(0, "i32"), "shift")
def bias_from_delta(ctx: Context, arrays: list[Array]) -> list[Array]:
    """bias = base + (delta << shift): the int16 format of a trained bias."""
    base, delta = (a.astype(np.int64) for a in arrays)
    return [(base + (delta << ctx.node.int("shift"))).astype(np.int32)]
