"""The head: a fresh one for the user's classes, or the model's own classifier as one."""

from __future__ import annotations

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir.graph import Attr, Graph, Node, Tensor
from microtune.ir.ops import Trait, has
from microtune.ir.ops.head import Head
from microtune.ir.ops.layer import layer_of
from microtune.ir.prune import remove_unused
from microtune.ir.verifier import verify
from microtune.training.head_origin import NEW, HeadFormat, HeadOrigin
from microtune.training.head_values import (
    check_own,
    fixed_point,
    initial_values,
    with_more_codes,
    with_more_reals,
)
from microtune.training.tasks import BINARY, Task, task_of


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


def check_kept(graph: Graph, task: Task) -> None:
    """Raise MicrotuneError if the model has no classifier that can be the head of such a task."""
    classifier = find_classifier(graph)
    feature_vector(graph, classifier)
    check_own(graph, classifier, task)


def knows(graph: Graph, outputs: int, task: Task) -> bool:
    """Whether the model's own classifier can be a head of so many outputs (`own_values`)."""
    own = graph.tensors[find_classifier(graph).outputs[0]].elements
    return own == outputs or (task is BINARY and own == 2)


def feature_vector(graph: Graph, classifier: Node) -> Tensor:
    """What the classifier reads. Raises MicrotuneError where that is no pooled vector."""
    features = graph.tensors[layer_of(classifier).x]
    if features.elements != features.shape[-1]:
        raise MicrotuneError(
            f"{graph.name}: classifier {classifier.outputs[0]} reads {list(features.shape)}; "
            "a head needs a feature vector (pool first)"
        )
    return features


def _features(graph: Graph, result: Graph, classifier: Node, origin: HeadOrigin) -> Tensor:
    """What a head reads in `result`: what the classifier reads; or, for a new head in place of a
    classifier on an image that is pooled behind it (SqueezeNet), the mean of that."""
    features = graph.tensors[layer_of(classifier).x]
    vector = features.elements == features.shape[-1]
    if vector or origin.own or not _is_pooled_behind(graph, classifier):
        return feature_vector(graph, classifier)
    size = list(features.shape[1:3])
    made = Tensor(
        result.fresh(f"{features.name}.mean"), (1, 1, 1, features.shape[-1]), "i8", "value",
        features.quant,
    )  # fmt: skip
    attrs: dict[str, Attr] = {"kernel": [*size], "stride": [*size]}
    result.add_node(Node("average_pool", (features.name,), (made.name,), attrs), [made])
    return made


def _is_pooled_behind(graph: Graph, classifier: Node) -> bool:
    """Whether one number for each class is made of the classifier's image of them."""
    image = graph.tensors[classifier.outputs[0]]
    return graph.tensors[graph.outputs[0]].elements == image.shape[-1] < image.elements


def replace_head(
    graph: Graph, outputs: int, head_format: HeadFormat = "int16", origin: HeadOrigin = NEW, *,
    trained: bool = True,
) -> Graph:  # fmt: skip
    """Cut the classifier off and put a head of `outputs` outputs in its place.

    `origin` says what it starts from; the weights of a kept classifier that is `trained` have room
    to double. The head's params are a weight (N, C) and a bias (N,); its output is the graph's,
    the logits (1, N). Raises MicrotuneError where the classifier does not read a pooled feature
    vector, or has not the outputs that a kept one needs.
    """
    task_of(graph).check_outputs(outputs)
    verify(graph)
    if len(graph.outputs) > 1:
        raise MicrotuneError(
            f"{graph.name} has {len(graph.outputs)} outputs: projects are made of networks with "
            "one; `inspect` and `verify` show this one"
        )
    classifier = find_classifier(graph)
    result = _without(graph, classifier)
    features = _features(graph, result, classifier, origin)
    int16 = head_format == "int16"
    attrs: dict[str, Attr] = {}
    values = initial_values(graph, classifier, outputs, origin)
    scale, zero = result.scale(features.name), result.quant(features.name).zero_point
    if int16:
        bits, values = fixed_point(scale, *values, room=2 if origin.own and trained else 1)
        attrs["fraction_bits"] = bits
        if origin.more:
            values = with_more_codes(*values, origin.more, zero)
    elif origin.more:
        largest = scale * max(127 - zero, 128 + zero)
        values = with_more_reals(*values, origin.more, largest)
    weight = values[0].astype(np.int16 if int16 else np.float32)
    bias = values[1].astype(np.int32 if int16 else np.float32)
    kinds = ("i16", "i32") if int16 else ("f32", "f32")
    operands = [features.name]
    for name, data, kind in zip(("head.weight", "head.bias"), (weight, bias), kinds, strict=True):
        tensor = Tensor(result.fresh(name), data.shape, kind, "param")
        operands.append(result.add_tensor(tensor, data))
    logits = Tensor(result.fresh("logits"), (1, outputs), "i32" if int16 else "f32")
    inputs = Head[str].of(operands).flat()
    result.add_node(Node("head", inputs, (logits.name,), attrs), [logits])
    result.outputs = [logits.name]
    return verify(result)


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
