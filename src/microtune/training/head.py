"""Replace the model's classifier by a fresh head for the user's classes."""

from __future__ import annotations

from typing import Literal

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.ir.graph import Attr, Graph, Node, Tensor
from microtune.ir.prune import remove_unused
from microtune.ir.verifier import verify

HeadFormat = Literal["int16", "float32"]
MAX_CLASSES = 2048


def find_classifier(graph: Graph) -> Node:
    """The last convolution or fully connected node on the way to the output."""
    producers = graph.producers()
    name = graph.outputs[0]
    while name in producers:
        node = producers[name]
        if node.op in ("conv2d", "fully_connected"):
            return node
        name = node.inputs[0]
    raise MicrotuneError(f"{graph.name}: no classifier layer leads to output {graph.outputs[0]}")


def replace_head(graph: Graph, classes: int, head_format: HeadFormat = "int16") -> Graph:
    """Cut the classifier off and put a zero head of `classes` outputs in its place.

    The head's tensors are params `head.weight` (N, C), `head.bias` (N,); its output is `logits`.
    Raises MicrotuneError where the classifier does not read a pooled feature vector.
    """
    if not 2 <= classes <= MAX_CLASSES:
        raise MicrotuneError(f"--classes {classes}: a classifier needs 2 to {MAX_CLASSES} classes")
    verify(graph)
    classifier = find_classifier(graph)
    features = graph.tensors[classifier.inputs[0]]
    if features.elements != features.shape[-1]:
        raise MicrotuneError(
            f"{graph.name}: classifier {classifier.outputs[0]} reads {list(features.shape)}; "
            "a head needs a feature vector (pool first)"
        )
    result = _without(graph, classifier)
    int16 = head_format == "int16"
    channels = features.elements
    weight = np.zeros((classes, channels), np.int16 if int16 else np.float32)
    bias = np.zeros(classes, np.int32 if int16 else np.float32)
    kinds = ("i16", "i32") if int16 else ("f32", "f32")
    for name, data, kind in zip(("head.weight", "head.bias"), (weight, bias), kinds, strict=True):
        result.add_tensor(Tensor(name, data.shape, kind, "param"), data)
    attrs: dict[str, Attr] = {}
    if int16:
        attrs["fraction_bits"] = numerics.head_fraction_bits(graph.scale(features.name))
    node = Node("head", (features.name, "head.weight", "head.bias"), ("logits",), attrs)
    logits = Tensor("logits", (1, classes), "i32" if int16 else "f32")
    result.add_node(node, [logits])
    result.outputs = ["logits"]
    return verify(result)


def _without(graph: Graph, classifier: Node) -> Graph:
    """The graph up to the classifier's input."""
    result = graph.copy()
    needed = {classifier.inputs[0]}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            kept.append(node)
            needed |= set(node.inputs)
    result.nodes = kept[::-1]
    result.outputs = [classifier.inputs[0]]
    return remove_unused(result)
