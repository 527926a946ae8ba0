"""How often each buffer is accessed: an estimate from shapes, for choosing memory banks.

Accesses of one step in elements (masks: bytes), as the portable kernels make them, without caches:

* A convolution widens each patch once for all outputs of a group: its input is read
  MACs / (outputs of a group) times, its scratch and its weights once per MAC.
* An input gradient reads the gradient MACs / (inputs of a group) times, its scratch and its
  weights once per MAC.
* A weight update reads the saved input once per MAC and the gradient MACs / (inputs of a group)
  times.
* A head, its gradient and its update read their first two operands once per MAC.
* Everything else reads its operands and writes its results once per element.
* Streamed layers access the rings and the scratch of their segment just as often, and its row
  counters twice for each row.
"""

from __future__ import annotations

from collections.abc import Mapping

from microtune.ir.graph import Graph
from microtune.ir.macs import node_macs
from microtune.ir.ops import OPS, operand_names
from microtune.memory.lifetimes import (
    ring_name,
    scratch_name,
    segment_rows_name,
    segment_scratch_name,
    views,
)
from microtune.memory.rings import segments_of


def accesses(graph: Graph) -> dict[str, float]:
    """Name of a buffer or parameter -> accesses in one step."""
    owner = views(graph)
    total: dict[str, float] = {}
    scratch = {node.outputs[0]: scratch_name(node) for node in graph.nodes}
    for number, segment in enumerate(segments_of(graph)):
        owner |= {name: ring_name(graph, segment, name) for name in segment.rings}
        made = (node.outputs[0] for node in graph.nodes[segment.first : segment.last])
        scratch |= dict.fromkeys(made, segment_scratch_name(number))
        total[segment_rows_name(number)] = 2.0 * len(segment.order)

    def count(name: str, times: float) -> None:
        key = owner.get(name, name)
        total[key] = total.get(key, 0.0) + times

    for node in graph.nodes:
        many = OPS[node.op].reads(graph, node)
        for operand, name in operand_names(node).items():
            count(name, many.get(operand, float(_elements(graph, name))))
        for name in node.outputs:
            count(name, float(_elements(graph, name)))
        count(scratch[node.outputs[0]], float(node_macs(graph, node)))
    return total


def heat(counts: Mapping[str, float], sizes: Mapping[str, int]) -> dict[str, float]:
    """Accesses per byte of everything that has a size in bytes."""
    return {name: counts.get(name, 0.0) / max(size, 1) for name, size in sizes.items()}


def _elements(graph: Graph, name: str) -> int:
    tensor = graph.tensors[name]
    return tensor.bytes if tensor.dtype == "b1" else tensor.elements
