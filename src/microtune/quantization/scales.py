"""Which tensors share a scale: moves and pools keep that of their operand.

The owner of a tensor is the tensor whose range decides its scale and zero point.
"""

from __future__ import annotations

from microtune.floats import FloatGraph

_KEEPS = (
    "max_pool", "average_pool", "reshape", "transpose", "slice", "pad", "clamp", "resize",
)  # fmt: skip


def owners(graph: FloatGraph) -> dict[str, str]:
    """The owner of each tensor, by name.

    The operands of a concat share the scale of its result where nobody else reads them; any other
    operand is requantised.
    """
    found = {graph.input: graph.input}
    for node in graph.nodes:
        found[node.name] = found[node.inputs[0]] if node.op in _KEEPS else node.name
    readers = graph.consumers()
    for node in reversed(graph.nodes):
        if node.op != "concat":
            continue
        for name in dict.fromkeys(node.inputs):
            owner = found[name]
            group = [tensor for tensor, its in found.items() if its == owner]
            outside = {
                reader.name
                for tensor in group
                for reader in readers[tensor]
                if found[reader.name] != owner and reader is not node
            }
            if graph.input not in group and graph.output not in group and not outside:
                for tensor in group:
                    found[tensor] = found[node.name]
    return found
