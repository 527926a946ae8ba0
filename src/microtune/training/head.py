"""The head: a fresh one for the user's classes, or the model's own classifier as one."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.ir.graph import Array, Attr, Graph, Node, Tensor
from microtune.ir.ops import Trait, has
from microtune.ir.ops.head import Head
from microtune.ir.ops.layer import layer_of
from microtune.ir.prune import remove_unused
from microtune.ir.verifier import verify
from microtune.training.tasks import task_of

HeadFormat = Literal["int16", "float32"]


def find_classifier(graph: Graph) -> Node:
    """The last convolution or fully connected node on the way to the output."""
    producers = graph.producers()
    name = graph.outputs[0]
    while name in producers:
        node = producers[name]
        if has(node, Trait.LAYER):
            return node
        name = node.inputs[0]
    raise MicrotuneError(f"{graph.name}: no classifier layer leads to output {graph.outputs[0]}")


def knows(graph: Graph, classes: int) -> bool:
    """Whether the model's own classifier tells apart so many classes."""
    return graph.tensors[find_classifier(graph).outputs[0]].elements == classes


def replace_head(
    graph: Graph, classes: int, head_format: HeadFormat = "int16", *, own: bool = False
) -> Graph:
    """Cut the classifier off and put a head of `classes` outputs in its place.

    It is all zero, or with `own` it has the weights of the classifier, which must know as many
    classes. The head's params are a weight (N, C) and a bias (N,); its output is the graph's, the
    logits (1, N). Raises MicrotuneError where the classifier does not read a pooled feature vector.
    """
    task_of(graph).check_outputs(classes)
    verify(graph)
    classifier = find_classifier(graph)
    features = graph.tensors[layer_of(classifier).x]
    if features.elements != features.shape[-1]:
        raise MicrotuneError(
            f"{graph.name}: classifier {classifier.outputs[0]} reads {list(features.shape)}; "
            "a head needs a feature vector (pool first)"
        )
    result = _without(graph, classifier)
    int16 = head_format == "int16"
    attrs: dict[str, Attr] = {}
    values = (np.zeros((classes, features.elements)), np.zeros(classes))
    if own:
        values = _classifier_values(graph, classifier)
    if int16:
        attrs["fraction_bits"], values = _fixed_point(graph.scale(features.name), *values)
    weight = values[0].astype(np.int16 if int16 else np.float32)
    bias = values[1].astype(np.int32 if int16 else np.float32)
    kinds = ("i16", "i32") if int16 else ("f32", "f32")
    operands = [features.name]
    for name, data, kind in zip(("head.weight", "head.bias"), (weight, bias), kinds, strict=True):
        tensor = Tensor(result.fresh(name), data.shape, kind, "param")
        operands.append(result.add_tensor(tensor, data))
    logits = Tensor(result.fresh("logits"), (1, classes), "i32" if int16 else "f32")
    inputs = Head[str].of(operands).flat()
    result.add_node(Node("head", inputs, (logits.name,), attrs), [logits])
    result.outputs = [logits.name]
    return verify(result)


def _classifier_values(graph: Graph, classifier: Node) -> tuple[Array, Array]:
    """(weight (N, C), bias (N,)) of the classifier as real numbers, float64."""
    o = layer_of(classifier)
    scales = graph.channel_scales(o.weight)
    weight = graph.data[o.weight].astype(np.float64).reshape(len(scales), -1) * scales[:, None]
    return weight, graph.data[o.bias] * scales * graph.scale(o.x)


def _fixed_point(x_scale: float, weight: Array, bias: Array) -> tuple[int, tuple[Array, Array]]:
    """(F, codes) of the int16 head; F is smaller than usual where large weights need it."""
    bits = numerics.head_fraction_bits(x_scale)
    most = max(float(np.abs(weight).max()) * x_scale / 32767, float(np.abs(bias).max()) / 2.0**30)
    if most > 0:
        bits = min(bits, math.floor(-math.log2(most)))
    codes = (np.rint(weight * x_scale * 2.0**bits), np.rint(bias * 2.0**bits))
    return bits, codes


def _without(graph: Graph, classifier: Node) -> Graph:
    """The graph up to the classifier's input."""
    result = graph.copy()
    needed = {layer_of(classifier).x}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            kept.append(node)
            needed |= set(node.inputs)
    result.nodes = kept[::-1]
    result.outputs = [layer_of(classifier).x]
    return remove_unused(result)
