"""Let results take the memory of an input that nobody reads afterwards.

Elementwise ops overwrite an operand of theirs; depthwise convolutions of stride 1, forward and
transposed, overwrite their image and keep a copy of one block of channels meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from microtune.ir.graph import Graph, Node
from microtune.ir.ops import OPS, operand_names
from microtune.ir.stages import Stage
from microtune.memory.lifetimes import views


def in_place(graph: Graph) -> Graph:
    """The graph with results in place of operands wherever that saves memory and no bit changes."""
    result = graph.copy()
    for step, node in enumerate(graph.nodes):
        for position in _candidates(result, node):
            if _is_last_use(result, step, node.inputs[position]):
                taken = {**result.execution.in_place, node.outputs[0]: node.inputs[position]}
                result.execution = replace(result.execution, in_place=taken)
                break
    return result


def _candidates(graph: Graph, node: Node) -> tuple[int, ...]:
    """Positions of the operands that the node's first result may overwrite."""
    allowed = OPS[node.op].overwrites(graph, node)
    return tuple(i for i, name in enumerate(operand_names(node)) if name in allowed)


def _is_last_use(graph: Graph, step: int, name: str) -> bool:
    """Whether no later node and no output reads the memory of this value."""
    owner = views(graph)
    buffer = owner.get(name, name)
    if graph.tensors[buffer].role != "value" or graph.tensors[buffer].bytes <= 8:
        return False
    later = {n for node in graph.nodes[step + 1 :] for n in node.inputs} | set(graph.outputs)
    here = [n for n in graph.nodes[step].inputs if owner.get(n, n) == buffer]
    return len(here) == 1 and all(owner.get(n, n) != buffer for n in later)


@dataclass(frozen=True)
class InPlace:
    """Let results take the memory of an operand that nobody reads afterwards."""

    name: ClassVar[str] = "in-place"
    needs: ClassVar[Stage] = Stage.SCHEDULED
    gives: ClassVar[Stage] = Stage.SCHEDULED

    def run(self, graph: Graph) -> Graph:
        """The graph with results in place of operands."""
        return in_place(graph)
