"""Contributions estimated without training candidates: Fisher information of biases and weights.

The head alone is trained. Then a few images go through the float-gradient graph of the whole
network. The score of a bias is the mean over images of its squared gradient with respect to the
*float* bias: the gradient of the integer code, divided by the code's scale. To first order this is
the decrease of the loss in one step of plain SGD for a learning rate of 1, also with
quantisation-aware scaling.

Weights are trained beside the biases of their layer. The part of a weight's gradient that is
proportional to the gradient of its output's bias is therefore left out: a score is the information
conditional on the bias. A weight whose input is the same for all images has a score of 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.layer import layer_of
from microtune.ir.signature import feed
from microtune.search.problem import Choice, Contributions, Selection
from microtune.search.trials.trial import Trial, TrialSetup, trained_parameters
from microtune.train.trainer import Progress
from microtune.training.apply_scheme import apply_scheme
from microtune.training.autodiff import differentiate
from microtune.training.build import DeviceArithmetic, Formats, SetTask
from microtune.training.head import replace_head
from microtune.training.scheme import (
    Scheme,
    backbone_layers,
    channel_count,
    selects_outputs,
    trained_channels,
)
from microtune.training.tasks import CLASSIFY, Task

IMAGES = 24
_HEAD_EPOCHS = 2
_TINY = 1e-300


@dataclass(frozen=True)
class FisherScores:
    """Fisher information by layer name, in nats for a learning rate of 1.

    `biases` has that of all biases of a layer. `channels` has that of the weights of each channel,
    float64 (C,), beside the biases. Channels are those that a ratio selects among, in their
    original order.
    """

    biases: Mapping[str, float]
    channels: Mapping[str, Array]


def estimated_contributions(
    setup: TrialSetup, depths: Sequence[int], choices: Sequence[Choice], lr: float,
    progress: Progress, images: int = IMAGES,
) -> Contributions:  # fmt: skip
    """Estimated gains in nats of these bias depths and choices, for one SGD step on each image.

    First-order estimates for the learning rate `lr`. They can be compared with each other; as gains
    of a whole training they are too large. `images` is the number of training images that gradients
    are taken of. Raises what `run_trial` raises.
    """
    graph = setup.model.graph
    layers = backbone_layers(graph)
    deepest = max([1, *depths, *(len(layers) - choice.layer for choice in choices)])
    scores = fisher_scores(setup, lr, progress, deepest, images)
    biases = {
        depth: lr * sum(scores.biases[name] for name in layers[len(layers) - depth :])
        for depth in depths
    }
    weights: dict[Choice, float] = {}
    for choice in choices:
        name = layers[choice.layer]
        count = max(1, int(choice.ratio * channel_count(graph, name)))
        chosen = trained_channels(graph, name, count)[:count]
        weights[choice] = lr * float(scores.channels[name][chosen].sum())
    return Contributions(biases, weights)


def fisher_scores(
    setup: TrialSetup, lr: float, progress: Progress, depth: int, images: int = IMAGES
) -> FisherScores:
    """The scores of the last `depth` layers, over training images at even distances.

    The head is trained first, for two epochs with the learning rate `lr`. Raises what `run_trial`
    raises.
    """
    floating = replace(setup, formats=Formats(head="float32"))
    head = trained_parameters(Trial(Selection(0, ()), lr, 0, _HEAD_EPOCHS), floating)
    forward, graph, gradients = gradient_graph(setup.model.graph, setup.classes, depth)
    count = len(setup.training_split.labels)
    chosen = np.linspace(0, count - 1, min(images, count)).round().astype(int)
    moments = GradientMoments(biases_of(forward, depth))
    training = setup.training_split
    for number, index in enumerate(chosen):
        inputs = feed(graph, training.frames[index], training.labels[index])
        values = evaluate(graph, inputs, head, real=np.float32)
        moments.add({p: values[g] for p, g in gradients.items() if p not in head})
        progress(number + 1, len(chosen), "gradients")
    return scores_from(forward, moments.information(), depth)


class GradientMoments:
    """Sums over images of squared gradients, and of products of weight and bias gradients."""

    def __init__(self, biases: Mapping[str, str]) -> None:
        """Start with no image; `biases` maps each weight to the bias of the same layer."""
        self._biases = biases
        self._images = 0
        self._squares: dict[str, Array] = {}
        self._products: dict[str, Array] = {}

    def add(self, gradients: Mapping[str, Array]) -> None:
        """Add the gradients of one image, by parameter name."""
        self._images += 1
        found = {param: gradient.astype(np.float64) for param, gradient in gradients.items()}
        for param, gradient in found.items():
            self._squares[param] = self._squares.get(param, 0.0) + gradient**2
        for weight, bias in self._biases.items():
            product = found[weight] * _per_output(found[bias], found[weight])
            self._products[weight] = self._products.get(weight, 0.0) + product

    def information(self) -> dict[str, Array]:
        """The mean squared gradient by parameter name, with the parameter's shape.

        From the gradient of a weight its least-squares projection on that of its bias is removed.
        """
        means = {param: square / self._images for param, square in self._squares.items()}
        for weight, bias in self._biases.items():
            square = _per_output(self._squares[bias], self._squares[weight])
            shared = self._products[weight] ** 2 / np.maximum(square, _TINY)
            left = np.maximum(self._squares[weight] - shared, 0.0)
            means[weight] = left / max(self._images - 1, 1)
        return means


def _per_output(outputs: Array, weights: Array) -> Array:
    """Values of outputs (O,), reshaped to multiply weights (O, ...)."""
    return outputs.reshape(-1, *[1] * (weights.ndim - 1))


def biases_of(graph: Graph, depth: int) -> dict[str, str]:
    """Weight -> bias of each of the last `depth` layers, by tensor name."""
    nodes = {node.outputs[0]: node for node in graph.nodes}
    of = [layer_of(nodes[name]) for name in backbone_layers(graph)[-depth:]]
    return {layer.weight: layer.bias for layer in of}


def gradient_graph(
    graph: Graph, outputs: int, depth: int, task: Task = CLASSIFY
) -> tuple[Graph, Graph, dict[str, str]]:
    """(device graph, that graph with gradients, parameter -> gradient tensor).

    `graph` is a model's int8 graph; its classifier becomes a float32 head of `outputs` outputs.
    Gradients are floats, of all parameters of the last `depth` layers.
    """
    device = DeviceArithmetic().run(graph)
    if task is not CLASSIFY:
        device = SetTask(task).run(device)
    names = backbone_layers(device)[-depth:] if depth else []
    whole = Scheme("all", tuple(names), {n: channel_count(device, n) for n in names}, True)
    prepared = apply_scheme(replace_head(device, outputs, "float32"), whole)
    graph, gradients = differentiate(prepared)
    return device, graph, gradients


def scores_from(graph: Graph, information: Mapping[str, Array], depth: int) -> FisherScores:
    """The scores of the last `depth` layers from the information on integer codes."""
    biases: dict[str, float] = {}
    channels: dict[str, Array] = {}
    nodes = {node.outputs[0]: node for node in graph.nodes}
    for name in backbone_layers(graph)[-depth:]:
        o = layer_of(nodes[name])
        scales = np.where(_live(graph, nodes[name]), graph.channel_scales(o.weight), np.inf)
        biases[name] = float((information[o.bias] / (graph.scale(o.x) * scales) ** 2).sum())
        by_output = information[o.weight].reshape(len(scales), -1) / scales[:, None] ** 2
        if selects_outputs(graph, name):
            channels[name] = by_output.sum(axis=1)
        else:
            inputs = information[o.weight].shape[-1]
            channels[name] = by_output.reshape(-1, inputs).sum(axis=0)
    return FisherScores(biases, channels)


def _live(graph: Graph, node: Node) -> Array:
    """Whether each output channel has a weight other than 0, bool (O,); only those are trained."""
    weight = graph.data[layer_of(node).weight]
    alive: Array = np.array([row.any() for row in weight])
    return alive
