"""Dead-code elimination of tensors."""

from __future__ import annotations

from microtune.ir.graph import Graph


def remove_unused(graph: Graph) -> Graph:
    """Drop tensors that no node, quantisation, update or output names (inputs stay)."""
    used = set(graph.outputs) | set(graph.updates) | set(graph.updates.values())
    for node in graph.nodes:
        used |= {*node.inputs, *node.outputs}
    used |= {t.name for t in graph.with_role("input")}
    for name in list(used):
        quant = graph.tensors[name].quant
        if quant is not None and quant.scales is not None:
            used.add(quant.scales)
    graph.tensors = {n: t for n, t in graph.tensors.items() if n in used}
    graph.data = {n: a for n, a in graph.data.items() if n in used}
    return graph
