"""Float gradients -> the int8 gradients and in-place updates that the device runs.

Every float op that autodiff emitted has one lowering here. The pass fuses the mask of a tensor into
the producer of its gradient, weight gradients into their updates, and threads exponents and offsets
through as tensors of one element (docs/numerics.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.ir.gradients import GradientValue
from microtune.ir.graph import Attr, Graph, Kind, Node, Quant, Tensor
from microtune.ir.ops.float_gradients import real_attr
from microtune.ir.ops.forward import weight_shape
from microtune.ir.ops.int8_gradients import input_grad_constants
from microtune.ir.prune import remove_unused
from microtune.ir.verifier import verify

BiasFormat = Literal["int32", "int16"]
ExponentRule = Literal["offset", "exact"]
FORWARD_OPS = frozenset(
    {
        "conv2d", "fully_connected", "add", "average_pool", "clamp", "reshape",
        "gather_channels", "head", "softmax_cross_entropy",
    }
)  # fmt: skip


@dataclass
class Lowering:
    """State of the pass: the new graph and, for each float gradient, its int8 value."""

    source: Graph
    target: Graph
    param_of: dict[str, str]
    bias_format: BiasFormat
    rule: ExponentRule
    lowered: dict[str, GradientValue] = field(default_factory=dict)
    base: str = ""
    random: tuple[str, ...] = ()
    rate: str = ""

    def fresh(self, name: str) -> str:
        """This name or one like it, which neither graph has."""
        return self.target.fresh(name, self.source.tensors)

    def declare_inputs(self) -> None:
        """The inputs of an update: learning rate, seed and step."""
        kinds: tuple[tuple[Kind, str, str], ...] = (
            ("rate", "lr", "f32"), ("seed", "seed", "u32"), ("step", "step", "u32"),
        )  # fmt: skip
        self.rate, *random = (
            self.target.input(self.fresh(name), (1,), dtype, kind=kind)
            for kind, name, dtype in kinds
        )
        self.random = tuple(random)

    def mask_of(self, name: str) -> str | None:
        """The mask that the producer of gradient `name` fuses: its only reader applies it.

        A gradient that is itself the result of a mask (a clamp behind a clamping layer) has no
        producer of its own to fuse a second mask into.
        """
        if self.source.producers()[name].op == "mask_gradient":
            return None
        readers = self.source.consumers()[name]
        if len(readers) == 1 and readers[0].op == "mask_gradient":
            return readers[0].inputs[1]
        return None

    def round_inputs(self, name: str) -> tuple[str, ...]:
        """(base, offset, seed, step[, mask]) of a rounding op with result `name`."""
        tensor = Tensor(self.fresh(f"{name}.offset"), (1,), "i8", "state", kind="exponent_offset")
        offset = self.target.add_tensor(tensor, np.zeros(1, np.int8))
        mask = self.mask_of(name)
        return (self.base, offset, *self.random, *((mask,) if mask else ()))

    def emit_gradient(self, node: Node, factor: float, *, rounding: bool) -> None:
        """Append an int8 gradient op whose outputs are codes, exponent and perhaps offset."""
        name = node.outputs[0]
        shape = self.source.tensors[name].shape
        exponent, offset = self.fresh(f"{name}.exponent"), None
        outputs = [
            Tensor(name, shape, "i8", "value", Quant(factor=factor)),
            Tensor(exponent, (1,), "i32"),
        ]
        if rounding:
            states = (self.target.tensors[operand] for operand in node.inputs)
            offset = next(t.name for t in states if t.kind == "exponent_offset")
            outputs.append(Tensor(self.fresh(f"{offset}.next"), (1,), "i8"))
            self.target.updates[offset] = outputs[2].name
        names = tuple(t.name for t in outputs)
        self.target.add_node(Node(node.op, node.inputs, names, node.attrs), outputs)
        self.lowered[name] = GradientValue(name, exponent, offset)

    def rounding(self, node: Node) -> dict[str, Attr]:
        """How the result of a node is rounded: exponent rule and random bits."""
        return {"rule": self.rule, "site": numerics.random_site(node.outputs[0])}

    def site_of(self, param: str) -> int:
        """The random bits of a param's updates, whatever part or format of it is trained."""
        return numerics.random_site(self.target.tensors[param].parameter)

    def emit_update(self, op: str, inputs: tuple[str, ...], params: tuple[str, ...],
                    attrs: dict[str, Attr]) -> None:  # fmt: skip
        """Append an in-place update of params."""
        names = tuple(self.fresh(f"{p}.next") for p in params)
        tensors = [self.target.tensors[p] for p in params]
        outputs = [Tensor(n, t.shape, t.dtype) for n, t in zip(names, tensors, strict=True)]
        self.target.add_node(Node(op, inputs, names, attrs), outputs)
        self.target.updates.update(zip(params, names, strict=True))


Lower = Callable[[Lowering, Node], None]


def lower_gradients(
    graph: Graph,
    gradients: dict[str, str],
    bias_format: BiasFormat = "int32",
    rule: ExponentRule = "offset",
) -> Graph:
    """The device's training graph: int8 gradients, updates in place, outputs logits and loss.

    `gradients` maps params to float gradients, as `differentiate` returns them.
    """
    target = verify(graph).copy()
    target.nodes = []
    target.outputs = [n for n in graph.outputs if graph.tensors[n].kind != "gradient"]
    target.tensors = {n: t for n, t in graph.tensors.items() if t.role != "value"}
    low = Lowering(graph, target, {g: p for p, g in gradients.items()}, bias_format, rule)
    low.declare_inputs()
    for node in graph.nodes:
        if node.op in FORWARD_OPS and node.outputs[0] not in _reshaped_gradients(graph):
            _forward(low, node)
        elif node.op in LOWERINGS:
            LOWERINGS[node.op](low, node)
        else:
            raise MicrotuneError(f"op {node.op} has no int8 gradient; there are {list(LOWERINGS)}")
    return verify(remove_unused(target))


def _reshaped_gradients(graph: Graph) -> set[str]:
    """Outputs of reshape nodes on the way back (their tensors are float)."""
    return {
        n.outputs[0] for n in graph.nodes
        if n.op == "reshape" and graph.tensors[n.outputs[0]].dtype == "f32"
    }  # fmt: skip


def _forward(low: Lowering, node: Node) -> None:
    inputs = node.inputs
    if node.op == "softmax_cross_entropy" and low.source.tensors[inputs[0]].dtype == "i8":
        raise MicrotuneError("the device trains a head of its own: replace the int8 classifier")
    if low.bias_format == "int16" and node.op in ("conv2d", "fully_connected"):
        b = inputs[2]
        if low.source.tensors[b].role == "param":
            inputs = (*inputs[:2], _narrow_bias(low, node), *inputs[3:])
    outputs = [low.source.tensors[name] for name in node.outputs]
    low.target.add_node(Node(node.op, inputs, node.outputs, node.attrs), outputs)


def _narrow_bias(low: Lowering, node: Node) -> str:
    """Param int32 -> const base + param int16 delta; returns the effective bias."""
    b, graph, target = node.inputs[2], low.source, low.target
    scales = graph.channel_scales(node.inputs[1])
    m = graph.scale(node.inputs[0]) * scales / graph.scale(node.outputs[0])
    target.set_role(b, "const")
    bias = graph.tensors[b]
    delta = Tensor(low.fresh(f"{b}.delta"), bias.shape, "i16", "param", part_of=bias.parameter)
    target.add_tensor(delta, np.zeros(delta.shape, np.int16))
    attrs: dict[str, Attr] = {"shift": numerics.bias_delta_shift(m)}
    name = low.fresh(f"{b}.effective")
    made = Node("bias_from_delta", (b, delta.name), (name,), attrs)
    target.add_node(made, [Tensor(name, delta.shape, "i32")])
    return name


def _conv2d_input_grad(low: Lowering, node: Node) -> None:
    g, w, scales, *split = node.inputs
    inputs = (*low.lowered[g].pair, w, scales, *split, *low.round_inputs(node.outputs[0]))
    attrs = node.attrs | low.rounding(node) | {"trained": bool(split)}
    lowered = Node("q_conv2d_input_grad", inputs, node.outputs, attrs)
    shape = weight_shape(low.source, Node("conv2d", (g, w, scales, *split), (), node.attrs), 1, 3)
    constants = input_grad_constants(low.target, lowered, shape)
    low.emit_gradient(lowered, constants.factor, rounding=True)


def _gradient_sum(low: Lowering, node: Node) -> None:
    a, b = (low.lowered[name] for name in node.inputs)
    inputs = (*a.pair, *b.pair, *low.round_inputs(node.outputs[0]))
    shape = list(low.source.tensors[node.outputs[0]].shape)
    attrs = low.rounding(node) | {"shape": shape}
    factor = low.target.factor(a.codes)
    low.emit_gradient(Node("q_gradient_sum", inputs, node.outputs, attrs), factor, rounding=True)


def _scale_gradient(low: Lowering, node: Node) -> None:
    source = low.lowered[node.inputs[0]]
    real = low.target.factor(source.codes) * real_attr(node, "factor")
    factor, delta = numerics.normalize_factor(real)
    attrs: dict[str, Attr] = {"exponent_delta": delta}
    lowered = Node("q_scale_gradient", source.pair, node.outputs, attrs)
    low.emit_gradient(lowered, factor, rounding=False)
    mask = low.mask_of(node.outputs[0])
    if mask is not None:
        _masked(low, node.outputs[0], mask)


def _average_pool_grad(low: Lowering, node: Node) -> None:
    source = low.lowered[node.inputs[0]]
    kernel, stride = node.ints("kernel"), node.ints("stride")
    overlapping = stride[0] < kernel[0] or stride[1] < kernel[1]
    real = low.target.factor(source.codes) / (kernel[0] * kernel[1])
    factor, delta = numerics.normalize_factor(real)
    name = node.outputs[0]
    mask = low.mask_of(name)
    rest = low.round_inputs(name) if overlapping else ((mask,) if mask else ())
    own: dict[str, Attr] = {"overlapping": overlapping, "exponent_delta": delta}
    attrs = node.attrs | low.rounding(node) | own
    lowered = Node("q_average_pool_grad", (*source.pair, *rest), node.outputs, attrs)
    low.emit_gradient(lowered, factor, rounding=overlapping)


def _head_input_grad(low: Lowering, node: Node) -> None:
    attrs = node.attrs | {"site": numerics.random_site(node.outputs[0])}
    factor = numerics.normalize_factor(real_attr(node, "x_scale"))[0]
    if "fraction_bits" in attrs:
        factor = 1.0
    inputs = (*node.inputs, *low.random)
    lowered = Node("q_head_input_grad", inputs, node.outputs, attrs)
    low.emit_gradient(lowered, factor, rounding=False)
    low.base = low.lowered[node.outputs[0]].exponent
    mask = low.mask_of(node.outputs[0])
    if mask is not None:
        _masked(low, node.outputs[0], mask)


def _masked(low: Lowering, name: str, mask: str) -> None:
    """A mask that no producer could apply: an op of its own."""
    gradient = low.lowered[name]
    made = low.fresh(f"{name}.masked")
    source = low.target.tensors[gradient.codes]
    tensor = Tensor(made, source.shape, "i8", "value", source.quant)
    low.target.add_node(Node("q_mask_gradient", (gradient.codes, mask), (made,), {}), [tensor])
    low.lowered[name] = replace(gradient, codes=made)


def _mask_gradient(low: Lowering, node: Node) -> None:
    gradient, mask = node.inputs
    if low.mask_of(gradient) is None:
        _masked(low, gradient, mask)
    low.lowered[node.outputs[0]] = low.lowered[gradient]


def _reshape(low: Lowering, node: Node) -> None:
    source = low.lowered[node.inputs[0]]
    name, shape = node.outputs[0], low.source.tensors[node.outputs[0]].shape
    tensor = Tensor(name, shape, "i8", "value", low.target.tensors[source.codes].quant)
    low.target.add_node(Node("reshape", (source.codes,), (name,), node.attrs), [tensor])
    low.lowered[name] = replace(source, codes=name)
    mask = low.mask_of(name)
    if mask is not None:
        _masked(low, name, mask)


def _conv2d_weight_grad(low: Lowering, node: Node) -> None:
    g, x, scales, *order = node.inputs
    param = low.param_of[node.outputs[0]]
    attrs = {k: v for k, v in node.attrs.items() if k not in ("shape", "selected")}
    attrs["site"] = low.site_of(param)
    inputs = (*low.lowered[g].pair, x, param, scales, low.rate, *low.random, *order)
    low.emit_update("conv2d_weight_update", inputs, (param,), attrs)


def _conv2d_bias_grad(low: Lowering, node: Node) -> None:
    g, scales = node.inputs
    param, attrs = low.param_of[node.outputs[0]], dict(node.attrs)
    if low.bias_format == "int16":
        effective = next(
            n for n in low.target.nodes if n.op == "bias_from_delta" and n.inputs[0] == param
        )
        param, attrs["shift"] = effective.inputs[1], effective.int("shift")
    attrs["site"] = low.site_of(param)
    inputs = (*low.lowered[g].pair, param, scales, low.rate, *low.random)
    low.emit_update("bias_update", inputs, (param,), attrs)


def _head_weight_grad(low: Lowering, node: Node) -> None:
    d, x = node.inputs
    head = next(n for n in low.source.nodes if n.op == "head")
    attrs = {k: v for k, v in head.attrs.items() if k == "fraction_bits"}
    for operand, param in zip(("weight", "bias"), head.inputs[1:], strict=True):
        attrs[f"{operand}_site"] = low.site_of(param)
    inputs = (d, x, *head.inputs[1:], low.rate, *low.random)
    low.emit_update("head_update", inputs, head.inputs[1:], attrs)


def _head_bias_grad(low: Lowering, node: Node) -> None:
    """The bias is updated together with the weight."""


LOWERINGS: dict[str, Lower] = {
    "conv2d_input_grad": _conv2d_input_grad, "conv2d_weight_grad": _conv2d_weight_grad,
    "conv2d_bias_grad": _conv2d_bias_grad, "gradient_sum": _gradient_sum,
    "scale_gradient": _scale_gradient, "average_pool_grad": _average_pool_grad,
    "mask_gradient": _mask_gradient, "reshape": _reshape, "head_input_grad": _head_input_grad,
    "head_weight_grad": _head_weight_grad, "head_bias_grad": _head_bias_grad,
}  # fmt: skip

__all__ = ["BiasFormat", "ExponentRule", "lower_gradients"]
