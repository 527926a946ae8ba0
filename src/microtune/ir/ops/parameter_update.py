"""In-place updates: weight gradient and SGD step in one op (docs/numerics.md, "Update")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microtune.ir import convolution, numerics
from microtune.ir.convolution import ConvKind
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.common import as_hwc, as_ohwi, real_attr, same_as, scalar
from microtune.ir.ops.convolution import CONV_ATTRS
from microtune.ir.ops.convolution_gradient import multipliers, update_proof
from microtune.ir.ops.convolution_operands import BiasUpdate, WeightUpdate
from microtune.ir.ops.layer import geometry_of, group_channels
from microtune.ir.ops.registry import Context, Trait, op

Factors = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class FactorTable:
    """The factors f[o] = scale/M[o] of a parameter's update.

    M[o] = multiplier·2^(shift-32) is that of the forward pass, each int64 (O,). `scale` is
    (mantissa, exponent), constant over the tensor.
    """

    multiplier: npt.NDArray[np.int64]
    shift: npt.NDArray[np.int64]
    scale: tuple[int, int]

    @property
    def cap(self) -> int:
        """The largest binary exponent that 1/M of a live channel may have."""
        return numerics.exponent_cap(self.multiplier, self.shift)

    def factors(self) -> Factors:
        """The f of each channel as mantissas and binary exponents, int64 (O,) each."""
        return numerics.inverse_multiplier(self.multiplier, self.shift, self.scale)


def _table(node: Node, scales: Array, scale: float) -> FactorTable:
    m, n = numerics.quantize_multipliers(multipliers(node, scales))
    return FactorTable(m, n, numerics.split_factor(scale))


def weight_factors(graph: Graph, node: Node) -> FactorTable:
    """The factors f[o] = M[o]·c_g/s_w[o]² = c_g·(s_x/s_y)²/M[o] of a conv2d_weight_update node."""
    o = WeightUpdate[str].of(node.inputs)
    ratio = real_attr(node, "x_scale") / real_attr(node, "y_scale")
    real = graph.factor(o.g.codes) * ratio**2 * 2.0 ** units_of(node)[0]
    return _table(node, graph.data[o.scales], real)


def bias_factors(graph: Graph, node: Node) -> FactorTable:
    """The factors f[o] = M[o]·c_g/(s_x·s_w[o])² = c_g/s_y²/M[o], over 2^shift, of a bias_update."""
    o = BiasUpdate[str].of(node.inputs)
    real = graph.factor(o.g.codes) / real_attr(node, "y_scale") ** 2
    exponent = units_of(node)[0] - node.int("shift", 0)
    return _table(node, graph.data[o.scales], real * 2.0**exponent)


def units_of(node: Node) -> list[int]:
    """For each tensor that an update writes the n with which its unit is 2^-n of the param's.

    0 where the update writes the param itself.
    """
    return node.ints("units") if "units" in node.attrs else [0] * len(node.outputs)


def rate(array: Array) -> tuple[int, int]:
    """The (mantissa, exponent) of a learning rate, float32 (1,): `numerics.split_float32`."""
    return numerics.split_float32(float(array.reshape(-1)[0]))


def update_noise(ctx: Context, site: str, seed: Array, step: Array, index: Array) -> Array:
    """16 random bits for each element of a parameter; `site` names the attribute."""
    key = numerics.random_key(scalar(seed), scalar(step), ctx.node.int(site))
    return numerics.random16(key, index)


def parameter_index(shape: tuple[int, ...], order: Array | None, groups: int) -> Array:
    """Index in O·KH·KW·I of the original channel order, for each element of a trained weight.

    `shape` is the trained part's O·KH·KW·T (depthwise: T·KH·KW·1), `order` its channels, and the
    number of original input channels is len(order).
    """
    if order is None:
        return np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    o, kh, kw, _ = (np.arange(n, dtype=np.int64) for n in shape)
    wide = np.int64
    if convolution.split_axis(groups) == 0:
        rows = order[: shape[0]].astype(wide)
        return (rows[:, None, None, None] * shape[1] + kh[:, None, None]) * shape[2] + kw[:, None]
    columns = order[: shape[3]].astype(wide)
    flat = (o[:, None, None] * shape[1] + kh[:, None]) * shape[2] + kw
    return flat[..., None] * order.size + columns


def weight_update_kind(graph: Graph, node: Node) -> ConvKind:
    """The kind of the layer that a conv2d_weight_update node is of."""
    o = WeightUpdate[str].of(node.inputs)
    inputs = graph.tensors[o.order].elements if o.order else graph.tensors[o.x].shape[-1]
    return convolution.kind_of(node.int("groups", 1), inputs, graph.tensors[o.g.codes].shape[-1])


def _macs(graph: Graph, node: Node) -> int:
    o = WeightUpdate[str].of(node.inputs)
    weight, gradient = graph.tensors[o.weight], graph.tensors[o.g.codes]
    return gradient.elements // gradient.shape[-1] * weight.elements


def _reads(graph: Graph, node: Node) -> dict[str, float]:
    macs = float(_macs(graph, node))
    x = WeightUpdate[str].of(node.inputs).x
    return {"g.codes": macs / group_channels(graph, node, x), "x": macs}


@op(
    "conv2d_weight_update", WeightUpdate, same_as("weight"), Trait.UPDATE,
    attrs=CONV_ATTRS + " x_zero x_scale y_scale site", optional="units", macs=_macs, reads=_reads,
    proof=update_proof, writes=("weight",),
)  # fmt: skip
def conv2d_weight_update(ctx: Context, o: WeightUpdate[Array]) -> list[Array]:
    """The next weight: weight - lr·dW, rounded stochastically; x holds the trained channels."""
    weight = as_ohwi(o.weight)
    geometry, groups = geometry_of(ctx.node), ctx.node.int("groups")
    fm, fe = weight_factors(ctx.graph, ctx.node).factors()
    grad = as_hwc(o.g.codes).astype(np.int64)
    if o.order is not None and convolution.split_axis(groups) == 0:
        chosen = o.order[: weight.shape[0]]
        grad, fm, fe = grad[..., chosen], fm[chosen], fe[chosen]
        geometry = convolution.Geometry(geometry.stride, geometry.padding, len(chosen))
    x = as_hwc(o.x).astype(np.int64) - ctx.node.int("x_zero")
    kernel = (weight.shape[1], weight.shape[2])
    acc = convolution.weight_gradient(x, grad, kernel, geometry).astype(np.int64)
    column = (slice(None), None, None, None)
    d = numerics.step16(
        acc, fm[column], fe[column], rate(o.lr), int(o.g.exponent[0]), numerics.WEIGHT_STEP_LIMIT
    )
    index = parameter_index(weight.shape, o.order, groups)
    r16 = update_noise(ctx, "site", o.seed, o.step, index)
    moved = numerics.apply_step(weight.astype(np.int64), d, r16, 127)
    return [moved.astype(np.int8).reshape(o.weight.shape)]


def _next_bias(ctx: Context, o: BiasUpdate[Array], parts: int) -> list[Array]:
    """bias - lr·db of `parts` equal parts of a bias, with the sum of their gradients and the random
    bits of the first."""
    b = o.bias
    sums = as_hwc(o.g.codes).astype(np.int64).sum(axis=(0, 1)).reshape(parts, -1)
    one = np.arange(sums.shape[1], dtype=np.int64)
    fm, fe = (np.tile(f[one], parts) for f in bias_factors(ctx.graph, ctx.node).factors())
    narrow = b.dtype == np.int16
    limit = numerics.INT16_STEP_LIMIT if narrow else numerics.BIAS_STEP_LIMIT
    acc = np.tile(sums.sum(axis=0), parts)
    d = numerics.step16(acc, fm, fe, rate(o.lr), int(o.g.exponent[0]), limit)
    r16 = update_noise(ctx, "site", o.seed, o.step, np.tile(one, parts))
    bound = 32767 if narrow else numerics.BIAS_MAX
    return [numerics.apply_step(b.astype(np.int64), d, r16, bound).astype(b.dtype)]


@op(
    "bias_update", BiasUpdate, same_as("bias"), Trait.UPDATE, attrs="x_scale y_scale site",
    optional="shift units", writes=("bias",),
)  # fmt: skip
def bias_update(ctx: Context, o: BiasUpdate[Array]) -> list[Array]:
    """The next bias, int32 or the int16 delta: bias - lr·db, rounded stochastically."""
    return _next_bias(ctx, o, 1)


@op(
    "tied_bias_update", BiasUpdate, same_as("bias"), Trait.UPDATE,
    attrs="x_scale y_scale site tied", optional="shift units", writes=("bias",),
)  # fmt: skip
def tied_bias_update(ctx: Context, o: BiasUpdate[Array]) -> list[Array]:
    """The next of a bias that is `tied` copies of one: all of them move alike, by their sum."""
    return _next_bias(ctx, o, ctx.node.int("tied"))
