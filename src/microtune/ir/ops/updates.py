"""In-place updates: weight gradient and SGD step in one op (docs/numerics.md, "Update")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.ir import convolution, numerics
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.float_gradients import multipliers, real_attr
from microtune.ir.ops.heads import centred
from microtune.ir.ops.registry import (
    CONV_ATTRS,
    Array,
    Context,
    as_hwc,
    as_ohwi,
    op,
    same_as,
)

Factors = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class FactorTable:
    """f[o] = scale/M[o] with the forward pass's M[o] = multiplier·2^(shift-32), each (O,) int64.

    `scale` is (mantissa, exponent), constant over the tensor.
    """

    multiplier: npt.NDArray[np.int64]
    shift: npt.NDArray[np.int64]
    scale: tuple[int, int]

    @property
    def cap(self) -> int:
        """The largest exponent of 1/M."""
        return numerics.exponent_cap(self.multiplier, self.shift)

    def factors(self) -> Factors:
        """Mantissas and exponents of f."""
        return numerics.inverse_multiplier(self.multiplier, self.shift, self.scale)


def _table(node: Node, scales: Array, scale: float) -> FactorTable:
    pairs = [numerics.quantize_multiplier(float(m)) for m in multipliers(node, scales)]
    m, n = np.array(pairs, np.int64).T
    return FactorTable(m, n, numerics.split_factor(scale))


def weight_factors(graph: Graph, node: Node) -> FactorTable:
    """f[o] = M[o]·c_g/s_w[o]² = c_g·(s_x/s_y)²/M[o] of a conv2d_weight_update node."""
    ratio = real_attr(node, "x_scale") / real_attr(node, "y_scale")
    return _table(node, graph.data[node.inputs[4]], graph.factor(node.inputs[0]) * ratio**2)


def bias_factors(graph: Graph, node: Node) -> FactorTable:
    """f[o] = M[o]·c_g/(s_x·s_w[o])² = c_g/s_y²/M[o], over 2^shift, of a bias_update node."""
    real = graph.factor(node.inputs[0]) / real_attr(node, "y_scale") ** 2
    return _table(node, graph.data[node.inputs[3]], real * 2.0 ** -node.int("shift", 0))


def _lr(array: Array) -> tuple[int, int]:
    return numerics.split_float32(float(array.reshape(-1)[0]))


def _random(ctx: Context, site: str, seed: Array, step: Array, index: Array) -> Array:
    """The random bits of the site in this attribute."""
    number = ctx.node.int(site)
    key = numerics.random_key(int(seed.reshape(-1)[0]), int(step.reshape(-1)[0]), number)
    return numerics.random16(key, index)


def parameter_index(shape: tuple[int, ...], order: Array | None, groups: int) -> Array:
    """Index in O·KH·KW·I of the original channel order, for each element of a trained weight.

    `shape` is the trained part's O·KH·KW·T (depthwise: T·KH·KW·1), `order` its channels, and the
    number of original input channels is len(order).
    """
    if order is None:
        return np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    o, kh, kw, i = (np.arange(n, dtype=np.int64) for n in shape)
    wide = np.int64
    if convolution.split_axis(groups) == 0:
        rows = order[: shape[0]].astype(wide)
        return (rows[:, None, None, None] * shape[1] + kh[:, None, None]) * shape[2] + kw[:, None]
    columns = order[: shape[3]].astype(wide)
    flat = (o[:, None, None] * shape[1] + kh[:, None]) * shape[2] + kw
    del i
    return flat[..., None] * order.size + columns


@op(
    "conv2d_weight_update", (8, 9), same_as(3),
    CONV_ATTRS + " x_zero x_scale y_scale site",
)  # fmt: skip
def conv2d_weight_update(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Inputs (g, e, x, weight, scales, lr, seed, step[, order]); x holds the trained channels."""
    g, exponent, x, w, _, lr, seed, step, *rest = arrays
    weight = as_ohwi(w)
    geometry, groups = ctx.geometry(), ctx.node.int("groups")
    order = rest[0] if rest else None
    fm, fe = weight_factors(ctx.graph, ctx.node).factors()
    grad = as_hwc(g).astype(np.int64)
    if order is not None and convolution.split_axis(groups) == 0:
        chosen = order[: weight.shape[0]]
        grad, fm, fe = grad[..., chosen], fm[chosen], fe[chosen]
        geometry = convolution.Geometry(geometry.stride, geometry.padding, len(chosen))
    centred_x = as_hwc(x).astype(np.int64) - ctx.node.int("x_zero")
    kernel = (weight.shape[1], weight.shape[2])
    acc = convolution.weight_gradient(centred_x, grad, kernel, geometry).astype(np.int64)
    column = (slice(None), None, None, None)
    d = numerics.step16(
        acc, fm[column], fe[column], _lr(lr), int(exponent[0]), numerics.WEIGHT_STEP_LIMIT
    )
    index = parameter_index(weight.shape, order, groups)
    r16 = _random(ctx, "site", seed, step, index)
    moved = numerics.apply_step(weight.astype(np.int64), d, r16, 127)
    return [moved.astype(np.int8).reshape(w.shape)]


@op("bias_update", (7, 7), same_as(2), "x_scale y_scale site", "shift")
def bias_update(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Inputs (g, e, bias int32 or delta int16, scales, lr, seed, step)."""
    g, exponent, b, _, lr, seed, step = arrays
    acc = as_hwc(g).astype(np.int64).sum(axis=(0, 1))
    fm, fe = bias_factors(ctx.graph, ctx.node).factors()
    narrow = b.dtype == np.int16
    limit = numerics.INT16_STEP_LIMIT if narrow else numerics.BIAS_STEP_LIMIT
    d = numerics.step16(acc, fm, fe, _lr(lr), int(exponent[0]), limit)
    r16 = _random(ctx, "site", seed, step, np.arange(b.size, dtype=np.int64))
    bound = 32767 if narrow else numerics.BIAS_MAX
    return [numerics.apply_step(b.astype(np.int64), d, r16, bound).astype(b.dtype)]


def head_factors(x_scale: float, fraction_bits: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """((fm, fe) of the weights, (fm, fe) of the biases) of the int16 head."""
    return (
        numerics.split_factor(x_scale**2 * 2.0 ** (fraction_bits - 15)),
        numerics.split_factor(2.0 ** (fraction_bits - 15)),
    )


def _head_update_shapes(graph: Graph, node: Node) -> list[tuple[tuple[int, ...], str]]:
    return [(graph.tensors[n].shape, graph.tensors[n].dtype) for n in node.inputs[2:4]]


@op("head_update", (7, 7), _head_update_shapes, "weight_site bias_site", "fraction_bits")
def head_update(ctx: Context, arrays: list[Array]) -> list[Array]:
    """Inputs (d_logits, x, weight, bias, lr, seed, step) -> next weight, next bias."""
    d, x, w, b, lr, seed, step = arrays
    features = centred(ctx, ctx.node.inputs[1], x)
    if w.dtype == np.float32:
        return _float_head_update(ctx, d.reshape(-1), features, w, b, lr)
    bits = ctx.node.int("fraction_bits")
    weight, bias = head_factors(ctx.graph.scale(ctx.node.inputs[1]), bits)
    grad = d.reshape(-1).astype(np.int64)
    pairs: tuple[tuple[Any, ...], ...] = (
        (w, np.outer(grad, features), weight, numerics.INT16_STEP_LIMIT, 32767, "weight_site"),
        (b, grad, bias, numerics.BIAS_STEP_LIMIT, numerics.BIAS_MAX, "bias_site"),
    )
    results = []
    for value, acc, (fm, fe), limit, bound, site in pairs:
        steps = numerics.step16(
            acc, np.array(fm, np.int64), np.array(fe, np.int64), _lr(lr), 0, limit
        )
        index = np.arange(value.size, dtype=np.int64).reshape(value.shape)
        r16 = _random(ctx, site, seed, step, index)
        moved = numerics.apply_step(value.astype(np.int64), steps, r16, bound)
        results.append(moved.astype(value.dtype))
    return results


def _float_head_update(
    ctx: Context, d: Array, features: Array, w: Array, b: Array, lr: Array
) -> list[Array]:
    real = features.astype(np.float32) * np.float32(ctx.graph.scale(ctx.node.inputs[1]))
    t = np.float32(lr.reshape(-1)[0]) * d
    return [w - t[:, None] * real[None, :], b - t]
