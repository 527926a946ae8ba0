"""Which buffers a step needs, how large they are and when they live (half-open, in node steps)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from microtune.ir.graph import Graph, Node

VIEW_OPS = frozenset({"reshape", "q_scale_gradient"})


@dataclass(frozen=True)
class Buffer:
    """`bytes` of arena that live in steps [first, last): from before step `first` to `last`."""

    name: str
    bytes: int
    first: int
    last: int
    alignment: int = 8

    def overlaps(self, other: Buffer) -> bool:
        """Whether both are alive in some step."""
        return self.first < other.last and other.first < self.last


def views(graph: Graph) -> dict[str, str]:
    """Value -> the tensor whose memory it is (itself, a viewed value or an updated param)."""
    owner: dict[str, str] = {}
    for node in graph.nodes:
        for position, name in enumerate(node.outputs):
            viewed = node.op in VIEW_OPS and position == 0
            owner[name] = owner.get(node.inputs[0], node.inputs[0]) if viewed else name
    owner.update({value: target for target, value in graph.updates.items()})
    return owner


def step_buffers(graph: Graph, scratch_bytes: Callable[[Node], int]) -> list[Buffer]:
    """The buffers of one training step (or inference) in the order of the graph's nodes.

    The input frame lives from step 0; outputs live to the end. `scratch_bytes` tells what a node's
    kernel needs besides its operands.
    """
    owner = views(graph)
    end = len(graph.nodes)
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for tensor in graph.with_role("input"):
        if tensor.name == "input":
            first[tensor.name] = last[tensor.name] = 0
    for step, node in enumerate(graph.nodes):
        for name in (*node.inputs, *node.outputs):
            buffer = owner.get(name, name)
            if graph.tensors[buffer].role == "value":
                first.setdefault(buffer, step)
            if buffer in first:
                last[buffer] = step + 1
    for name in graph.outputs:
        last[owner.get(name, name)] = end
    buffers = [_buffer(graph, name, first[name], last[name]) for name in first]
    for step, node in enumerate(graph.nodes):
        size = scratch_bytes(node)
        if size:
            buffers.append(Buffer(f"scratch.{node.outputs[0]}", size, step, step + 1))
    return buffers


def _buffer(graph: Graph, name: str, first: int, last: int) -> Buffer:
    size = max(graph.tensors[name].bytes, 1)
    return Buffer(name, size, first, max(last, first + 1), 4 if size <= 4 else 8)
