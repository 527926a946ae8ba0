"""Update each parameter as soon as its gradient is there and nobody needs the old value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microtune.ir.graph import Graph, Node
from microtune.ir.ops import Trait, has
from microtune.ir.stages import Stage


def early_updates(graph: Graph) -> Graph:
    """The graph with each update moved up to behind the last node that it must follow."""
    result = graph.copy()
    result.nodes = []
    for node in graph.nodes:
        place = len(result.nodes)
        if has(node, Trait.UPDATE):
            while place > 0 and not _must_follow(graph, node, result.nodes[place - 1]):
                place -= 1
        result.nodes.insert(place, node)
    return result


def _must_follow(graph: Graph, update: Node, other: Node) -> bool:
    """Whether `other` makes what the update reads, or reads what the update overwrites."""
    updated = {param for param, value in graph.updates.items() if value in update.outputs}
    return bool(set(other.outputs) & set(update.inputs) or updated & set(other.inputs))


@dataclass(frozen=True)
class EarlyUpdates:
    """Update each parameter as soon as its gradient is there."""

    name: ClassVar[str] = "early-updates"
    needs: ClassVar[Stage] = Stage.SCHEDULED
    gives: ClassVar[Stage] = Stage.SCHEDULED

    def run(self, graph: Graph) -> Graph:
        """The graph with each update moved up."""
        return early_updates(graph)
