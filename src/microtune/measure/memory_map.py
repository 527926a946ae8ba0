"""The memory map of a compiled project as data: which buffer lies where, and when.

`memory_text` draws it in the terminal and `memory_picture` as SVG or PNG. Addresses and sizes are
bytes from the start of a bank. Times are steps (nodes of the training graph in order), half-open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph
from microtune.ir.ops import Trait, has
from microtune.memory.latent import replay_bytes
from microtune.pipeline import resident_bytes
from microtune.project.manifest import ArenaEntry, Manifest
from microtune.project.project import TRAINING_FILE, read_project
from microtune.targets import DEFAULT_STACK_BYTES

LARGEST = 10


class BufferKind(StrEnum):
    """The purpose of a buffer; the value is its name in legends."""

    INPUT = "input"
    ACTIVATION = "activation"
    RING = "row ring"
    SAVED = "saved input"
    MASK = "mask"
    GRADIENT = "gradient"
    RESULT = "logits, loss"
    SCRATCH = "scratch"


_BUFFER_KINDS = {"ring": BufferKind.RING, "scratch": BufferKind.SCRATCH, "rows": BufferKind.SCRATCH}


@dataclass(frozen=True)
class Block:
    """A buffer of `bytes` at `offset` of one bank that is live in the steps [first, last)."""

    name: str
    kind: BufferKind
    offset: int
    bytes: int
    first: int
    last: int

    @property
    def end(self) -> int:
        """The offset of the first byte after the block."""
        return self.offset + self.bytes


@dataclass(frozen=True)
class BankMap:
    """The part of the arena in one memory.

    The steps [peak_step, peak_last) have the most live bytes. `beside` names what else of the
    product the memory has.
    """

    name: str
    bytes: int
    lower_bound: int
    blocks: tuple[Block, ...]
    peak_step: int
    peak_last: int
    beside: tuple[str, ...] = ()

    def at_peak(self) -> list[Block]:
        """The blocks that are live in the peak step, the largest first."""
        alive = [b for b in self.blocks if b.first <= self.peak_step < b.last]
        return sorted(alive, key=lambda b: (-b.bytes, b.name))

    def peak_words(self) -> str:
        """The steps of the peak in words: "step 3" or "steps 0 to 9"."""
        if self.peak_last == self.peak_step + 1:
            return f"step {self.peak_step}"
        return f"steps {self.peak_step} to {self.peak_last - 1}"

    def label(self) -> str:
        """The bank's name, with what it holds beside the arena."""
        return self.name + (f" (beside {' and '.join(self.beside)})" if self.beside else "")

    @property
    def live_bytes(self) -> int:
        """Bytes that are live in the peak step."""
        return sum(b.bytes for b in self.at_peak())


@dataclass(frozen=True)
class MemoryMap:
    """Everything that the views show.

    `ops`, `updates` (whether parameters are updated) and `names` have one entry for each step.
    `backward` is the first step after the loss (for inference only: the number of steps). `sram`
    has the planned parts of all SRAM in bytes.
    """

    title: str
    banks: tuple[BankMap, ...]
    ops: tuple[str, ...]
    updates: tuple[bool, ...]
    names: tuple[str, ...]
    backward: int
    proven: bool
    sram: Mapping[str, int]
    sram_budget: int

    @property
    def steps(self) -> int:
        """The number of steps: nodes of the graph."""
        return len(self.names)

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arena in all banks together."""
        return sum(bank.bytes for bank in self.banks)

    def verdict(self) -> str:
        """One sentence that compares the arena with its lower bound."""
        if len(self.banks) > 1:
            text = f"arenas {self.arena_bytes:,} B in {len(self.banks)} memories"
            proof = ": each proven minimal for its buffers in this order"
            return text + (proof if self.proven else "")
        text = f"arena {self.arena_bytes:,} B, lower bound {self.banks[0].lower_bound:,} B"
        return text + (": proven minimal for this order" if self.proven else "")


def load_memory_map(project: Path) -> MemoryMap:
    """The memory map of a project folder.

    Raises MicrotuneError if the folder is none that `compile` wrote.
    """
    plan, graph = read_project(project)
    try:
        return memory_map(plan, graph)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise MicrotuneError(
            f"{project}: plan.json does not fit {TRAINING_FILE} ({error}). Compile the model again."
        ) from error


def memory_map(plan: Manifest, graph: Graph) -> MemoryMap:
    """The memory map of a plan and the graph that was planned."""
    losses = [step for step, node in enumerate(graph.nodes) if has(node, Trait.LOSS)]
    backward = losses[0] + 1 if losses else len(graph.nodes)
    kinds = _kinds(graph, backward)
    blocks: dict[str, list[Block]] = {}
    for b in plan.buffers:
        kind = _BUFFER_KINDS.get(b.kind) or kinds.get(b.name, BufferKind.ACTIVATION)
        block = Block(b.name, kind, b.offset, b.bytes, b.first, b.last)
        blocks.setdefault(b.bank, []).append(block)
    arenas = {arena.bank: arena for arena in plan.arenas}
    residents = {"stack": plan.stack_bank, "context": plan.context_bank}
    banks = tuple(
        replace(
            _bank(arenas[name], members),
            beside=tuple(what for what, bank in residents.items() if bank == name),
        )
        for name, members in blocks.items()
    )
    return MemoryMap(
        title=f"{plan.model.name}, scheme {plan.scheme.name}, {plan.target.name}, "
              f"input {plan.input}",
        banks=banks,
        ops=tuple(node.op for node in graph.nodes),
        updates=tuple(has(node, Trait.UPDATE) for node in graph.nodes),
        names=_names(graph),
        backward=backward, proven=all(bank.bytes <= bank.lower_bound for bank in banks),
        sram=sram_parts(plan, graph), sram_budget=plan.budget.sram_bytes,
    )  # fmt: skip


def _bank(arena: ArenaEntry, blocks: list[Block]) -> BankMap:
    """A bank with the size and bound of its arena, and when its blocks need most."""
    live = [0] * max(b.last for b in blocks)
    for b in blocks:
        for step in range(b.first, b.last):
            live[step] += b.bytes
    peak = live.index(max(live))
    last = next((s for s in range(peak, len(live)) if live[s] < live[peak]), len(live))
    return BankMap(arena.bank, arena.bytes, arena.lower_bound, tuple(blocks), peak, last)


def percent(part: int, whole: int) -> str:
    """A fraction of the whole in words, such as "12.0 %"."""
    share = 100 * part / whole
    return f"{share:.1f} %" if share >= 0.05 else "< 0.1 %"


def _names(graph: Graph) -> tuple[str, ...]:
    """What each step makes: a tensor, or the new value of a parameter."""
    updated = {value: name for name, value in graph.updates.items()}
    first = (node.outputs[0] for node in graph.nodes)
    return tuple(updated.get(name, name) for name in first)


def _kinds(graph: Graph, backward: int) -> dict[str, BufferKind]:
    """The kind of every value; one that the backward pass reads again is a saved input."""
    made = {name: step for step, node in enumerate(graph.nodes) for name in node.outputs}
    reread = {name for node in graph.nodes[backward:] for name in node.inputs}
    kinds: dict[str, BufferKind] = {
        tensor.name: BufferKind.INPUT for tensor in graph.with_role("input")
    }
    for name, step in made.items():
        if name in graph.outputs:
            kinds[name] = BufferKind.RESULT
        elif graph.tensors[name].dtype == "b1":
            kinds[name] = BufferKind.MASK
        elif step >= backward - 1 and backward < len(graph.nodes):
            kinds[name] = BufferKind.GRADIENT
        elif name in reread:
            kinds[name] = BufferKind.SAVED
        else:
            kinds[name] = BufferKind.ACTIVATION
    return kinds


def sram_parts(plan: Manifest, graph: Graph) -> dict[str, int]:
    """All planned SRAM in bytes, by purpose."""
    parts = {"weights": 0, "biases": 0, "head": 0}
    head = {name for node in graph.nodes if has(node, Trait.HEAD) for name in node.inputs}
    for slot in plan.parameters:
        purpose = "biases" if len(slot.shape) == 1 else "weights"
        parts["head" if slot.name in head else purpose] += slot.bytes
    resident = sum(resident_bytes(graph).values())
    sizes = {
        "arena": plan.arena_bytes, "trained weights": parts["weights"],
        "trained biases": parts["biases"], "head": parts["head"],
        "context": resident - sum(parts.values()) - DEFAULT_STACK_BYTES - replay_bytes(graph),
        "replay memory": replay_bytes(graph),
        "stack reserve": DEFAULT_STACK_BYTES,
    }  # fmt: skip
    return {name: size for name, size in sizes.items() if size}
