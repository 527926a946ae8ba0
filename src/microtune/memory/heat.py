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

from microtune.ir.graph import Graph, Node
from microtune.ir.macs import node_macs
from microtune.memory.lifetimes import ring_name, views
from microtune.memory.rings import segments_of


def accesses(graph: Graph) -> dict[str, float]:
    """Buffer, parameter or `scratch.NAME` -> accesses in one step."""
    owner = views(graph)
    total: dict[str, float] = {}
    scratch = {node.outputs[0]: f"scratch.{node.outputs[0]}" for node in graph.nodes}
    for number, segment in enumerate(segments_of(graph)):
        owner |= {name: ring_name(graph, segment, name) for name in segment.rings}
        made = (node.outputs[0] for node in graph.nodes[segment.first : segment.last])
        scratch |= dict.fromkeys(made, f"scratch.segment{number}")
        total[f"rows.segment{number}"] = 2.0 * len(segment.order)

    def count(name: str, times: float) -> None:
        key = owner.get(name, name)
        total[key] = total.get(key, 0.0) + times

    for node in graph.nodes:
        many = _mac_reads(graph, node)
        for position, name in enumerate(node.inputs):
            count(name, many.get(position, float(_elements(graph, name))))
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


def _mac_reads(graph: Graph, node: Node) -> dict[int, float]:
    """Position of an operand -> how often a node that multiplies and adds reads it."""
    macs = float(node_macs(graph, node))
    if node.op in ("conv2d", "fully_connected"):
        parts = [1, 3] if len(node.inputs) > 3 else [1]
        return {0: macs / _channels(graph, node, node.outputs[0]), **_weights(graph, node, parts)}
    if node.op == "q_conv2d_input_grad":
        parts = [2, 4] if node.attrs["trained"] else [2]
        return {0: macs / _channels(graph, node, node.outputs[0]), **_weights(graph, node, parts)}
    if node.op == "conv2d_weight_update":
        return {0: macs / _channels(graph, node, node.inputs[2]), 2: macs}
    if node.op in ("head", "q_head_input_grad", "head_update"):
        return {0: macs, 1: macs}
    return {}


def _channels(graph: Graph, node: Node, name: str) -> int:
    """Channels of a group: what shares one element of the other operand."""
    return max(graph.tensors[name].shape[-1] // node.int("groups", 1), 1)


def _weights(graph: Graph, node: Node, parts: list[int]) -> dict[int, float]:
    """The MACs, shared between the parts of the weight."""
    sizes = {part: graph.tensors[node.inputs[part]].elements for part in parts}
    macs = node_macs(graph, node)
    return {part: macs * size / sum(sizes.values()) for part, size in sizes.items()}
