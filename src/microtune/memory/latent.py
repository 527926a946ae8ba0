"""Where the frozen prefix of a step ends: its one result stands for the frame from then on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from microtune.ir.graph import Graph
from microtune.memory.rings import INPUT, prefix_length


@dataclass(frozen=True)
class LatentCut:
    """Nodes before `index` are frozen; of what they make, `tensor` alone is read from there on."""

    index: int
    tensor: str


def latent_cut(graph: Graph) -> LatentCut | None:
    """The place with the smallest tensor, of equal ones the last; None: the first layer is trained.

    It does not lie within a segment of rows, whose tensors are never whole.
    """
    cuts = list(_cuts(graph))
    return min(cuts, key=lambda cut: (graph.tensors[cut.tensor].bytes, -cut.index), default=None)


def _cuts(graph: Graph) -> Iterator[LatentCut]:
    for index in range(1, prefix_length(graph) + 1):
        segment = graph.nodes[index - 1].attrs.get("segment")
        inside = index < len(graph.nodes) and "segment" in graph.nodes[index].attrs
        if segment is not None and inside and graph.nodes[index].attrs["segment"] == segment:
            continue
        made = {INPUT, *(name for node in graph.nodes[:index] for name in node.outputs)}
        read = {name for node in graph.nodes[index:] for name in node.inputs} | set(graph.outputs)
        if len(alive := made & read) == 1 and INPUT not in alive:
            yield LatentCut(index, alive.pop())
