"""Row streaming: in which order a segment's layers make their rows, and how many rows to keep.

A segment is a run of nodes without side effects, executed depth first: the last layer asks for its
next row, which asks for the rows that it covers, and so on. No row is made twice, so a segment
costs no multiply; between two layers only a ring of rows is kept. Whatever is read outside the
segment is kept whole. Order and rings follow from the shapes alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass
class _Stage:
    """One tensor on its way: how many rows it has and which rows of its inputs a row covers."""

    name: str
    height: int
    inputs: tuple[str, ...] = ()
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    done: int = 0
    ring: int = 1
    readers: list[_Stage] = field(default_factory=list)
    sources: list[_Stage] = field(default_factory=list)

    def needs(self, height: int) -> int:
        """Rows of an input of this height that must exist before the next row can be made."""
        return min(self.done * self.stride - self.padding + self.kernel, height)

    def oldest(self, height: int) -> int:
        """The first row of an input that the next row, or a later one, still reads."""
        if self.done == self.height:
            return height
        return max(0, self.done * self.stride - self.padding)


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
        and all(tensor.role in ("const", "value", "input") for tensor in tensors)
    )


def prefix_length(graph: Graph) -> int:
    """How many nodes at the start of the graph can be streamed."""
    for length, node in enumerate(graph.nodes):
        if not streamable(graph, node):
            return length
    return len(graph.nodes)


def _stage_of(graph: Graph, node: Node) -> _Stage:
    name = node.outputs[0]
    height = image_height(graph, name)
    images = tuple(n for n in node.inputs if graph.tensors[n].role != "const")
    window = OPS[node.op].window(graph, node)
    return _Stage(name, height, images, window.kernel, window.stride, window.padding)


def read_outside(graph: Graph, first: int, last: int) -> set[str]:
    """Tensors that nodes outside first .. last - 1 read, and outputs of the graph."""
    outside = set(graph.outputs)
    for node in (*graph.nodes[:first], *graph.nodes[last:]):
        outside.update(node.inputs)
    return outside


def make_segment(graph: Graph, first: int, last: int, *, rows_from_callback: bool) -> Segment:
    """The schedule of a segment; `rows_from_callback`: it starts with the input's rows."""
    nodes = graph.nodes[first:last]
    stages = [_stage_of(graph, node) for node in nodes]
    if rows_from_callback:
        source = graph.signature.input
        stages.insert(0, _Stage(source, image_height(graph, source)))
    if len(stages) > ALL_STAGES:
        raise ValueError(f"a segment of {len(stages)} layers; {ALL_STAGES} are possible")
    number = {stage.name: i for i, stage in enumerate(stages)}
    for stage in stages:
        for name in dict.fromkeys(stage.inputs):
            if name in number:
                stages[number[name]].readers.append(stage)
                stage.sources.append(stages[number[name]])
    outside = read_outside(graph, first, last)
    whole = [s for s in stages if s.name in outside or not s.readers]
    order = _depth_first(number, [stages[-1], *whole])
    rings = {s.name: s.height if s in whole else s.ring for s in stages}
    return Segment(first, last, tuple(number), bytes(order), rings)


def _depth_first(number: dict[str, int], sinks: list[_Stage]) -> list[int]:
    """Make all rows of the sinks, one after the other; sets the rings of all stages."""
    order: list[int] = []
    for sink in sinks:
        waiting = [sink]
        while sink.done < sink.height:
            stage = waiting[-1]
            source = _missing(stage)
            if source is not None:
                waiting.append(source)
                continue
            order.append(number[stage.name])
            _make_row(stage)
            if len(waiting) > 1:
                waiting.pop()
    return order


def _missing(stage: _Stage) -> _Stage | None:
    """An input of the stage that lacks rows for the stage's next row."""
    for source in stage.sources:
        if source.done < stage.needs(source.height):
            return source
    return None


def _make_row(stage: _Stage) -> None:
    oldest = min((reader.oldest(stage.height) for reader in stage.readers), default=0)
    stage.done += 1
    stage.ring = max(stage.ring, stage.done - min(oldest, stage.done - 1))


def segments_of(graph: Graph) -> list[Segment]:
    """The segments that the nodes' `segment` attributes name, in order.

    With `graph.attrs["input"] == "rows"` the first one starts with the input's rows; if the first
    node is not streamed, a segment of its own collects the frame.
    """
    runs: list[tuple[int, int]] = []
    for index, node in enumerate(graph.nodes):
        if "segment" not in node.attrs:
            continue
        if index and graph.nodes[index - 1].attrs.get("segment") == node.attrs["segment"]:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    by_rows = graph.attrs.get("input") == "rows"
    if by_rows and (not runs or runs[0][0] > 0):
        runs.insert(0, (0, 0))
    return [
        make_segment(graph, first, last, rows_from_callback=by_rows and first == 0)
        for first, last in runs
    ]
