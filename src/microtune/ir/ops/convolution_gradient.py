"""Gradients of convolution and fully connected layers: in real numbers, and in int8.

Every gradient is with respect to *codes* (int8 activations and weights, int32 biases), straight
through the rounding. M[o] = s_x·s_w[o]/s_y. The float ops are what autodiff emits and the oracle of
the int8 ones; `q_conv2d_input_grad` is what a device runs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from microtune.ir import convolution, numerics
from microtune.ir.convolution import ConvKind
from microtune.ir.graph import Array, Attr, Graph, Node
from microtune.ir.ops.common import as_hwc, declared_shape, real_attr, scalar
from microtune.ir.ops.convolution import CONV_ATTRS, IN_PLACE_CHANNELS
from microtune.ir.ops.convolution_operands import (
    BiasFromDelta,
    BiasUpdate,
    ConvBiasGrad,
    ConvInputGrad,
    ConvWeightGrad,
    QConvInputGrad,
    WeightUpdate,
)
from microtune.ir.ops.layer import (
    full_weight,
    geometry_of,
    group_channels,
    shared_reads,
    weight_shape,
)
from microtune.ir.ops.layer_bounds import ACCUMULATOR_LIMIT, MOST, REACH
from microtune.ir.ops.registry import Context, Shape, ShapeList, Trait, op
from microtune.ir.ops.rounding import ROUND_ATTRS, rounded, rounded_shapes
from microtune.ir.ops.rules import Lowering


def multipliers(node: Node, scales: Array) -> Array:
    """M[o] = s_x·s_w[o]/s_y, float64 (O,): codes of the output for one of the accumulator."""
    x_scale, y_scale = real_attr(node, "x_scale"), real_attr(node, "y_scale")
    return x_scale * scales.astype(np.float64) / y_scale


def _size(shape: list[int]) -> tuple[int, int]:
    """Height and width of an image's or a kernel's shape; a vector or matrix is 1x1."""
    return (shape[1], shape[2]) if len(shape) == 4 else (1, 1)


# -- with respect to the input --------------------------------------------------------------------


def _gradient_passes(graph: Graph, node: Node, weights: list[str]) -> Iterator[str]:
    """The lanes of a gradient are made for weights within ±127."""
    for name in weights:
        if graph.data[name].size and graph.data[name].min() < -MOST:
            yield f"{node.op} %{node.outputs[0]}: a weight of %{name} is below -127; gradients " \
                "pass only through weights within ±127"  # fmt: skip


def _float_proof(graph: Graph, node: Node) -> Iterator[str]:
    o = ConvInputGrad[str].of(node.inputs)
    yield from _gradient_passes(graph, node, [o.weight, *([o.split.trained] if o.split else [])])


def _lower_input_grad(low: Lowering, node: Node) -> None:
    o, dx = ConvInputGrad[str].of(node.inputs), node.outputs[0]
    rounding = low.rounding(dx)
    operands = QConvInputGrad(
        low.gradient(o.g), o.weight, o.scales, o.split, rounding, low.mask_of(dx)
    )
    attrs = node.attrs | low.rounding_attrs(dx) | {"trained": o.split is not None}
    lowered = Node("q_conv2d_input_grad", operands.flat(), node.outputs, attrs)
    constants = InputGradConstants(low.target, lowered)
    low.emit_gradient(lowered.op, dx, operands, attrs, constants.factor, rounding=rounding)


@op(
    "conv2d_input_grad", ConvInputGrad, declared_shape, Trait.FLOAT,
    attrs=CONV_ATTRS + " shape x_scale y_scale", lowering=_lower_input_grad, proof=_float_proof,
)  # fmt: skip
def conv2d_input_grad(ctx: Context, o: ConvInputGrad[Array]) -> list[Array]:
    """The input gradient dx = convᵀ(g·M, w) in reals."""
    shape = ctx.node.ints("shape")
    weight = full_weight(ctx.node.int("groups"), o.weight, o.split)
    scaled = as_hwc(o.g).astype(np.float64) * multipliers(ctx.node, o.scales)
    dx = convolution.input_gradient(scaled, weight, _size(shape), geometry_of(ctx.node))
    return [dx.reshape(shape).astype(ctx.real)]


class InputGradConstants:
    """Compile-time constants of a q_conv2d_input_grad node.

    weight: shape O·KH·KW·I of its full weight, multiplier: int64 (O,), depthwise_shift,
    exponent_delta D and factor c of the result.
    """

    def __init__(self, graph: Graph, node: Node) -> None:
        operands = QConvInputGrad[str].of(node.inputs)
        groups = node.int("groups")
        self.weight: Shape = weight_shape(graph, operands.weight, operands.split, groups)
        o, kh, kw, per_group = self.weight
        channel_m = multipliers(node, graph.data[operands.scales])
        # A layer whose channels are all dead passes no gradient on.
        largest = float(channel_m.max()) or 1.0
        ratio = channel_m / largest
        kind = convolution.kind_of(groups, per_group * groups, o)
        self.depthwise = kind is ConvKind.DEPTHWISE
        self.depthwise_shift = numerics.depthwise_shift(kh * kw) if self.depthwise else 0
        c_g = graph.factor(operands.g.codes)
        if self.depthwise:
            self.multiplier = np.floor(ratio * (2**31 - 1) + 0.5).astype(np.int64)
            real = c_g * largest * 2.0 ** (1 - self.depthwise_shift)
        else:
            limit = numerics.gradient_lane_limit(kh * kw, o // groups)
            self.multiplier = numerics.lane_multipliers(ratio, limit)
            real = c_g * largest * 127 / limit
        self.factor, self.exponent_delta = numerics.normalize_factor(real)


def input_grad_kind(graph: Graph, node: Node) -> ConvKind:
    """The kind of the layer that a q_conv2d_input_grad node is of."""
    g = QConvInputGrad[str].of(node.inputs).g.codes
    inputs, outputs = (graph.tensors[name].shape[-1] for name in (node.outputs[0], g))
    return convolution.kind_of(node.int("groups"), inputs, outputs)


def _macs(graph: Graph, node: Node) -> int:
    o = QConvInputGrad[str].of(node.inputs)
    _, kh, kw, per_group = weight_shape(graph, o.weight, o.split, node.int("groups"))
    return graph.tensors[o.g.codes].elements * kh * kw * per_group


def _reads(graph: Graph, node: Node) -> dict[str, float]:
    o, macs = QConvInputGrad[str].of(node.inputs), _macs(graph, node)
    gradient = macs / group_channels(graph, node, node.outputs[0])
    return {"g.codes": gradient, **shared_reads(graph, macs, o.weight, o.split)}


def _proof(graph: Graph, node: Node) -> Iterator[str]:
    o = QConvInputGrad[str].of(node.inputs)
    yield from _gradient_passes(graph, node, [o.weight, *([o.split.trained] if o.split else [])])


def _overwrites(graph: Graph, node: Node) -> tuple[str, ...]:
    """A depthwise layer of stride 1 may overwrite its gradient."""
    codes, dx = (graph.tensors[name].shape for name in (node.inputs[0], node.outputs[0]))
    fits = dx[-1] > IN_PLACE_CHANNELS and codes == dx and node.ints("stride") == [1, 1]
    return ("g.codes",) if fits and input_grad_kind(graph, node) is ConvKind.DEPTHWISE else ()


@op(
    "q_conv2d_input_grad", QConvInputGrad, rounded_shapes,
    attrs=CONV_ATTRS + " shape x_scale y_scale trained" + ROUND_ATTRS,
    macs=_macs, reads=_reads, proof=_proof, overwrites=_overwrites,
)  # fmt: skip
def q_conv2d_input_grad(ctx: Context, o: QConvInputGrad[Array]) -> list[Array]:
    """The input gradient dx of int8 codes, rounded by the exponent rule."""
    node = ctx.node
    weight = full_weight(node.int("groups"), o.weight, o.split)
    constants, size = InputGradConstants(ctx.graph, node), _size(node.ints("shape"))
    grad, m = as_hwc(o.g.codes).astype(np.int64), constants.multiplier
    geometry = geometry_of(node)
    if constants.depthwise:
        total = convolution.input_gradient(grad, weight, size, geometry).astype(np.int64)
        acc = numerics.high_multiply(total << constants.depthwise_shift, m)
    else:
        lanes = numerics.high_multiply(grad << 24, m)
        acc = convolution.input_gradient(lanes, weight, size, geometry).astype(np.int64)
    return rounded(ctx, acc, scalar(o.g.exponent) + constants.exponent_delta, o.rounding, o.mask)


# -- with respect to weight and bias --------------------------------------------------------------


def update_proof(graph: Graph, node: Node) -> Iterator[str]:
    """The sum over all positions of a weight's gradient; the first operand is g."""
    g = graph.tensors[node.inputs[0]]
    positions = g.elements // g.shape[-1]
    if positions * MOST * REACH >= ACCUMULATOR_LIMIT:
        yield (
            f"{node.op} %{node.outputs[0]}: the sum over {positions:,} positions can overflow "
            "int32; freeze this layer or take a smaller input"
        )


def _lower_weight_grad(low: Lowering, node: Node) -> None:
    o = ConvWeightGrad[str].of(node.inputs)
    param = low.param_of(node.outputs[0])
    attrs = {k: v for k, v in node.attrs.items() if k not in ("shape", "selected")}
    attrs["site"] = low.site_of(param)
    operands = WeightUpdate(
        low.gradient(o.g), o.x, param, o.scales, low.rate, low.seed, low.step, o.order
    )
    low.emit_update("conv2d_weight_update", operands, (param,), attrs)


@op(
    "conv2d_weight_grad", ConvWeightGrad, declared_shape, Trait.FLOAT,
    attrs=CONV_ATTRS + " shape x_zero x_scale y_scale", optional="selected",
    lowering=_lower_weight_grad, proof=update_proof,
)  # fmt: skip
def conv2d_weight_grad(ctx: Context, o: ConvWeightGrad[Array]) -> list[Array]:
    """The weight gradient dW = M·corr(q_x - z_x, g) in reals.

    With `order` x holds the trained channels only; a depthwise layer then needs their g.
    """
    grad = as_hwc(o.g).astype(np.float64) * multipliers(ctx.node, o.scales)
    geometry = geometry_of(ctx.node)
    if o.order is not None and convolution.split_axis(geometry.groups) == 0:
        chosen = o.order[: ctx.node.int("selected")]
        grad = grad[..., chosen]
        geometry = convolution.Geometry(geometry.stride, geometry.padding, len(chosen))
    shape = ctx.node.ints("shape")
    x = as_hwc(o.x).astype(np.int64) - ctx.node.int("x_zero")
    dw = convolution.weight_gradient(x, grad, _size(shape), geometry)
    return [dw.reshape(shape).astype(ctx.real)]


def _bias_grad_shapes(graph: Graph, node: Node) -> ShapeList:
    return [(graph.tensors[ConvBiasGrad[str].of(node.inputs).scales].shape, "f32")]


def _lower_bias_grad(low: Lowering, node: Node) -> None:
    o = ConvBiasGrad[str].of(node.inputs)
    param, attrs = low.param_of(node.outputs[0]), dict[str, Attr](node.attrs)
    if low.bias_format == "int16":
        made = next(
            n for n in low.target.nodes
            if n.op == "bias_from_delta" and BiasFromDelta[str].of(n.inputs).base == param
        )  # fmt: skip
        param, attrs["shift"] = BiasFromDelta[str].of(made.inputs).delta, made.int("shift")
    attrs["site"] = low.site_of(param)
    operands = BiasUpdate(low.gradient(o.g), param, o.scales, low.rate, low.seed, low.step)
    op_name = "tied_bias_update" if "tied" in attrs else "bias_update"
    low.emit_update(op_name, operands, (param,), attrs)


@op(
    "conv2d_bias_grad", ConvBiasGrad, _bias_grad_shapes, Trait.FLOAT, attrs="x_scale y_scale",
    optional="tied", lowering=_lower_bias_grad,
)  # fmt: skip
def conv2d_bias_grad(ctx: Context, o: ConvBiasGrad[Array]) -> list[Array]:
    """The bias gradient db = M·Σ g over the positions, in reals; that of all tied ones."""
    total, m = as_hwc(o.g).astype(np.float64).sum(axis=(0, 1)), multipliers(ctx.node, o.scales)
    tied = ctx.node.int("tied", 1)
    one = total.reshape(tied, -1).sum(axis=0) * m[: len(m) // tied]
    return [np.tile(one, tied).astype(ctx.real)]
