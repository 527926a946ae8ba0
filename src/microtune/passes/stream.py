"""Cut the frozen prefix into depth-first segments so that the planned peak is smallest.

Every way to cut the prefix into runs of nodes is a path; the bytes alive in a run depend on the run
alone, so dynamic programming finds the path with the smallest peak. What the rest of the step needs
anyway is free: among the paths below that floor, the one that streams the fewest rows wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from microtune.ir.graph import Graph, Node
from microtune.ir.stages import Stage
from microtune.memory.lifetimes import (
    Buffer,
    aligned,
    in_segment,
    scratch_name,
    segment_buffers,
    step_buffers,
    tensor_buffer,
)
from microtune.memory.planner import largest_live_set
from microtune.memory.rings import (
    ALL_STAGES,
    Segment,
    last_readers,
    make_segment,
    prefix_length,
    row_bytes,
)

ScratchRule = Callable[[Graph], Callable[[Node], int]]
_ENDLESS = 1 << 62


def _live(buffers: list[Buffer]) -> int:
    """Bytes of buffers that are alive together: `live_bytes` of one step."""
    return max(
        sum(aligned(b.bytes, alignment) for b in buffers if b.alignment >= alignment)
        for alignment in {b.alignment for b in buffers}
    )


class _Cuts:
    """Bytes alive in each run first .. last - 1 of the prefix's nodes, and the best paths."""

    def __init__(self, graph: Graph, scratch_rule: ScratchRule, length: int) -> None:
        self.graph, self.scratch, self.length = graph, scratch_rule(graph), length
        self._scratch_rule = scratch_rule
        self.by_rows = graph.execution.by_rows
        self.readers = last_readers(graph)
        self._around: dict[int, list[Buffer]] = {}
        self._segments: dict[tuple[int, int], Segment] = {}
        self._streamed: dict[tuple[int, int], bool] = {}
        self._bytes: dict[tuple[int, int], int] = {}

    @cached_property
    def _row_scratch(self) -> list[int]:
        """Bytes of scratch of each node of the prefix as a part of a segment."""
        nodes = self.graph.nodes[: self.length]
        scratch = self._scratch_rule(in_segment(self.graph, nodes, 0))
        return [scratch(node) for node in nodes]

    @cached_property
    def _row_bytes(self) -> list[int]:
        nodes = self.graph.nodes[: self.length]
        return [row_bytes(self.graph, node.outputs[0]) for node in nodes]

    def segment(self, first: int, last: int) -> Segment:
        """How the nodes from `first` to `last` go row by row: their rings and the order of rows."""
        key = (first, last)
        if key not in self._segments:
            rows = self.by_rows and first == 0
            made = make_segment(self.graph, *key, self.readers, rows_from_callback=rows)
            self._segments[key] = made
        return self._segments[key]

    def is_streamed(self, first: int, last: int) -> bool:
        """Whether the run goes row by row; a single node does where that needs less scratch."""
        if last - first > 1 or (self.by_rows and first == 0):
            return True
        key = (first, last)
        if key not in self._streamed:
            rows, whole = self._by_rows(first, last), self._at_once(first)
            self._streamed[key] = _live(rows) < _live(whole)
        return self._streamed[key]

    def around(self, first: int) -> list[Buffer]:
        """Whole tensors that are made before the run and read in or after it."""
        if first not in self._around:
            made = [node.outputs[0] for node in self.graph.nodes[:first]]
            if not self.by_rows or first > 0:
                made.append(self.graph.signature.input)
            self._around[first] = [
                tensor_buffer(self.graph, name, 0, 1)
                for name in made if self.readers.get(name, -1) >= first
            ]  # fmt: skip
        return self._around[first]

    def least(self, first: int, last: int) -> int:
        """A lower bound of `bytes` that needs no schedule: one row of what is not whole.

        A run of more stages than a segment can have is as good as endless.
        """
        if last - first + int(self.by_rows and first == 0) > ALL_STAGES:
            return _ENDLESS
        if not self.is_streamed(first, last):
            return self.bytes(first, last)
        graph = self.graph
        total = sum(buffer.bytes for buffer in self.around(first))
        for index in range(first, last):
            name = graph.nodes[index].outputs[0]
            whole = self.readers.get(name, -1) >= last
            total += graph.tensors[name].bytes if whole else self._row_bytes[index]
        return total

    def bytes(self, first: int, last: int) -> int:
        """The most bytes that are alive in a step of the run of nodes `first` to `last`."""
        key = (first, last)
        if key not in self._bytes:
            streamed = self.is_streamed(first, last)
            own = self._by_rows(first, last) if streamed else self._at_once(first)
            self._bytes[key] = _live([*self.around(first), *own])
        return self._bytes[key]

    def _by_rows(self, first: int, last: int) -> list[Buffer]:
        """Buffers of the run; what is kept whole has the alignment of its tensor."""
        buffers = segment_buffers(self.graph, self.segment(first, last), self._row_scratch)
        return [
            tensor_buffer(self.graph, b.name, 0, 1) if b.kind == "tensor" else b for b in buffers
        ]

    def _at_once(self, first: int) -> list[Buffer]:
        node = self.graph.nodes[first]
        scratch = Buffer(scratch_name(node), self.scratch(node), 0, 1, kind="scratch")
        if node.outputs[0] in self.graph.execution.in_place:
            return [scratch]
        return [scratch, tensor_buffer(self.graph, node.outputs[0], 0, 1)]

    def smallest_peak(self) -> int:
        """The smallest peak, in bytes, that cutting the prefix into runs can reach."""
        best = [0] + [_ENDLESS] * self.length
        for last in range(1, self.length + 1):
            for first in range(last - 1, -1, -1):
                if max(best[first], self.least(first, last)) < best[last]:
                    peak = max(best[first], self.bytes(first, last))
                    best[last] = min(best[last], peak)
        return best[-1]

    def fewest_rows(self, limit: int) -> list[tuple[int, int]]:
        """The runs of the path below `limit` bytes that streams the fewest rows."""
        paths: list[tuple[int, list[tuple[int, int]]] | None] = [(0, [])]
        for last in range(1, self.length + 1):
            paths.append(min(self._reaching(last, limit, paths), default=None))
        best = paths[-1]
        return best[1] if best else []

    def _reaching(
        self, last: int, limit: int, paths: list[tuple[int, list[tuple[int, int]]] | None]
    ) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        for first in range(last):
            path = paths[first]
            if path is None or self.least(first, last) > limit:
                continue
            if self.bytes(first, last) <= limit:
                streamed = self.is_streamed(first, last)
                rows = len(self.segment(first, last).order) if streamed else 0
                yield path[0] + rows, [*path[1], (first, last)]


def stream(graph: Graph, scratch_rule: ScratchRule) -> Graph:
    """The graph with the nodes of its frozen prefix that are streamed in segments."""
    scratch = scratch_rule(graph)
    length = prefix_length(graph)
    if length == 0:
        return graph
    cuts = _Cuts(graph, scratch_rule, length)
    after = [b for b in step_buffers(graph, scratch) if b.last > length]
    floor = largest_live_set([replace(b, first=max(b.first, length)) for b in after])[0]
    limit = max(cuts.smallest_peak(), floor)
    result = graph
    for number, (first, last) in enumerate(cuts.fewest_rows(limit)):
        if cuts.is_streamed(first, last):
            result = in_segment(result, graph.nodes[first:last], number)
    return result


@dataclass(frozen=True)
class Stream:
    """Execute the frozen prefix row by row; `scratch_rule` tells what else kernels need."""

    scratch_rule: ScratchRule
    name: ClassVar[str] = "stream"
    needs: ClassVar[Stage] = Stage.SCHEDULED
    gives: ClassVar[Stage] = Stage.SCHEDULED

    def run(self, graph: Graph) -> Graph:
        """The graph with segments in its frozen prefix."""
        return stream(graph, self.scratch_rule)
