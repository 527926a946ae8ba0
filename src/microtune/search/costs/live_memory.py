"""Memory that every schedule of a training graph holds at once: lower bounds of its arena."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from microtune import pipeline
from microtune.codegen.layout import ALIGNMENT
from microtune.codegen.scratch import scratch_rule
from microtune.ir.graph import Graph
from microtune.memory.lifetimes import Buffer, aligned, step_buffers, views
from microtune.memory.rings import prefix_length
from microtune.passes.early_updates import early_updates
from microtune.passes.in_place import in_place
from microtune.passes.order import backward_part

Alive = Mapping[str, int]  # buffer -> bytes with those lost by alignment


@dataclass(frozen=True)
class Steps:
    """What is alive however a training graph is scheduled: node's output -> buffers, in the steps
    behind the frozen prefix; `owner` says which buffer a tensor lies in."""

    alive: dict[str, Alive]
    owner: Mapping[str, str]


def surely_alive(graph: Graph) -> Steps:
    """The steps of a training graph."""
    graph = in_place(early_updates(graph))
    scratch = scratch_rule(graph)
    part = backward_part(graph, scratch)
    end = len(graph.nodes) if part is None else part.start
    buffers = step_buffers(graph, scratch)
    steps: dict[str, Alive] = {}
    for step in range(prefix_length(graph), end):
        live = (b for b in buffers if b.first <= step < b.last)
        steps[graph.nodes[step].outputs[0]] = _sizes(live)
    if part is not None:
        for task, node in enumerate(graph.nodes[part.start :]):
            live = (m.buffer for m in part.tasks.surely_alive(task))
            steps[node.outputs[0]] = _sizes(live)
    return Steps(steps, views(graph))


def _sizes(buffers: Iterable[Buffer]) -> Alive:
    """Without the smallest, which may lie in what the alignment of others leaves free."""
    return {b.name: aligned(b.bytes) for b in buffers if b.alignment >= ALIGNMENT}


def resident(graph: Graph) -> int:
    """Bytes of parameters, context and stack."""
    return sum(pipeline.resident_bytes(graph).values())
