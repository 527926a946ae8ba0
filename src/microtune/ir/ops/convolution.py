"""Convolution and fully connected layers on int8 activations (docs/numerics.md, "Forward").

Here: the two layers with their gradient rule and their proof, the copy of trained channels, and the
int16 format of a trained bias. Their gradients are in `convolution_gradient.py`, the updates of
their parameters in `parameter_update.py`.
"""

from __future__ import annotations

import numpy as np

from microtune.ir import convolution, numerics, tflite_numerics
from microtune.ir.convolution import ConvKind
from microtune.ir.graph import Array, Attr, Graph, Node, Tensor
from microtune.ir.ops.common import as_hwc, clamped, same_as, with_mask
from microtune.ir.ops.convolution_operands import (
    BiasFromDelta,
    ConvBiasGrad,
    ConvInputGrad,
    ConvWeightGrad,
    Gather,
    Layer,
    Split,
)
from microtune.ir.ops.layer import (
    conv_kind,
    full_weight,
    geometry_of,
    group_channels,
    layer_of,
    layer_weight_shape,
    multipliers_of,
    shared_reads,
)
from microtune.ir.ops.layer_bounds import layer_clamps, layer_proof
from microtune.ir.ops.registry import Context, Shape, ShapeList, Trait, Window, has, op
from microtune.ir.ops.rules import Lowering, Tape

_BACK = {
    "dx": "q_conv2d_input_grad", "dW": "conv2d_weight_update", "db": "bias_update",
}  # fmt: skip
CONV_ATTRS = "stride padding groups"
IN_PLACE_CHANNELS = 32  # a depthwise layer of no more channels saves nothing in place


# -- the layers: rules ----------------------------------------------------------------------------


def _macs(graph: Graph, node: Node) -> int:
    o, kh, kw, per_group = layer_weight_shape(graph, node)
    return graph.tensors[node.outputs[0]].elements // o * o * kh * kw * per_group


def _reads(graph: Graph, node: Node) -> dict[str, float]:
    """Each patch is widened once for all outputs of a group."""
    o, macs = layer_of(node), _macs(graph, node)
    image = macs / group_channels(graph, node, node.outputs[0])
    return {"x": image, **shared_reads(graph, macs, o.weight, o.split)}


def _overwrites(graph: Graph, node: Node) -> tuple[str, ...]:
    """A depthwise layer of stride 1 may overwrite its image."""
    wide = graph.tensors[node.outputs[0]].shape[-1] > IN_PLACE_CHANNELS
    same = graph.tensors[node.inputs[0]].shape == graph.tensors[node.outputs[0]].shape
    fits = wide and same and node.ints("stride") == [1, 1]
    return ("x",) if fits and conv_kind(graph, node) is ConvKind.DEPTHWISE else ()


def _window(graph: Graph, node: Node) -> Window:
    kernel = layer_weight_shape(graph, node)[1]
    return Window(kernel, node.ints("stride")[0], node.ints("padding")[0])


# -- the layers: gradient -------------------------------------------------------------------------


def _live_scales(tape: Tape, node: Node) -> str:
    """The weight scales, 0 where the channel is dead: such a channel is never trained."""
    graph, o = tape.graph, layer_of(node)
    scales = graph.quant(o.weight).scales or ""
    split = None
    if o.split:
        split = Split(graph.data[o.split.trained], graph.data[o.split.order])
    weight = full_weight(node.int("groups", 1), graph.data[o.weight], split)
    live = weight.reshape(weight.shape[0], -1).any(axis=1)
    if live.all():
        return scales
    name = graph.fresh(f"{node.outputs[0]}.live_scale")
    return graph.constant(name, np.where(live, graph.data[scales], 0), "f32")


def _gradient(tape: Tape, node: Node, g: str) -> None:
    o, y, graph = layer_of(node), node.outputs[0], tape.graph
    scales, geometry = _live_scales(tape, node), geometry_of(node)
    attrs: dict[str, Attr] = {"x_scale": graph.scale(o.x), "y_scale": graph.scale(y)}
    conv: dict[str, Attr] = {
        "stride": list(geometry.stride), "padding": list(geometry.padding),
        "groups": geometry.groups,
    }  # fmt: skip
    if tape.wants(o.x):
        operands = ConvInputGrad(g, o.weight, scales, o.split)
        dx = tape.emit(
            "conv2d_input_grad", f"{y}.dx", operands, shape=tape.shape(o.x), **attrs, **conv
        )
        tape.contribute(o.x, dx)
    if tape.wants(o.split.trained if o.split else o.weight):
        _weight_gradient(tape, node, g, scales, attrs | conv)
    if tape.wants(o.bias):
        tied: dict[str, Attr] = {"tied": node.attrs["tied"]} if "tied" in node.attrs else {}
        db = tape.emit(
            "conv2d_bias_grad", f"{o.bias}.grad", ConvBiasGrad(g, scales), **attrs, **tied
        )
        tape.contribute(o.bias, db)


def _weight_gradient(tape: Tape, node: Node, g: str, scales: str, attrs: dict[str, Attr]) -> None:
    o, graph = layer_of(node), tape.graph
    trained = o.split.trained if o.split else o.weight
    attrs = attrs | {"shape": tape.shape(trained), "x_zero": graph.quant(o.x).zero_point}
    operands = ConvWeightGrad(g, o.x, scales, None)
    if o.split:
        count = graph.tensors[trained].shape[convolution.split_axis(node.int("groups"))]
        saved = _save_channels(tape, node, o.split.order, count)
        operands = ConvWeightGrad(g, saved, scales, o.split.order)
        attrs["selected"] = count
    dw = tape.emit("conv2d_weight_grad", f"{trained}.grad", operands, **attrs)
    tape.contribute(trained, dw)


def _save_channels(tape: Tape, layer: Node, order: str, count: int) -> str:
    """Save the `count` trained channels of the layer's input; returns their tensor."""
    graph, x = tape.graph, layer_of(layer).x
    name = graph.fresh(f"{x}.saved.{layer.outputs[0]}")
    saved = Node("gather_channels", Gather(x, order).flat(), (name,), {"selected": count})
    shape: Shape = (*graph.tensors[x].shape[:-1], count)
    graph.add_tensor(Tensor(name, shape, "i8", "value", graph.tensors[x].quant))
    tape.save(layer, saved)
    return name


# -- the layers: lowering -------------------------------------------------------------------------


def _lowering(low: Lowering, node: Node) -> None:
    o = layer_of(node)
    if low.bias_format != "int16" or low.source.tensors[o.bias].role != "param":
        low.copy(node)
        return
    low.copy(node, Layer(o.x, o.weight, _narrow_bias(low, node), o.split))


def _narrow_bias(low: Lowering, node: Node) -> str:
    """Param int32 -> const base + param int16 delta; returns the effective bias."""
    o, graph, target = layer_of(node), low.source, low.target
    scales = graph.channel_scales(o.weight)
    m = graph.scale(o.x) * scales / graph.scale(node.outputs[0])
    target.set_role(o.bias, "const")
    bias = graph.tensors[o.bias]
    name = low.fresh(f"{o.bias}.delta")
    delta = Tensor(name, bias.shape, "i16", "param", part_of=bias.parameter)
    target.add_tensor(delta, np.zeros(delta.shape, np.int16))
    attrs: dict[str, Attr] = {"shift": numerics.bias_delta_shift(m)}
    name = low.fresh(f"{o.bias}.effective")
    made = Node("bias_from_delta", BiasFromDelta(o.bias, delta.name).flat(), (name,), attrs)
    target.add_node(made, [Tensor(name, delta.shape, "i32")])
    return name


# -- the layers: meaning --------------------------------------------------------------------------


def _requantized(ctx: Context, acc: Array, y: str) -> list[Array]:
    """Accumulators (H, W, O) -> [codes, mask] in the shape of tensor `y`."""
    graph, o = ctx.graph, layer_of(ctx.node)
    quant = graph.quant(y)
    if ctx.mode == "mcunet":
        sx, sw, sy = graph.scale(o.x), graph.channel_scales(o.weight), graph.scale(y)
        scale = np.float32(sx) * sw.astype(np.float32) / np.float32(sy)
        v = numerics.requantize_float32(acc, scale, quant.zero_point)
    elif ctx.tflite:
        sx, sw, sy = graph.scale(o.x), graph.channel_scales(o.weight), graph.scale(y)
        uint8, vector = ctx.mode == "tflite-uint8", len(graph.tensors[y].shape) == 2
        m, n = tflite_numerics.layer_multipliers(sx, sw, sy, single=uint8)
        multiply = (
            tflite_numerics.multiply_rounding_once if vector and not uint8
            else tflite_numerics.multiply_by_multiplier
        )  # fmt: skip
        v = multiply(acc, m, n) + quant.zero_point
    else:
        m, n = multipliers_of(graph, ctx.node)
        v = numerics.requantize(acc, m, n, quant.zero_point)
    return clamped(ctx, v.reshape(graph.tensors[y].shape))


def _conv2d_shapes(graph: Graph, node: Node) -> ShapeList:
    x = graph.tensors[layer_of(node).x].shape
    o, kh, kw, per_group = layer_weight_shape(graph, node)
    g = geometry_of(node)
    if len(x) != 4 or x[3] != per_group * g.groups or o % g.groups:
        raise ValueError(f"conv2d: input {x} does not fit weight {(o, kh, kw, per_group)}")
    if o % node.int("tied", 1):
        raise ValueError(f"conv2d: {o} biases in {node.int('tied')} equal parts")
    out = g.output_size(x[1], x[2], kh, kw)
    if min(out) < 1:
        raise ValueError(f"conv2d: kernel {kh}x{kw} is larger than the padded input {x}")
    return with_mask(node, (1, *out, o), "i8")


@op(
    "conv2d", Layer, _conv2d_shapes, Trait.LAYER, Trait.STREAMED, attrs=CONV_ATTRS,
    optional="clamp tied", gradient=_gradient, lowering=_lowering, macs=_macs, reads=_reads,
    proof=layer_proof, overwrites=_overwrites, clamps=layer_clamps, window=_window, back=_BACK,
)  # fmt: skip
def conv2d(ctx: Context, o: Layer[Array]) -> list[Array]:
    """The convolution y = conv2d(x, weight, bias) with an int32 accumulator, requantised.

    With `tied` the biases are so many copies of one: they are trained together, and stay equal.
    """
    zero = ctx.graph.quant(layer_of(ctx.node).x).zero_point
    weight = full_weight(ctx.node.int("groups"), o.weight, o.split)
    acc = convolution.convolve(as_hwc(o.x).astype(np.int64) - zero, weight, geometry_of(ctx.node))
    return _requantized(ctx, acc.astype(np.int64) + o.bias.astype(np.int64), ctx.node.outputs[0])


def _fully_connected_shapes(graph: Graph, node: Node) -> ShapeList:
    o = layer_of(node)
    x, w = graph.tensors[o.x].shape, graph.tensors[o.weight].shape
    if o.split is not None:
        raise ValueError("fully_connected: its weight cannot be split")
    if len(x) != 2 or len(w) != 2 or x[1] != w[1]:
        raise ValueError(f"fully_connected: input {x} does not fit weight {w}")
    return with_mask(node, (1, w[0]), "i8")


@op(
    "fully_connected", Layer, _fully_connected_shapes, Trait.LAYER, optional="clamp",
    gradient=_gradient, lowering=_lowering, macs=_macs, reads=_reads, proof=layer_proof,
    clamps=layer_clamps, back=_BACK,
)  # fmt: skip
def fully_connected(ctx: Context, o: Layer[Array]) -> list[Array]:
    """The layer y = fully_connected(x (1, I), weight (O, I), bias), requantised."""
    zero = ctx.graph.quant(layer_of(ctx.node).x).zero_point
    acc = (o.x.astype(np.int64) - zero) @ o.weight.astype(np.int64).T + o.bias.astype(np.int64)
    return _requantized(ctx, acc, ctx.node.outputs[0])


# -- what a partly trained layer adds -------------------------------------------------------------


def _gather_shapes(graph: Graph, node: Node) -> ShapeList:
    x = graph.tensors[Gather[str].of(node.inputs).x]
    return [((*x.shape[:-1], node.int("selected")), x.dtype)]


@op("gather_channels", Gather, _gather_shapes, Trait.TRAINING_ONLY, attrs="selected")
def gather_channels(ctx: Context, o: Gather[Array]) -> list[Array]:
    """The channels order[:selected] of x: the saved input of the trained channels."""
    return [o.x[..., o.order[: ctx.node.int("selected")]]]


def bias_deltas(graph: Graph) -> dict[str, tuple[str, int]]:
    """Int16 delta of a trained bias -> (its frozen base, its shift)."""
    found = {}
    for node in graph.nodes:
        if node.op == "bias_from_delta":
            o = BiasFromDelta[str].of(node.inputs)
            found[o.delta] = o.base, node.int("shift")
    return found


def layer_with(graph: Graph, param: str) -> Node:
    """The layer that a param belongs to, directly or as the difference to a frozen bias."""
    readers = graph.consumers()
    names = [param]
    for node in readers[param]:
        if node.op == "bias_from_delta":
            names += node.outputs
    return next(n for name in names for n in readers[name] if has(n, Trait.LAYER))


@op("bias_from_delta", BiasFromDelta, same_as("base", "i32"), attrs="shift")
def bias_from_delta(ctx: Context, o: BiasFromDelta[Array]) -> list[Array]:
    """The bias base + (delta << shift), int32, of the int16 format of a trained bias."""
    base, delta = o.base.astype(np.int64), o.delta.astype(np.int64)
    return [(base + (delta << ctx.node.int("shift"))).astype(np.int32)]
