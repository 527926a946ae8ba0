"""What selections need at least: memory that every schedule holds at once, as sums of choices.

The planned peak of a selection is parameters, context and stack (exact and additive) and the arena.
Whatever is the order, in each step of the forward part behind the frozen prefix, and during each
node of the backward part, certain buffers are alive: those of training the biases down to that
depth, and the inputs that the chosen layers saved before and have not used yet. No arena is smaller
than their sum, nor than that of the frozen prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from microtune import pipeline
from microtune.ir.graph import Graph, Node
from microtune.memory.lifetimes import aligned, views
from microtune.search.costs.live_memory import Alive, Steps, resident, surely_alive
from microtune.search.costs.planned import Costs, nodes_instructions
from microtune.search.problem import HEAD_ONLY, RATIOS, Choice, Selection

_UPDATE = "conv2d_weight_update"
_LAYERS = ("conv2d", "fully_connected")


@dataclass(frozen=True)
class Need:
    """What a choice adds to any selection: bytes of parameters and of flash, instructions of a
    step, and its saved input: bytes, the tensor, and the steps in which that is alive."""

    resident: int
    flash: int
    instructions: int
    saved: int
    tensor: str
    steps: frozenset[str]


@dataclass(frozen=True)
class Depth:
    """Biases alone at one depth: bytes of parameters, context and stack, of flash; instructions;
    and what is alive in each step."""

    resident: int
    flash: int
    instructions: int
    steps: Steps

    def row(self, step: str, needs: Mapping[Choice, Need]) -> tuple[int, list[Choice]]:
        """(the arena that a step needs, choices whose saved input is alive in it besides)."""
        alive = self.steps.alive[step]
        owner = self.steps.owner
        more = [
            choice for choice, need in needs.items()
            if step in need.steps and owner.get(need.tensor, need.tensor) not in alive
        ]  # fmt: skip
        return sum(alive.values()), more


@dataclass(frozen=True)
class Least:
    """What a selection costs at least: bytes of SRAM and of flash, instructions of a step."""

    sram_bytes: int
    flash_bytes: int
    instructions: int


class Bounds:
    """Lower bounds of the costs of all selections of these depths (0: the head) and choices.

    `arena` is that of the frozen prefix. The costs of a selection are at least those of its depth
    and the sum of what its choices need; parameters, flash but for the gradients' offsets, and
    instructions (rounded) are exactly that.
    """

    def __init__(self, costs: Costs, depths: Iterable[int], choices: Iterable[Choice]) -> None:
        self.costs = costs
        self.arena = prefix_arena(costs)
        self.needs: dict[Choice, Need] = {}
        self._scratch: dict[str, int] = {}
        listed = sorted(choices)
        for ratio in RATIOS:
            self._add(tuple(c for c in listed if c.ratio == ratio))
        self.depths = {depth: self._depth(Selection(depth, ())) for depth in sorted(depths)}

    def least(self, selection: Selection) -> Least:
        """Of a selection of these depths and choices; needs no plan."""
        at = self.depths[selection.bias_layers]
        needs = {choice: self.needs[choice] for choice in selection.choices}
        arena = max([self.arena, *(self._arena(at, step, needs) for step in at.steps.alive)])
        rounding = 1 + len(needs)
        return Least(
            arena + at.resident + sum(n.resident for n in needs.values()),
            at.flash + sum(n.flash for n in needs.values()),
            at.instructions + sum(n.instructions for n in needs.values()) - rounding,
        )

    def _arena(self, at: Depth, step: str, needs: Mapping[Choice, Need]) -> int:
        """What is alive in a step; what several layers read is kept once."""
        arena, kept = at.row(step, needs)
        saved: dict[str, int] = {}
        for need in (needs[choice] for choice in kept):
            owner = at.steps.owner.get(need.tensor, need.tensor)
            saved[owner] = max(need.saved, saved.get(owner, 0))
        return arena + sum(saved.values())

    def _depth(self, selection: Selection) -> Depth:
        graph = self.costs.sketch(selection)
        steps = surely_alive(graph)
        # Kernels may need less scratch where some of their weights are trained.
        least: dict[str, Alive] = {
            step: {name: min(size, self._scratch.get(name, size)) for name, size in alive.items()}
            for step, alive in steps.alive.items()
        }
        instructions = nodes_instructions(graph, graph.nodes, self.costs.request.target)
        flash = pipeline.constant_bytes(graph) + pipeline.CODE_BYTES
        return Depth(resident(graph), flash, instructions, Steps(least, steps.owner))

    def _add(self, chosen: tuple[Choice, ...]) -> None:
        """All choices of a ratio, in one graph."""
        if not chosen:
            return
        graph = self.costs.sketch(Selection(len(self.costs.layers) - chosen[0].layer, chosen))
        steps = surely_alive(graph)
        layers = {node.outputs[0]: node for node in graph.nodes if node.op in _LAYERS}
        for choice in chosen:
            layer = layers[self.costs.layers[choice.layer]]
            self.needs[choice] = self._need(graph, layer, steps)
        for alive in steps.alive.values():
            for name, size in alive.items():
                if name not in graph.tensors:
                    self._scratch[name] = min(size, self._scratch.get(name, size))

    def _need(self, graph: Graph, layer: Node, steps: Steps) -> Need:
        weight = layer.inputs[3] if len(layer.inputs) > 3 else layer.inputs[1]
        update = next(n for n in graph.nodes if n.op == _UPDATE and n.inputs[3] == weight)
        saved = views(graph).get(update.inputs[2], update.inputs[2])
        made = [n for n in graph.nodes if n.op == "gather_channels" and n.outputs[0] == saved]
        buffer = steps.owner.get(saved, saved)
        order = graph.tensors[layer.inputs[4]].bytes if len(layer.inputs) > 4 else 0
        return Need(
            aligned(graph.tensors[weight].bytes), order,
            nodes_instructions(graph, [update, *made], self.costs.request.target),
            aligned(graph.tensors[saved].bytes), saved,
            frozenset(step for step, alive in steps.alive.items() if buffer in alive),
        )  # fmt: skip


def least_sram(costs: Costs, selection: Selection) -> int:
    """Bytes that no plan of the selection goes below, as far as is known without planning it."""
    graph = costs.sketch(selection)
    alive = max(sum(step.values()) for step in surely_alive(graph).alive.values())
    return max(prefix_arena(costs), alive) + resident(graph)


def prefix_arena(costs: Costs) -> int:
    """Bytes of the arena of the head alone, whose frozen prefix is longest: whatever another
    selection does with its prefix and the layers behind, the head alone can do as well. Of one
    memory: several arenas are no smaller, but the head's may be larger than need be."""
    return costs.in_one_memory().sram(HEAD_ONLY) - resident(costs.sketch(HEAD_ONLY))
