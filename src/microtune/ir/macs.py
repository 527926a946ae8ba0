"""Multiply-accumulates of a graph, counted per op (padding counted, as is usual in the field)."""

from __future__ import annotations

from microtune.ir.graph import Graph, Node
from microtune.ir.ops import OPS, Trait


def node_macs(graph: Graph, node: Node) -> int:
    """MACs of one node; 0 for ops that do not multiply and add."""
    return OPS[node.op].macs(graph, node)


def graph_macs(graph: Graph) -> tuple[int, int]:
    """(MACs of one inference, MACs of one training step)."""
    forward = total = 0
    for node in graph.nodes:
        macs = node_macs(graph, node)
        total += macs
        if OPS[node.op].traits & {Trait.LAYER, Trait.HEAD}:
            forward += macs
    return forward, total
