"""Which buffers a step needs, how large they are and when they live (half-open, in node steps)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from microtune.ir.graph import Graph, Node
from microtune.ir.ops import OPS, Trait, has, operand_names
from microtune.memory.rings import Segment, image_height, row_bytes, segments_of

# A whole tensor, rows of one, what a kernel needs beside its operands, row counters of a segment.
BufferKind = Literal["tensor", "ring", "scratch", "rows"]


class Gap(NamedTuple):
    """In steps [first, last) only bytes [lower, upper) of a buffer are in use; none if equal."""

    first: int
    last: int
    lower: int = 0
    upper: int = 0


@dataclass(frozen=True)
class Buffer:
    """`bytes` of arena that live in steps [first, last): from before step `first` to `last`.

    `gaps` are the parts of that life, in order, in which less of the buffer is in use. A tensor's
    buffer has the tensor's name; the other kinds have names that no tensor can have.
    """

    name: str
    bytes: int
    first: int
    last: int
    alignment: int = 8
    gaps: tuple[Gap, ...] = ()
    kind: BufferKind = "tensor"

    def uses(self) -> tuple[Gap, ...]:
        """What is in use when: rectangles of steps [first, last) and bytes [lower, upper)."""
        if not self.gaps and self.first < self.last:
            return (Gap(self.first, self.last, 0, self.bytes),)
        used: list[Gap] = []
        step = self.first
        for gap in self.gaps:
            if step < gap.first:
                used.append(Gap(step, gap.first, 0, self.bytes))
            if gap.lower < gap.upper:
                used.append(gap)
            step = gap.last
        if step < self.last:
            used.append(Gap(step, self.last, 0, self.bytes))
        return tuple(used)

    def overlaps(self, other: Buffer) -> bool:
        """Whether bytes of both are in use in some step."""
        return any(a.first < b.last and b.first < a.last for a in self.uses() for b in other.uses())


def aligned(size: int, alignment: int = 8) -> int:
    """A size in bytes, rounded up to a multiple of `alignment` bytes."""
    return -(-size // alignment) * alignment


def views(graph: Graph) -> dict[str, str]:
    """Value -> the tensor whose memory it is (itself, a viewed value or an updated param).

    The execution options say which operand's memory a node's first result takes; an update writes
    into its operands.
    """
    owner: dict[str, str] = {}
    for node in graph.nodes:
        if writes := OPS[node.op].writes:
            operands = operand_names(node)
            for operand, name in zip(writes, node.outputs, strict=True):
                owner[name] = owner.get(operands[operand], operands[operand])
            continue
        first, *rest = node.outputs
        taken = graph.execution.in_place.get(first)
        viewed = node.inputs[0] if has(node, Trait.VIEW) else taken
        owner[first] = first if viewed is None else owner.get(viewed, viewed)
        owner.update((name, name) for name in rest)
    owner.update({value: target for target, value in graph.updates.items()})
    return owner


def in_segment(graph: Graph, nodes: Sequence[Node], number: int) -> Graph:
    """The graph with these nodes as a segment: each with a ring of its own, one row at a time."""
    result = graph.copy()
    names = (node.outputs[0] for node in nodes)
    result.execution = graph.execution.in_segment(names, number)
    return result


def ring_name(graph: Graph, segment: Segment, name: str) -> str:
    """The buffer that holds the rows of a segment's tensor."""
    whole = segment.rings[name] == image_height(graph, name)
    return name if whole else f"{name} ring"


def scratch_name(node: Node) -> str:
    """The buffer that a node's kernel needs beside its operands."""
    return f"scratch of {node.outputs[0]}"


def segment_scratch_name(number: int) -> str:
    """The name of the buffer of scratch that the layers of a segment share."""
    return f"scratch of segment {number}"


def segment_rows_name(number: int) -> str:
    """The name of the buffer of a segment's row counters."""
    return f"rows of segment {number}"


def segment_buffers(
    graph: Graph, segment: Segment, row_scratch: Sequence[int], number: int = 0
) -> list[Buffer]:
    """Rings, row counters and the scratch that its layers share; all live as long as it runs.

    A tensor that is read outside is among them with all its rows. `row_scratch` are the bytes that
    each node of the graph needs `in_segment`.
    """
    first, last = segment.first, max(segment.last, segment.first + 1)
    buffers = [_ring_buffer(graph, segment, name) for name in segment.rings]
    scratch = max(row_scratch[first : segment.last], default=0)
    if scratch:
        name = segment_scratch_name(number)
        buffers.append(Buffer(name, scratch, first, last, kind="scratch"))
    name, size = segment_rows_name(number), 2 * len(segment.stages)
    return [*buffers, Buffer(name, size, first, last, kind="rows")]


def _ring_buffer(graph: Graph, segment: Segment, name: str) -> Buffer:
    buffer, size = ring_name(graph, segment, name), segment.rings[name] * row_bytes(graph, name)
    kind: BufferKind = "tensor" if buffer == name else "ring"
    last = max(segment.last, segment.first + 1)
    return Buffer(buffer, size, segment.first, last, kind=kind)


def step_buffers(graph: Graph, scratch_bytes: Callable[[Node], int]) -> list[Buffer]:
    """The buffers of one training step (or inference) in the order of the graph's nodes.

    A resident input frame lives from step 0; outputs live to the end. All buffers of a segment of
    rows meet. `scratch_bytes` tells what a node's kernel needs besides its operands.
    """
    owner = views(graph)
    segments = segments_of(graph)
    inside = {i: s for s in segments for i in range(s.first, s.last)}
    births, deaths = _lives(graph, owner, inside)
    buffers = {name: tensor_buffer(graph, name, births[name], deaths[name]) for name in births}
    scratch = [scratch_bytes(node) for node in graph.nodes]
    for number, segment in enumerate(segments):
        for buffer in segment_buffers(graph, segment, scratch, number):
            buffers.setdefault(buffer.name, buffer)
    for step, (node, size) in enumerate(zip(graph.nodes, scratch, strict=True)):
        if size and step not in inside:
            name = scratch_name(node)
            buffers[name] = Buffer(name, size, step, step + 1, kind="scratch")
    return list(buffers.values())


def _lives(
    graph: Graph, owner: dict[str, str], inside: dict[int, Segment]
) -> tuple[dict[str, int], dict[str, int]]:
    """First and last step of each buffer that is kept whole."""
    births: dict[str, int] = {}
    deaths: dict[str, int] = {}
    rings = {name for s in inside.values() for name in s.rings if ring_name(graph, s, name) != name}
    source = graph.signature.input
    if source not in rings:
        births[source] = deaths[source] = 0
    for step, node in enumerate(graph.nodes):
        segment = inside.get(step)
        for name in (*node.inputs, *node.outputs):
            buffer = owner.get(name, name)
            if graph.tensors[buffer].role == "value" and buffer not in rings:
                births.setdefault(buffer, segment.first if segment else step)
            if buffer in births:
                deaths[buffer] = segment.last if segment else step + 1
    for name in graph.outputs:
        deaths[owner.get(name, name)] = len(graph.nodes)
    return births, deaths


def tensor_buffer(graph: Graph, name: str, first: int, last: int) -> Buffer:
    """The buffer of a tensor that is kept whole, live in the steps [first, last)."""
    size = max(graph.tensors[name].bytes, 1)
    return Buffer(name, size, first, max(last, first + 1), 4 if size <= 4 else 8)
