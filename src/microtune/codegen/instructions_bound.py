"""What a kernel must at least execute: bounds per class of kernel and instruction set.

    bound = products * (cost of one MAC) + outputs * (finishing one) + inputs * (preparing one)

A cost of a MAC is counted on the best register block that fits the core, loads and extensions
included, for int8 weights in flash and int8 activations in memory (docs/instructions.md derives
each figure). They bound kernels of that structure; they are not proofs that no other exists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from microtune.ir.convolution import ConvKind, is_per_channel
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.forward import weight_shape
from microtune.ir.ops.registry import conv_kind

InstructionSet = Literal["mve", "dsp", "mla", "thumb1"]
# Instructions per MAC if nothing but the multiply-accumulate existed.
MULTIPLY_ONLY: dict[InstructionSet, float] = {"mve": 1 / 16, "dsp": 0.5, "mla": 1.0, "thumb1": 2.0}


@dataclass(frozen=True)
class Layer:
    """The shape of a kernel's work.

    `kind` is the class of kernel, `text` its shape for people; `length` the products summed for
    one output, `taps` the width of its kernel; `inputs` and `outputs` are elements.
    """

    kind: str
    text: str
    length: int = 0
    taps: int = 1
    inputs: int = 0
    outputs: int = 0


@dataclass(frozen=True)
class Costs:
    """Instructions: to prepare an input, to finish an output of each kind."""

    widen: float
    forward: float
    gradient: float
    weight: float
    bias: float
    add: float


# DSP: widen = (ldr, 2 sxtb16, strd) / 4; forward = smmlar, ssat, strb; gradient adds the random
# bits (6 for 4), extraction, noise, scale, shift and maximum; weight = 3 of random bits and load,
# rate, noise, shift, add, saturate, store; bias = (ldr, 2 sxtab16) / 4; add = 26 for 4 elements.
# Helium: forward = (2 vmov, vrmulh, vadd, vqmovn, vstrb) / 4, gradient and weight alike with their
# random bits; bias = (vldrb, 2 vmovl, 2 vadd) / 16; add = 8 for 4 elements.
# MLA: forward = smull, add, 2 of saturation, strb.
COSTS: dict[InstructionSet, Costs] = {
    "dsp": Costs(1.0, 3.0, 8.0, 10.0, 0.75, 6.5),
    "mve": Costs(0.0, 1.5, 2.5, 2.75, 5 / 16, 2.0),
    "mla": Costs(0.0, 5.0, 10.0, 12.0, 2.0, 9.0),
}


def instruction_set(isa: Sequence[str], portable: bool = False) -> InstructionSet:
    """The kernels that a target with these extensions runs."""
    if "armv6-m" in isa:
        return "thumb1"
    if portable or not {"dsp", "mve"} & set(isa):
        return "mla"
    return "mve" if "mve" in isa else "dsp"


def dense_cost(isa: InstructionSet, length: int) -> float:
    """Instructions per MAC of a dot product of `length`, many of which share operands.

    DSP: one output of 8 pixels, 4 products each: ldr, 2 sxtb16, 8 ldrd, 16 smlad = 27 for 32.
    Helium: 3 outputs of 2 pixels, 16 products each: 5 loads, 6 vmladava = 11 for 96; what is
    missing to whole vectors is lost. MLA: 2 by 2, one product each: 4 loads, 4 mla.
    """
    if isa == "dsp":
        return 27 / 32 * _whole(length, 4)
    if isa == "mve":
        return 11 / 96 * _whole(length, 16)
    return 2.0


def depthwise_cost(isa: InstructionSet, taps: int) -> float:
    """Instructions per MAC of a depthwise kernel `taps` wide.

    DSP: ceil(k/2) smlad for each kernel row, each with half a double load (data for two outputs,
    weights for four). Helium: 16 channels, vldrb, a quarter of a weight load, 2 vmull, 2 vadd.
    MLA: half a weight load, one load and one mla.
    """
    if isa == "dsp":
        return 1.5 * math.ceil(taps / 2) / taps
    if isa == "mve":
        return 5.25 / 16
    return 2.5


def _whole(length: int, step: int) -> float:
    return math.ceil(length / step) * step / length


def bound(layer: Layer, macs: int, isa: InstructionSet) -> float | None:
    """Instructions that the layer needs at least; None for classes without a bound."""
    if isa not in COSTS:
        return None
    cost = COSTS[isa]
    kind, _, what = layer.kind.partition(" ")
    if layer.kind == "add":
        return cost.add * layer.outputs
    if layer.kind == "bias update":
        return cost.bias * layer.inputs
    if kind not in ("conv", "dx", "dW"):
        return None
    per_mac = (
        depthwise_cost(isa, layer.taps) if what.startswith("depthwise")
        else dense_cost(isa, layer.length)
    )  # fmt: skip
    finish = {"conv": cost.forward, "dx": cost.gradient, "dW": cost.weight}[kind]
    return per_mac * macs + finish * layer.outputs + cost.widen * layer.inputs


# -- the layer of a node --------------------------------------------------------------------------

_NAMES = {
    "bias_update": "bias update", "q_gradient_sum": "gradient sum", "q_mask_gradient": "mask",
    "gather_channels": "save input", "bias_from_delta": "bias from delta", "average_pool": "pool",
    "q_average_pool_grad": "pool gradient", "softmax_cross_entropy": "loss",
    "q_head_input_grad": "head dx", "head_update": "head update",
}  # fmt: skip


def layer_of(graph: Graph, node: Node) -> Layer:
    """Class and shape of a node's work."""
    if node.op in ("conv2d", "fully_connected"):
        shape = weight_shape(graph, node, 1, 3)
        return _convolution(graph, node, "conv", (node.inputs[0], node.outputs[0]), shape)
    if node.op == "q_conv2d_input_grad":
        g, w, scales = node.inputs[0], node.inputs[2], node.inputs[3]
        split = node.inputs[4:6] if node.attrs["trained"] else ()
        forward = Node("conv2d", (g, w, scales, *split), (), node.attrs)
        shape = weight_shape(graph, forward, 1, 3)
        return _convolution(graph, node, "dx", (g, node.outputs[0]), shape)
    if node.op == "conv2d_weight_update":
        return _weight_update(graph, node)
    elements = graph.tensors[node.inputs[0]].elements
    made = graph.tensors[node.outputs[0]].elements if node.outputs else 0
    kind = _NAMES.get(node.op, node.op.replace("_", " "))
    return Layer(kind, f"{elements:,} elements", inputs=elements, outputs=made)


def _convolution(
    graph: Graph, node: Node, kind: str, ends: tuple[str, str], weight: tuple[int, ...]
) -> Layer:
    """`ends`: the tensor read and the tensor made; `weight`: O, KH, KW, I of a group."""
    read, made = (graph.tensors[name] for name in ends)
    o, kh, kw, per_group = weight
    groups = 1 if node.op == "fully_connected" else node.int("groups")
    stride = 1 if node.op == "fully_connected" else node.ints("stride")[0]
    depthwise = is_per_channel(groups, per_group * groups, o)
    per_output = o // groups if kind == "dx" else per_group
    square = "x".join(str(n) for n in made.shape[1:-1]) or "1x1"
    text = f"{read.shape[-1]}→{made.shape[-1]} at {square}"
    return Layer(
        f"{kind} {'depthwise ' if depthwise else ''}{kh}x{kw}",
        text + (f" s{stride}" if stride > 1 else ""), kh * kw * per_output, kw,
        read.elements, made.elements,
    )  # fmt: skip


def _weight_update(graph: Graph, node: Node) -> Layer:
    gradient, weight = graph.tensors[node.inputs[0]], graph.tensors[node.inputs[3]]
    saved = graph.tensors[node.inputs[2]]
    kh, kw = weight.shape[1:3] if len(weight.shape) == 4 else (1, 1)
    depthwise = conv_kind(graph, node) is ConvKind.DEPTHWISE
    pixels = gradient.elements // gradient.shape[-1]
    return Layer(
        f"dW {'depthwise ' if depthwise else ''}{kh}x{kw}",
        f"{weight.elements:,} weights over {pixels} pixels", pixels, kw,
        gradient.elements + saved.elements, weight.elements,
    )  # fmt: skip
