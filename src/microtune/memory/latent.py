"""Where the frozen prefix of a step ends: its one result stands for the frame from then on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph
from microtune.memory.rings import prefix_length
from microtune.runtime.facts import REPLAY_HEADER_BYTES, REPLAY_LABEL_BYTES


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
    source = graph.signature.input
    for index in range(1, prefix_length(graph) + 1):
        around = graph.nodes[index - 1 : index + 1]
        segments = [graph.execution.segments.get(node.outputs[0]) for node in around]
        if segments[0] is not None and segments[0] == segments[-1] and len(segments) == 2:
            continue
        made = {source, *(name for node in graph.nodes[:index] for name in node.outputs)}
        read = {name for node in graph.nodes[index:] for name in node.inputs} | set(graph.outputs)
        if len(alive := made & read) == 1 and source not in alive:
            yield LatentCut(index, alive.pop())


def latent_bytes(graph: Graph) -> int:
    """Bytes of a latent; 0 if the first layer is trained."""
    cut = latent_cut(graph)
    return 0 if cut is None else graph.tensors[cut.tensor].bytes


def replay_slots(graph: Graph, memory_bytes: int) -> int:
    """How many samples a replay memory of so many bytes holds. Raises MicrotuneError for none."""
    if not graph.updates:
        raise MicrotuneError("--replay: this scheme trains nothing")
    if (size := latent_bytes(graph)) == 0:
        raise MicrotuneError("--replay: the first layer is trained, so that no latent can be kept")
    least = REPLAY_HEADER_BYTES + size + REPLAY_LABEL_BYTES
    if memory_bytes < least:
        raise MicrotuneError(f"--replay: one sample takes {least:,} bytes, {memory_bytes:,} given")
    return (memory_bytes - REPLAY_HEADER_BYTES) // (size + REPLAY_LABEL_BYTES)


def replay_bytes(graph: Graph) -> int:
    """Bytes of the replay memory that the graph asks for; 0 if it has none."""
    slots = graph.execution.replay_slots
    if slots == 0:
        return 0
    return REPLAY_HEADER_BYTES + slots * (latent_bytes(graph) + REPLAY_LABEL_BYTES)
