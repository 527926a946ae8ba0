"""A MODEL of cycles, no measurement: exact counts times rules of thumb about a pipeline.

Counted exactly are the instructions; what they cost is assumed. The model looks at each pair of
neighbours in the program, because what an in-order core loses or wins depends on neighbours:

* dual issue: two neighbours that run equally often, do not depend on each other, are not both
  memory accesses, not both products and not a branch first, take one cycle together;
* load-use: an instruction that needs the result of the load right before it waits;
* a taken branch costs extra cycles (an average over predicted and mispredicted ones);
* flash: a share of taken branches leaves what prefetch and cache hold and waits for a line, and a
  share of loads reads constants, a line of them at each wait.

Caches, bus contention, interrupts and the alignment of code are not modelled. Every assumption is a
field; change it to see what it is worth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from microtune.measure.codemap import CodeMap, Instruction

_REGISTER = re.compile(r"\b(?:[rsdq]\d+|sl|fp|ip|sp|lr|pc|sb)\b")
_LOADS = ("ldr", "ldm", "pop", "vldr", "vldm", "vpop", "vld")
_STORES = ("str", "stm", "push", "vstr", "vstm", "vpush", "vst")
_MULTIPLIES = ("mul", "mla", "mls", "sml", "smu", "smm", "umu", "uml", "vmla", "vmul", "vrmul")
_BRANCHES = re.compile(r"^(?:b|bl|bx|blx|b(?:eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)"
                       r"|cbz|cbnz|tbb|tbh|le|letp)$")  # fmt: skip
_WRITES_NOTHING = ("cmp", "cmn", "tst", "teq", "nop", "it", "ite", "itt", "vcmp", "vpt", "vpst")


class InstructionKind(StrEnum):
    """Classes of instructions that cost different numbers of cycles."""

    LOAD = "load"
    STORE = "store"
    MULTIPLY = "multiply"
    DIVIDE = "divide"
    BRANCH = "branch"
    OTHER = "other"


@dataclass(frozen=True)
class CycleModel:
    """Assumptions about a core and its memories, in cycles unless they are shares.

    `memory_cycles` is the latency of a load that nothing hides. `wait_states` are the flash's at
    the assumed clock. `line_words` is the number of words that one access to flash brings.
    """

    name: str
    dual_issue: bool
    memory_cycles: float
    load_use: float
    taken_branch: float
    divide: float
    wait_states: float
    branch_miss_share: float
    constant_load_share: float
    line_words: float


CORTEX_M7 = CycleModel("Cortex-M7 model", True, 1, 1, 1, 8, 7, 0.02, 0.2, 8)
CORTEX_M4 = CycleModel("Cortex-M4 model", False, 1.5, 0, 2, 6, 5, 0.05, 0.2, 4)


@dataclass(frozen=True)
class ModelledCycles:
    """Modelled cycles by cause; `paired` are those that dual issue saves."""

    instructions: int
    paired: float
    memory: float
    load_use: float
    branches: float
    divides: float
    flash: float

    @property
    def cycles(self) -> float:
        """The sum of the cycles of all causes."""
        extra = self.memory + self.load_use + self.branches + self.divides + self.flash
        return self.instructions - self.paired + extra

    def milliseconds(self, megahertz: float) -> float:
        """The time at a clock of so many MHz."""
        return self.cycles / megahertz / 1000


def kind_of(instruction: Instruction) -> InstructionKind:
    """The class of an instruction, by its mnemonic."""
    stem = instruction.stem
    if stem.startswith(_LOADS):
        return InstructionKind.LOAD
    if stem.startswith(_STORES):
        return InstructionKind.STORE
    if stem in ("udiv", "sdiv", "vdiv"):
        return InstructionKind.DIVIDE
    if stem.startswith(_MULTIPLIES):
        return InstructionKind.MULTIPLY
    return InstructionKind.BRANCH if _BRANCHES.match(stem) else InstructionKind.OTHER


def count_kinds(code: CodeMap, counts: Mapping[int, int]) -> dict[InstructionKind, int]:
    """How many instructions of each class were executed."""
    sums = dict.fromkeys(InstructionKind, 0)
    for address, count in counts.items():
        sums[kind_of(code.instructions[address])] += count
    return sums


def model_cycles(code: CodeMap, counts: Mapping[int, int], model: CycleModel) -> ModelledCycles:
    """Cycles of the counted instructions by the assumptions of `model`; `counts` are by address."""
    kinds = count_kinds(code, counts)
    paired = load_use = taken = 0.0
    busy = -1  # the address that is already the second of a pair
    for address in sorted(counts):
        first, count = code.instructions[address], counts[address]
        second = code.instructions.get(first.next)
        follows = counts.get(first.next, 0)
        kind = kind_of(first)
        if kind is InstructionKind.BRANCH:
            taken += max(0, count - follows) if first.stem != "bl" else count
        if second is None or kind is InstructionKind.BRANCH:
            continue
        needed = bool(_written(first) & _registers(second))
        if kind is InstructionKind.LOAD and needed:
            load_use += min(count, follows)
        pair = address != busy and count == follows and not needed and _may_pair(first, second)
        if model.dual_issue and pair:
            paired += count
            busy = first.next
    accesses = kinds[InstructionKind.LOAD] + kinds[InstructionKind.STORE]
    line = model.wait_states / model.line_words
    return ModelledCycles(
        sum(counts.values()), paired, accesses * (model.memory_cycles - 1),
        load_use * model.load_use, taken * model.taken_branch,
        kinds[InstructionKind.DIVIDE] * (model.divide - 1),
        taken * model.branch_miss_share * model.wait_states
        + kinds[InstructionKind.LOAD] * model.constant_load_share * line,
    )  # fmt: skip


def _may_pair(first: Instruction, second: Instruction) -> bool:
    kinds = (kind_of(first), kind_of(second))
    memory = [kind in (InstructionKind.LOAD, InstructionKind.STORE) for kind in kinds]
    alone = InstructionKind.DIVIDE in kinds or any(
        i.stem.startswith(("it", "v")) for i in (first, second)
    )
    return not (
        all(memory) or kinds == (InstructionKind.MULTIPLY, InstructionKind.MULTIPLY) or alone
    )


def _registers(instruction: Instruction) -> set[str]:
    return set(_REGISTER.findall(instruction.operands))


def _written(instruction: Instruction) -> set[str]:
    """The registers that an instruction writes, for which the next one may wait."""
    stem = instruction.stem
    if stem.startswith((*_STORES, *_WRITES_NOTHING)):
        return set()
    found = _REGISTER.findall(instruction.operands)
    if stem.startswith(("ldm", "pop")):
        return set(found)
    return set(found[: 2 if stem.startswith(("ldrd", "smull", "umull", "smlal", "umlal")) else 1])
