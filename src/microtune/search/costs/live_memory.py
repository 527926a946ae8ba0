"""Buffers that are live at once in every schedule of a training graph.

The sum of their bytes is a lower bound of the arena.
"""

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

# Buffer -> its bytes, rounded up to the alignment.
LiveBytes = Mapping[str, int]


@dataclass(frozen=True)
class LiveBuffers:
    """Buffers that are live in each step behind the frozen prefix, whatever the schedule is.

    A step is one node, named by its first output. `by_step` maps it to its live buffers. `owner`
    maps a tensor that is a view to the buffer it lies in.
    """

    by_step: dict[str, LiveBytes]
    owner: Mapping[str, str]


def always_live_buffers(graph: Graph) -> LiveBuffers:
    """The buffers of a training graph that no order of its nodes can free earlier."""
    graph = in_place(early_updates(graph))
    scratch = scratch_rule(graph)
    part = backward_part(graph, scratch)
    end = len(graph.nodes) if part is None else part.start
    buffers = step_buffers(graph, scratch)
    steps: dict[str, LiveBytes] = {}
    for step in range(prefix_length(graph), end):
        live = (b for b in buffers if b.first <= step < b.last)
        steps[graph.nodes[step].outputs[0]] = _sizes(live)
    if part is not None:
        for task, node in enumerate(graph.nodes[part.start :]):
            live = (m.buffer for m in part.tasks.surely_alive(task))
            steps[node.outputs[0]] = _sizes(live)
    return LiveBuffers(steps, views(graph))


def _sizes(buffers: Iterable[Buffer]) -> LiveBytes:
    """Bytes of each buffer, without those small enough to lie in the padding of others."""
    return {b.name: aligned(b.bytes) for b in buffers if b.alignment >= ALIGNMENT}


def resident_bytes(graph: Graph) -> int:
    """Bytes of parameters, context and stack: all planned SRAM but the arena."""
    return sum(pipeline.resident_bytes(graph).values())
