"""Estimated instructions of a kernel call on an instruction set, fitted to counted steps.

`instructions.toml` has the figures; `benchmarks/instruction_costs.py` counts and writes them. A
whole training step is estimated within a few per cent, a single layer much less exactly.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FIGURES = Path(__file__).with_name("instructions.toml")
OTHER = "other"  # kinds that no counted step had


@dataclass(frozen=True)
class CallCost:
    """Instructions of one call: for each MAC, for each element made or read, and in any case."""

    per_mac: float
    per_output: float
    per_input: float
    per_call: float

    def instructions(self, macs: int, outputs: int, inputs: int) -> float:
        """The estimated instructions of a call of this size."""
        sizes = self.per_mac * macs + self.per_output * outputs + self.per_input * inputs
        return sizes + self.per_call


StepCosts = Mapping[str, CallCost]


@cache
def step_costs(instruction_set: str) -> StepCosts:
    """The costs by kind of kernel (`kind_of`) for "mve", "dsp", "mla" or "thumb1"."""
    table = tomllib.loads(FIGURES.read_text(encoding="utf-8"))[instruction_set]
    return {kind: CallCost(*map(float, figures)) for kind, figures in table.items()}


def kind_of(kernel: str) -> str:
    """The kind under which a class of kernel such as "conv depthwise 5x5" is listed.

    1x1 kernels are a kind by themselves, all larger ones another.
    """
    name, _, size = kernel.rpartition(" ")
    return name if "x" in size and size[0].isdigit() and size != "1x1" else kernel


def call_cost(costs: StepCosts, kernel: str) -> CallCost:
    """The cost of a class of kernel.

    For a class that was never counted it is that of the 1x1 kernel of its sort or, if the kernel
    multiplies nothing, the average of such calls.
    """
    kind = kind_of(kernel)
    return costs.get(kind) or costs.get(f"{kind.partition(' ')[0]} 1x1") or costs[OTHER]
