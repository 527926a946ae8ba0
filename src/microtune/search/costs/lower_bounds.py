"""Lower bounds of the costs of selections, as sums over a bias depth and choices.

The planned SRAM of a selection is that of parameters, context and stack, which is a sum over its
parts, and the arena. In every schedule certain buffers are live at each node behind the frozen
prefix: those of training the biases, and the saved inputs of the chosen layers that the backward
pass still needs. The arena is at least their sum, and at least the arena of the frozen prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from microtune import pipeline
from microtune.codegen.layout import block_bytes, parameter_slots
from microtune.ir.graph import Graph, Node
from microtune.ir.ops import Trait, with_trait
from microtune.ir.ops.convolution_operands import WeightUpdate
from microtune.ir.ops.layer import layer_of
from microtune.memory.lifetimes import aligned, views
from microtune.search.costs.live_memory import (
    LiveBuffers,
    LiveBytes,
    always_live_buffers,
    resident_bytes,
)
from microtune.search.costs.planned import SelectionCosts, estimated_instructions
from microtune.search.problem import HEAD_ONLY, RATIOS, Choice, Selection


@dataclass(frozen=True)
class ChoiceCost:
    """What a choice adds to the costs of any selection.

    Bytes of parameters and of flash, and instructions of one training step. The layer's input is
    saved for the weight gradient: `saved_tensor`, of `saved_bytes`, is live in `live_steps`.
    """

    resident_bytes: int
    flash_bytes: int
    instructions: int
    saved_bytes: int
    saved_tensor: str
    live_steps: frozenset[str]


@dataclass(frozen=True)
class BiasDepthCost:
    """What training the biases of one depth, and no weights, costs.

    Bytes of parameters, context and stack, bytes of flash, instructions of one training step, and
    the buffers that are live in each step.
    """

    resident_bytes: int
    flash_bytes: int
    instructions: int
    live: LiveBuffers

    def live_in_step(
        self, step: str, needs: Mapping[Choice, ChoiceCost]
    ) -> tuple[int, list[Choice]]:
        """(bytes live in a step with biases alone, choices that add their saved input to it)."""
        alive = self.live.by_step[step]
        owner = self.live.owner
        more = [
            choice for choice, need in needs.items()
            if step in need.live_steps
            and owner.get(need.saved_tensor, need.saved_tensor) not in alive
        ]  # fmt: skip
        return sum(alive.values()), more


@dataclass(frozen=True)
class LowerBound:
    """The least that a selection costs: bytes of SRAM and flash, instructions of one step."""

    sram_bytes: int
    flash_bytes: int
    instructions: int


class LowerBounds:
    """Lower bounds of the costs of all selections of these bias depths and choices.

    Depth 0 is the head alone. `prefix_arena` is the arena of the frozen prefix in bytes. The costs
    of a selection are at least those of its depth and of its choices together. For parameters and
    instructions the bound is exact (but for rounding), for flash too but for gradient offsets.
    """

    def __init__(
        self, costs: SelectionCosts, depths: Iterable[int], choices: Iterable[Choice]
    ) -> None:
        self.costs = costs
        self.prefix_arena = prefix_arena(costs)
        self.choice_costs: dict[Choice, ChoiceCost] = {}
        self._scratch: dict[str, int] = {}
        listed = sorted(choices)
        for ratio in RATIOS:
            self._add_choices(tuple(c for c in listed if c.ratio == ratio))
        self.depth_costs = {
            depth: self._depth_cost(Selection(depth, ())) for depth in sorted(depths)
        }

    def lower_bound(self, selection: Selection) -> LowerBound:
        """The lower bound of a selection, found without planning it.

        Raises KeyError for a depth or choice that these bounds were not made for.
        """
        at = self.depth_costs[selection.bias_layers]
        needs = {choice: self.choice_costs[choice] for choice in selection.choices}
        arena = max(
            [self.prefix_arena, *(self._arena(at, step, needs) for step in at.live.by_step)]
        )
        rounding = 1 + len(needs)
        return LowerBound(
            arena + at.resident_bytes + sum(n.resident_bytes for n in needs.values()),
            at.flash_bytes + sum(n.flash_bytes for n in needs.values()),
            at.instructions + sum(n.instructions for n in needs.values()) - rounding,
        )

    def _arena(self, at: BiasDepthCost, step: str, needs: Mapping[Choice, ChoiceCost]) -> int:
        """Bytes that are live in a step; an input that several layers read is counted once."""
        arena, kept = at.live_in_step(step, needs)
        saved: dict[str, int] = {}
        for need in (needs[choice] for choice in kept):
            owner = at.live.owner.get(need.saved_tensor, need.saved_tensor)
            saved[owner] = max(need.saved_bytes, saved.get(owner, 0))
        return arena + sum(saved.values())

    def _depth_cost(self, selection: Selection) -> BiasDepthCost:
        """The cost of training the biases of a selection without choices."""
        graph = self.costs.unscheduled_graph(selection)
        live = always_live_buffers(graph)
        # Kernels may need less scratch where some of their weights are trained.
        least: dict[str, LiveBytes] = {
            step: {name: min(size, self._scratch.get(name, size)) for name, size in alive.items()}
            for step, alive in live.by_step.items()
        }
        instructions = estimated_instructions(graph, graph.nodes, self.costs.request.target)
        flash = pipeline.constant_bytes(graph) + pipeline.CODE_BYTES
        return BiasDepthCost(
            _resident_bytes(self.costs, graph), flash, instructions, LiveBuffers(least, live.owner)
        )

    def _add_choices(self, chosen: tuple[Choice, ...]) -> None:
        """Find the costs of choices of one ratio, all of them in one graph."""
        if not chosen:
            return
        graph = self.costs.unscheduled_graph(
            Selection(len(self.costs.layers) - chosen[0].layer, chosen)
        )
        live = always_live_buffers(graph)
        layers = {node.outputs[0]: node for node in with_trait(graph, Trait.LAYER)}
        for choice in chosen:
            layer = layers[self.costs.layers[choice.layer]]
            self.choice_costs[choice] = self._choice_cost(graph, layer, live)
        for alive in live.by_step.values():
            for name, size in alive.items():
                if name not in graph.tensors:
                    self._scratch[name] = min(size, self._scratch.get(name, size))

    def _choice_cost(self, graph: Graph, layer: Node, live: LiveBuffers) -> ChoiceCost:
        """What training the weights of a layer adds to the costs of a graph."""
        o = layer_of(layer)
        weight = o.split.trained if o.split else o.weight
        update = graph.producers()[graph.updates[weight]]
        x = WeightUpdate[str].of(update.inputs).x
        saved = views(graph).get(x, x)
        made = [n for n in with_trait(graph, Trait.TRAINING_ONLY) if n.outputs[0] == saved]
        buffer = live.owner.get(saved, saved)
        order = graph.tensors[o.split.order].bytes if o.split else 0
        size = aligned(graph.tensors[weight].bytes)
        return ChoiceCost(
            size + self.costs.velocity_bytes(size), order,
            estimated_instructions(graph, [update, *made], self.costs.request.target),
            aligned(graph.tensors[saved].bytes), saved,
            frozenset(step for step, alive in live.by_step.items() if buffer in alive),
        )  # fmt: skip


def sram_lower_bound(costs: SelectionCosts, selection: Selection) -> int:
    """A lower bound of the selection's planned SRAM in bytes, found without planning it."""
    graph = costs.unscheduled_graph(selection)
    alive = max(sum(step.values()) for step in always_live_buffers(graph).by_step.values())
    return max(prefix_arena(costs), alive) + _resident_bytes(costs, graph)


def _resident_bytes(costs: SelectionCosts, graph: Graph) -> int:
    """Bytes of parameters, context and stack, with the states of the request's optimiser."""
    parameters = block_bytes(parameter_slots(graph))
    return resident_bytes(graph) + costs.velocity_bytes(parameters)


def prefix_arena(costs: SelectionCosts) -> int:
    """Arena of the head alone in bytes, a lower bound of the arena of every selection.

    The head alone has the longest frozen prefix, and can be scheduled as the prefix of any other
    selection is. The arena is planned in one memory: in several memories the plan of the head may
    be larger than another selection's.
    """
    head = costs.unscheduled_graph(HEAD_ONLY)
    return costs.in_one_memory().sram(HEAD_ONLY) - _resident_bytes(costs, head)
