"""Multiply-accumulates of a graph, counted per op (padding counted, as is usual in the field)."""

from __future__ import annotations

from microtune.ir.graph import Graph, Node
from microtune.ir.ops.forward import weight_shape


def node_macs(graph: Graph, node: Node) -> int:
    """MACs of one node; 0 for ops that do not multiply and add."""
    if node.op in ("conv2d", "fully_connected"):
        o, kh, kw, per_group = weight_shape(graph, node, 1, 3)
        return graph.tensors[node.outputs[0]].elements // o * o * kh * kw * per_group
    if node.op == "q_conv2d_input_grad":
        g, w, scales = node.inputs[0], node.inputs[2], node.inputs[3]
        split = node.inputs[4:6] if node.attrs["trained"] else ()
        as_conv = Node("conv2d", (g, w, scales, *split), (), node.attrs)
        _, kh, kw, per_group = weight_shape(graph, as_conv, 1, 3)
        return graph.tensors[g].elements * kh * kw * per_group
    if node.op == "conv2d_weight_update":
        weight, gradient = graph.tensors[node.inputs[3]], graph.tensors[node.inputs[0]]
        return gradient.elements // gradient.shape[-1] * weight.elements
    if node.op in ("head", "q_head_input_grad"):
        return graph.tensors[node.inputs[1]].elements
    if node.op == "head_update":
        return graph.tensors[node.inputs[2]].elements
    return 0


def graph_macs(graph: Graph) -> tuple[int, int]:
    """(MACs of one inference, MACs of one training step)."""
    forward = total = 0
    for node in graph.nodes:
        macs = node_macs(graph, node)
        total += macs
        if node.op in ("conv2d", "fully_connected", "head"):
            forward += macs
    return forward, total
