"""Let results take the memory of an input that nobody reads afterwards.

Elementwise ops overwrite an operand of theirs; depthwise convolutions of stride 1, forward and
transposed, overwrite their image and keep a copy of one block of channels meanwhile.
"""

from __future__ import annotations

from dataclasses import replace

from microtune.ir.convolution import ConvKind
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.registry import conv_kind
from microtune.ir.verifier import verify
from microtune.memory.lifetimes import views

# Which inputs the first output may overwrite.
ELEMENTWISE: dict[str, tuple[int, ...]] = {
    "add": (0, 1), "clamp": (0,), "q_gradient_sum": (0, 2), "q_mask_gradient": (0,),
}  # fmt: skip
DEPTHWISE: dict[str, tuple[int, ...]] = {"conv2d": (0,), "q_conv2d_input_grad": (0,)}
_BLOCK = 32


def in_place(graph: Graph) -> Graph:
    """The graph with `in_place` attributes wherever that saves memory and changes no bit."""
    result = graph.copy()
    for step, node in enumerate(graph.nodes):
        for position in _candidates(result, node):
            if _is_last_use(result, step, node.inputs[position]):
                attrs = node.attrs | {"in_place": position}
                result.nodes[step] = replace(node, attrs=attrs)
                break
    return verify(result)


def _candidates(graph: Graph, node: Node) -> tuple[int, ...]:
    if node.op in ELEMENTWISE:
        return ELEMENTWISE[node.op]
    if node.op not in DEPTHWISE:
        return ()
    x, y = graph.tensors[node.inputs[0]].shape, graph.tensors[node.outputs[0]].shape
    worthwhile = conv_kind(graph, node) is ConvKind.DEPTHWISE and x[-1] > _BLOCK
    return DEPTHWISE[node.op] if worthwhile and x == y and node.ints("stride") == [1, 1] else ()


def _is_last_use(graph: Graph, step: int, name: str) -> bool:
    """Whether no later node and no output reads the memory of this value."""
    owner = views(graph)
    buffer = owner.get(name, name)
    if graph.tensors[buffer].role != "value" or graph.tensors[buffer].bytes <= 8:
        return False
    later = {n for node in graph.nodes[step + 1 :] for n in node.inputs} | set(graph.outputs)
    here = [n for n in graph.nodes[step].inputs if owner.get(n, n) == buffer]
    return len(here) == 1 and all(owner.get(n, n) != buffer for n in later)
