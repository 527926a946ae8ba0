"""After a step the caller reads the logits while the next frame arrives: they share no byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from microtune.ir.graph import Graph
from microtune.memory.banks import MemoryPlan
from microtune.memory.lifetimes import Buffer, Gap, views
from microtune.memory.planner import PlanError


def with_next_frame(buffers: Sequence[Buffer], graph: Graph) -> list[Buffer]:
    """The buffers of a step followed by the caller's step, in which frame and logits live at once.

    That step is numbered len(graph.nodes). Where a callback gives the rows of the frame within a
    call, nothing changes.
    """
    kept, end = _kept(graph), len(graph.nodes)
    if graph.execution.by_rows:
        return list(buffers)
    return [_until_after(b, end) if b.name in (graph.signature.input, kept) else b for b in buffers]


def _kept(graph: Graph) -> str:
    """The buffer that the model's output lies in."""
    logits = graph.signature.output
    return views(graph).get(logits, logits)


def _until_after(buffer: Buffer, end: int) -> Buffer:
    """The buffer, not in use from the end of its life until step `end`, and in use then."""
    gaps = buffer.gaps + ((Gap(buffer.last, end),) if buffer.last < end else ())
    return replace(buffer, last=end + 1, gaps=gaps)


def validate_logits(plan: MemoryPlan, graph: Graph) -> None:
    """Raise PlanError if the next frame would overwrite the logits."""
    if graph.execution.by_rows:
        return
    sizes = {buffer.name: buffer.bytes for buffer in plan.buffers}
    source, kept = graph.signature.input, _kept(graph)
    (bank, frame), (other, logits) = plan.place(source), plan.place(kept)
    if bank == other and frame < logits + sizes[kept] and logits < frame + sizes[source]:
        raise PlanError("the logits lie in the bytes of the next frame")
