"""Row streaming: in which order a segment's layers make their rows, and how many rows to keep.

A segment is a run of nodes without side effects, executed depth first: the last layer asks for its
next row, which asks for the rows that it covers, and so on. No row is made twice, so a segment
costs no multiply; between two layers only a ring of rows is kept. Whatever is read outside the
segment is kept whole. Order and rings follow from the shapes alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from microtune.ir.graph import Graph, Node
from microtune.ir.ops import OPS, Trait, has

ALL_STAGES = 255  # a stage's number is one byte of the generated order


@dataclass(frozen=True)
class Segment:
    """Nodes first .. last - 1 of the graph as one step.

    `stages` names the tensors it makes (the input first if its rows come from a callback), `order`
    the stage that makes each row in turn, `rings` the rows kept of each tensor, 0 < rows <= H.
    """

    first: int
    last: int
    stages: tuple[str, ...]
    order: bytes
    rings: dict[str, int]


class _Shape(NamedTuple):
    """What a stage's schedule follows from: its rows, the rows of its inputs that a row covers,
    the stages that make those inputs, and whether something outside the segment reads it."""

    height: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    sources: tuple[int, ...] = ()
    whole: bool = False


@dataclass
class _Stage:
    """One tensor on its way: how many rows it has, and how many are kept."""

    number: int
    shape: _Shape
    done: int = 0
    ring: int = 1
    readers: list[_Stage] = field(default_factory=list)
    sources: list[_Stage] = field(default_factory=list)

    def needs(self, height: int) -> int:
        """Rows of an input of this height that must exist before the next row can be made."""
        shape = self.shape
        return min(self.done * shape.stride - shape.padding + shape.kernel, height)

    def oldest(self, height: int) -> int:
        """The first row of an input that the next row, or a later one, still reads."""
        if self.done == self.shape.height:
            return height
        return max(0, self.done * self.shape.stride - self.shape.padding)


def image_height(graph: Graph, name: str) -> int:
    """Rows of an activation (1, H, W, C); a vector is one row."""
    shape = graph.tensors[name].shape
    return shape[1] if len(shape) == 4 else 1


def row_bytes(graph: Graph, name: str) -> int:
    """Bytes of one row of an int8 activation (1, H, W, C); a vector is one row."""
    return graph.tensors[name].elements // image_height(graph, name)


def streamable(graph: Graph, node: Node) -> bool:
    """Whether the node is a frozen layer of images with one result."""
    tensors = [graph.tensors[name] for name in node.inputs]
    return (
        has(node, Trait.STREAMED)
        and len(node.outputs) == 1
        and len(tensors[0].shape) == 4
        and OPS[node.op].window(graph, node) is not None
        and all(tensor.role in ("const", "value", "input") for tensor in tensors)
    )


def prefix_length(graph: Graph) -> int:
    """How many nodes at the start of the graph can be streamed."""
    for length, node in enumerate(graph.nodes):
        if not streamable(graph, node):
            return length
    return len(graph.nodes)


def _shape_of(graph: Graph, node: Node, number: dict[str, int], whole: bool) -> _Shape:
    height = image_height(graph, node.outputs[0])
    # No stage has the name of a weight.
    sources = tuple(number[n] for n in dict.fromkeys(node.inputs) if n in number)
    window = OPS[node.op].window(graph, node)
    if window is None:
        raise ValueError(f"{node.op} %{node.outputs[0]} is not streamed")
    return _Shape(height, window.kernel, window.stride, window.padding, sources, whole)


def last_readers(graph: Graph) -> dict[str, int]:
    """Tensor -> the number of the last node that reads it; that after all nodes for outputs."""
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    return last | dict.fromkeys(graph.outputs, len(graph.nodes))


def make_segment(
    graph: Graph, first: int, last: int, readers: dict[str, int], *, rows_from_callback: bool
) -> Segment:
    """The schedule of a segment, with the graph's `last_readers`.

    `rows_from_callback`: it starts with the input's rows.
    """
    nodes = graph.nodes[first:last]
    source = graph.signature.input
    names = [source] if rows_from_callback else []
    names += [node.outputs[0] for node in nodes]
    if len(names) > ALL_STAGES:
        raise ValueError(f"a segment of {len(names)} layers; {ALL_STAGES} are possible")
    number = {name: i for i, name in enumerate(names)}
    whole = [readers.get(name, -1) >= last for name in names]
    shapes = [_Shape(image_height(graph, source), whole=whole[0])] if rows_from_callback else []
    for node in nodes:
        shapes.append(_shape_of(graph, node, number, whole[len(shapes)]))
    order, rows = _schedule(tuple(shapes))
    return Segment(first, last, tuple(names), order, dict(zip(names, rows, strict=True)))


# Schemes, budgets and inputs that a search or a refusal compares have most segments in common.
@lru_cache(maxsize=4096)
def _schedule(shapes: tuple[_Shape, ...]) -> tuple[bytes, tuple[int, ...]]:
    """(the stage that makes each row in turn, the rows kept of each stage)."""
    stages = [_Stage(number, shape) for number, shape in enumerate(shapes)]
    for stage in stages:
        stage.sources = [stages[source] for source in stage.shape.sources]
        for source in stage.sources:
            source.readers.append(stage)
    whole = [s.shape.whole or not s.readers for s in stages]
    order = _depth_first([stages[-1], *(s for s, kept in zip(stages, whole, strict=True) if kept)])
    rows = (s.shape.height if kept else s.ring for s, kept in zip(stages, whole, strict=True))
    return bytes(order), tuple(rows)


def _depth_first(sinks: list[_Stage]) -> list[int]:
    """Make all rows of the sinks, one after the other; sets the rings of all stages."""
    order: list[int] = []
    for sink in sinks:
        waiting = [sink]
        while sink.done < sink.shape.height:
            stage = waiting[-1]
            source = _missing(stage)
            if source is not None:
                waiting.append(source)
                continue
            order.append(stage.number)
            _make_row(stage)
            if len(waiting) > 1:
                waiting.pop()
    return order


def _missing(stage: _Stage) -> _Stage | None:
    """An input of the stage that lacks rows for the stage's next row."""
    for source in stage.sources:
        if source.done < stage.needs(source.shape.height):
            return source
    return None


def _make_row(stage: _Stage) -> None:
    height = stage.shape.height
    oldest = min((reader.oldest(height) for reader in stage.readers), default=0)
    stage.done += 1
    stage.ring = max(stage.ring, stage.done - min(oldest, stage.done - 1))


def segments_of(graph: Graph) -> list[Segment]:
    """The segments of the execution options, in order.

    With `graph.execution.by_rows` the first one starts with the input's rows; if the first
    node is not streamed, a segment of its own collects the frame.
    """
    runs: list[tuple[int, int]] = []
    numbers = [graph.execution.segments.get(node.outputs[0]) for node in graph.nodes]
    for index, number in enumerate(numbers):
        if number is None:
            continue
        if index and numbers[index - 1] == number:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    by_rows, readers = graph.execution.by_rows, last_readers(graph)
    if by_rows and (not runs or runs[0][0] > 0):
        runs.insert(0, (0, 0))
    return [
        make_segment(graph, first, last, readers, rows_from_callback=by_rows and first == 0)
        for first, last in runs
    ]
