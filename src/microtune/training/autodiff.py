"""Reverse-mode differentiation at compile time, from a table of rules.

`differentiate` appends the loss and the float gradient ops to a forward graph. Only what a
trainable parameter needs is created: a rule is asked for the gradient of an input only if that
input depends on one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir.convolution import split_axis
from microtune.ir.graph import Attr, Graph, Node, Tensor
from microtune.ir.ops import OPS
from microtune.ir.ops.forward import full_weight
from microtune.ir.ops.registry import Shape
from microtune.ir.verifier import verify


@dataclass
class Tape:
    """The graph under construction and the gradients found so far."""

    graph: Graph
    active: set[str]
    contributions: dict[str, list[str]] = field(default_factory=dict)
    saved: dict[int, list[Node]] = field(default_factory=dict)

    def emit(self, op: str, name: str, inputs: tuple[str, ...], **attrs: Attr) -> str:
        """Append a node with one output, called `name` or like it; returns its name."""
        name = self.graph.fresh(name)
        node = Node(op, inputs, (name,), attrs)
        shape, dtype = OPS[op].shapes(self.graph, node)[0]
        self.graph.add_node(node, [Tensor(name, shape, dtype)])
        return name

    def wants(self, name: str) -> bool:
        """Whether the gradient of this tensor is needed."""
        return name in self.active

    def contribute(self, name: str, gradient: str) -> None:
        """Add one path's gradient of `name`."""
        self.contributions.setdefault(name, []).append(gradient)

    def shape(self, name: str) -> list[int]:
        """Shape as an attribute."""
        return list(self.graph.tensors[name].shape)


Rule = Callable[[Tape, Node, str], None]
RULES: dict[str, Rule] = {}


def rule(*ops: str) -> Callable[[Rule], Rule]:
    """Register the gradient rule of ops: (tape, forward node, gradient of its output)."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, function))
        return function

    return register


def differentiate(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """Append loss and backward; returns (graph, param name -> name of its float gradient).

    The loss and the gradients become outputs; an int32 target (1,), the label, becomes an input.
    Raises MicrotuneError naming an op on the way that has no rule.
    """
    result = verify(graph).copy()
    params = [t.name for t in graph.with_role("param")]
    shared = [name for name in params if len(graph.consumers()[name]) > 1]
    if shared:
        raise MicrotuneError(
            f"{graph.name}: {', '.join(shared)} belongs to several layers; only a layer with a "
            "parameter of its own can be trained"
        )
    active = _active(result, params)
    logits = graph.outputs[0]
    if logits not in active:
        raise MicrotuneError(f"{graph.name}: the scheme trains nothing that the output depends on")
    tape = Tape(result, active)
    forward = list(result.nodes)
    loss = _append_loss(tape, logits)
    for position in range(len(forward) - 1, -1, -1):
        _visit(tape, forward[position], position)
    _insert_saved(result, tape.saved)
    result.outputs = [logits, loss]
    unused = [name for name in params if name not in tape.contributions]
    if unused:
        raise MicrotuneError(f"{graph.name}: the output does not depend on {', '.join(unused)}")
    gradients = {name: tape.contributions[name][0] for name in params}
    for gradient in gradients.values():
        result.tensors[gradient] = replace(result.tensors[gradient], kind="gradient")
    result.outputs += gradients.values()
    return verify(result), gradients


def _append_loss(tape: Tape, logits: str) -> str:
    """Append the label and the loss, with the gradient of the logits; returns the loss."""
    graph = tape.graph
    label = graph.input(graph.fresh("label"), (1,), "i32", kind="target")
    names = (graph.fresh("loss"), graph.fresh(f"{logits}.grad"))
    node = Node("softmax_cross_entropy", (logits, label), names)
    (shape, dtype), gradient = OPS[node.op].shapes(graph, node)
    loss = Tensor(names[0], shape, dtype, kind="loss")
    graph.add_node(node, [loss, Tensor(names[1], *gradient)])
    tape.contribute(logits, names[1])
    return loss.name


def _active(graph: Graph, params: list[str]) -> set[str]:
    active = set(params)
    for node in graph.nodes:
        if active & set(node.inputs):
            active.add(node.outputs[0])
    return active


def _visit(tape: Tape, node: Node, position: int) -> None:
    y = node.outputs[0]
    if y not in tape.active or y not in tape.contributions:
        return
    if node.op not in RULES:
        raise MicrotuneError(
            f"no gradient rule for op {node.op} (node %{y}); there are rules for {sorted(RULES)}"
        )
    gradient, *others = tape.contributions[y]
    for number, other in enumerate(others):
        gradient = tape.emit("gradient_sum", f"{y}.sum{number}", (gradient, other))
    if can_clamp(tape.graph, node):
        mask = _with_mask(tape, node, position)
        gradient = tape.emit("mask_gradient", f"{y}.grad", (gradient, mask))
    RULES[node.op](tape, tape.graph.nodes[position], gradient)


def _with_mask(tape: Tape, node: Node, position: int) -> str:
    y = tape.graph.tensors[node.outputs[0]]
    mask = tape.graph.add_tensor(Tensor(tape.graph.fresh(f"{y.name}.mask"), y.shape, "b1"))
    tape.graph.nodes[position] = replace(node, outputs=(y.name, mask))
    return mask


def _insert_saved(graph: Graph, saved: dict[int, list[Node]]) -> None:
    """Put the copies of trained channels right before the layer that reads them."""
    for position in sorted(saved, reverse=True):
        graph.nodes[position:position] = saved[position]


def can_clamp(graph: Graph, node: Node) -> bool:
    """Whether the op's clamp can be active for some input."""
    if node.op in ("conv2d", "fully_connected"):
        frozen = all(graph.tensors[n].role == "const" for n in node.inputs[1:])
        return not frozen or _bound_exceeds(graph, node)
    return node.op in ("add", "clamp")


def _bound_exceeds(graph: Graph, node: Node) -> bool:
    """Interval bound of a frozen layer: can any int8 input leave the clamp's bounds?"""
    x, w, b = node.inputs[:3]
    quant, y = graph.quant(x), graph.quant(node.outputs[0])
    weight = graph.data[w].astype(np.float64).reshape(graph.data[w].shape[0], -1)
    reach = max(127 - quant.zero_point, quant.zero_point + 128)
    spread = np.abs(weight).sum(axis=1) * reach
    scale = graph.scale(x) * graph.channel_scales(w) / graph.scale(node.outputs[0])
    bias = graph.data[b].astype(np.float64)
    lo, hi = node.ints("clamp") if "clamp" in node.attrs else (-128, 127)
    highest = (bias + spread) * scale + y.zero_point + 1
    lowest = (bias - spread) * scale + y.zero_point - 1
    return bool((highest > hi).any() or (lowest < lo).any())


# -- the rules ------------------------------------------------------------------------------------


def _layer_attrs(tape: Tape, node: Node) -> dict[str, Attr]:
    graph = tape.graph
    return {
        "x_scale": graph.scale(node.inputs[0]), "y_scale": graph.scale(node.outputs[0]),
    }  # fmt: skip


def _conv_attrs(node: Node) -> dict[str, Attr]:
    if node.op == "fully_connected":
        return {"stride": [1, 1], "padding": [0, 0, 0, 0], "groups": 1}
    return {name: node.attrs[name] for name in ("stride", "padding", "groups")}


def _live_scales(tape: Tape, node: Node) -> str:
    """The weight scales, 0 where the channel is dead: such a channel is never trained."""
    graph, (_, w, _, *split) = tape.graph, node.inputs
    scales = graph.quant(w).scales or ""
    groups = node.int("groups", 1)
    weight = full_weight(groups, graph.data[w], [graph.data[name] for name in split])
    live = weight.reshape(weight.shape[0], -1).any(axis=1)
    if live.all():
        return scales
    name = graph.fresh(f"{node.outputs[0]}.live_scale")
    return graph.constant(name, np.where(live, graph.data[scales], 0), "f32")


@rule("conv2d", "fully_connected")
def _conv2d(tape: Tape, node: Node, g: str) -> None:
    x, w, b, *split = node.inputs
    y = node.outputs[0]
    scales = _live_scales(tape, node)
    attrs, conv = _layer_attrs(tape, node), _conv_attrs(node)
    if tape.wants(x):
        dx = tape.emit(
            "conv2d_input_grad", f"{y}.dx", (g, w, scales, *split), shape=tape.shape(x),
            **attrs, **conv,
        )  # fmt: skip
        tape.contribute(x, dx)
    trained = split[0] if split else w
    if tape.wants(trained):
        _weight_gradient(tape, node, g, scales, attrs | conv)
    if tape.wants(b):
        tape.contribute(b, tape.emit("conv2d_bias_grad", f"{b}.grad", (g, scales), **attrs))


def _weight_gradient(tape: Tape, node: Node, g: str, scales: str, attrs: dict[str, Attr]) -> None:
    x, w, _, *split = node.inputs
    graph = tape.graph
    trained = split[0] if split else w
    attrs = attrs | {"shape": tape.shape(trained), "x_zero": graph.quant(x).zero_point}
    if not split:
        dw = tape.emit("conv2d_weight_grad", f"{trained}.grad", (g, x, scales), **attrs)
        tape.contribute(trained, dw)
        return
    order = split[1]
    count = graph.tensors[trained].shape[split_axis(node.int("groups"))]
    name = graph.fresh(f"{x}.saved.{node.outputs[0]}")
    saved = Node("gather_channels", (x, order), (name,), {"selected": count})
    shape: Shape = (*graph.tensors[x].shape[:-1], count)
    graph.add_tensor(Tensor(name, shape, "i8", "value", graph.tensors[x].quant))
    tape.saved.setdefault(graph.nodes.index(node), []).append(saved)
    inputs = (g, name, scales, order)
    dw = tape.emit("conv2d_weight_grad", f"{trained}.grad", inputs, selected=count, **attrs)
    tape.contribute(trained, dw)


@rule("add")
def _add(tape: Tape, node: Node, g: str) -> None:
    y_scale = tape.graph.scale(node.outputs[0])
    for number, x in enumerate(node.inputs):
        if tape.wants(x):
            factor = tape.graph.scale(x) / y_scale
            name = f"{node.outputs[0]}.dx{number}"
            tape.contribute(x, tape.emit("scale_gradient", name, (g,), factor=factor))


@rule("average_pool")
def _average_pool(tape: Tape, node: Node, g: str) -> None:
    x = node.inputs[0]
    dx = tape.emit(
        "average_pool_grad", f"{node.outputs[0]}.dx", (g,), shape=tape.shape(x),
        kernel=node.attrs["kernel"], stride=node.attrs["stride"],
    )  # fmt: skip
    tape.contribute(x, dx)


@rule("clamp")
def _clamp(tape: Tape, node: Node, g: str) -> None:
    tape.contribute(node.inputs[0], g)


@rule("reshape")
def _reshape(tape: Tape, node: Node, g: str) -> None:
    x = node.inputs[0]
    name = f"{node.outputs[0]}.dx"
    tape.contribute(x, tape.emit("reshape", name, (g,), shape=tape.shape(x)))


@rule("head")
def _head(tape: Tape, node: Node, d: str) -> None:
    x, w, b = node.inputs
    extra = {name: node.attrs[name] for name in ("fraction_bits",) if name in node.attrs}
    if tape.wants(x):
        dx = tape.emit(
            "head_input_grad", "head.dx", (d, w), shape=tape.shape(x),
            x_scale=tape.graph.scale(x), **extra,
        )  # fmt: skip
        tape.contribute(x, dx)
    if tape.wants(w):
        tape.contribute(w, tape.emit("head_weight_grad", f"{w}.grad", (d, x)))
    if tape.wants(b):
        tape.contribute(b, tape.emit("head_bias_grad", f"{b}.grad", (d,)))


__all__ = ["RULES", "Tape", "can_clamp", "differentiate", "rule"]
