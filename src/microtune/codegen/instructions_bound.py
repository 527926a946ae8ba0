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

from microtune.codegen.kernels import KERNELS, Work
from microtune.ir.graph import Graph, Node

InstructionSet = Literal["mve", "dsp", "mla", "thumb1"]
# Instructions per MAC if nothing but the multiply-accumulate existed.
MULTIPLY_ONLY: dict[InstructionSet, float] = {"mve": 1 / 16, "dsp": 0.5, "mla": 1.0, "thumb1": 2.0}


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

    DSP: one output of 8 positions, 4 products each: ldr, 2 sxtb16, 8 ldrd, 16 smlad = 27 for 32.
    Helium: 3 outputs of 2 positions, 16 products each: 5 loads, 6 vmladava = 11 for 96; what is
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


def bound(work: Work, macs: int, isa: InstructionSet) -> float | None:
    """Instructions that a kernel needs at least; None for classes without a bound."""
    if isa not in COSTS or work.cost is None:
        return None
    cost = COSTS[isa]
    if work.cost == "add":
        return cost.add * work.outputs
    if work.cost == "bias gradient":
        return cost.bias * work.inputs
    per_mac = (
        depthwise_cost(isa, work.taps) if work.depthwise else dense_cost(isa, work.length)
    )  # fmt: skip
    finish = {
        "convolution": cost.forward, "input gradient": cost.gradient, "weight gradient": cost.weight
    }[work.cost]  # fmt: skip
    return per_mac * macs + finish * work.outputs + cost.widen * work.inputs


def work_of(graph: Graph, node: Node) -> Work:
    """Class and shape of a node's work; an op without a kernel does none."""
    entry = KERNELS.get(node.op)
    return entry.work(graph, node) if entry else Work(node.op, "no kernel")


__all__ = [
    "COSTS", "MULTIPLY_ONLY", "Costs", "InstructionSet", "Work", "bound", "dense_cost",
    "depthwise_cost", "instruction_set", "work_of",
]  # fmt: skip
