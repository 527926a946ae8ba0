"""The training-free estimate: Fisher information of biases and weights, behind a trained head.

The head alone is trained. Then a few images go through the float-gradient graph, the whole network
at once. A bias's score is the mean over images of its squared gradient with respect to the *float*
bias (codes' gradients over the scales): to first order what a step of plain SGD, and so of
quantisation-aware scaling, takes off the loss per unit of learning rate.

Weights are trained beside their layer's biases, so that of a weight's gradient only what is not
proportional to the gradient of its output's bias counts: the information conditional on the bias. A
weight whose input is the same for all images is no more than a bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.forward import full_weight
from microtune.ir.signature import feed
from microtune.search.problem import Choice, Contributions, Selection
from microtune.search.trials.trial import Materials, Trial, trained_parameters
from microtune.train.trainer import Progress
from microtune.training.apply_scheme import apply_scheme
from microtune.training.autodiff import differentiate
from microtune.training.build import Formats
from microtune.training.head import replace_head
from microtune.training.scheme import (
    Scheme,
    backbone_layers,
    channel_count,
    selects_outputs,
    trained_channels,
)

IMAGES = 24
_HEAD_EPOCHS = 2
_TINY = 1e-300


@dataclass(frozen=True)
class Scores:
    """Fisher information by layer name: of the biases, and of each channel's weights beside them
    (C,), in the channels' original order (the channels that a ratio selects)."""

    biases: Mapping[str, float]
    channels: Mapping[str, Array]


def estimate(
    materials: Materials, depths: Sequence[int], choices: Sequence[Choice], lr: float,
    progress: Progress, images: int = IMAGES,
) -> Contributions:  # fmt: skip
    """Contributions in nats for one step of each image, to first order: comparable with each other,
    and too large for the whole training."""
    graph = materials.model.graph
    layers = backbone_layers(graph)
    deepest = max([1, *depths, *(len(layers) - choice.layer for choice in choices)])
    scores = fisher(materials, lr, progress, deepest, images)
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


def fisher(
    materials: Materials, lr: float, progress: Progress, depth: int, images: int = IMAGES
) -> Scores:
    """Scores of the last `depth` layers, over images spread evenly over what is learnt."""
    floating = replace(materials, formats=Formats(head="float32"))
    head = trained_parameters(Trial(Selection(0, ()), lr, 0, _HEAD_EPOCHS), floating)
    forward, graph, gradients = _gradient_graph(materials, depth)
    count = len(materials.learn.labels)
    chosen = np.linspace(0, count - 1, min(images, count)).round().astype(int)
    moments = _Moments(_biases_of(forward, depth))
    for number, index in enumerate(chosen):
        inputs = feed(graph, materials.learn.frames[index], materials.learn.labels[index])
        values = evaluate(graph, inputs, head, real=np.float32)
        moments.add({p: values[g] for p, g in gradients.items() if p not in head})
        progress(number + 1, len(chosen), "gradients")
    return _scores(forward, moments.information(), depth)


class _Moments:
    """Sums over images of squared gradients, and of products of a weight's with its bias's."""

    def __init__(self, biases: Mapping[str, str]) -> None:
        """`biases`: weight -> bias of the same layer."""
        self._biases = biases
        self._images = 0
        self._squares: dict[str, Array] = {}
        self._products: dict[str, Array] = {}

    def add(self, gradients: Mapping[str, Array]) -> None:
        """Of one image."""
        self._images += 1
        found = {param: gradient.astype(np.float64) for param, gradient in gradients.items()}
        for param, gradient in found.items():
            self._squares[param] = self._squares.get(param, 0.0) + gradient**2
        for weight, bias in self._biases.items():
            product = found[weight] * _over(found[bias], found[weight])
            self._products[weight] = self._products.get(weight, 0.0) + product

    def information(self) -> dict[str, Array]:
        """The mean square of each gradient; of a weight's, what is left of it by the least squares
        over its bias's."""
        means = {param: square / self._images for param, square in self._squares.items()}
        for weight, bias in self._biases.items():
            square = _over(self._squares[bias], self._squares[weight])
            shared = self._products[weight] ** 2 / np.maximum(square, _TINY)
            left = np.maximum(self._squares[weight] - shared, 0.0)
            means[weight] = left / max(self._images - 1, 1)
        return means


def _over(outputs: Array, weights: Array) -> Array:
    """Values of outputs (O,), to multiply weights (O, ...)."""
    return outputs.reshape(-1, *[1] * (weights.ndim - 1))


def _biases_of(graph: Graph, depth: int) -> dict[str, str]:
    nodes = {node.outputs[0]: node for node in graph.nodes}
    of = [nodes[name].inputs for name in backbone_layers(graph)[-depth:]]
    return {inputs[1]: inputs[2] for inputs in of}


def _gradient_graph(materials: Materials, depth: int) -> tuple[Graph, Graph, dict[str, str]]:
    """(device graph, the same with float gradients of all of the last `depth` layers, param ->
    gradient)."""
    device = materials.model.graph.copy()
    device.attrs["requantize"] = "device"
    names = backbone_layers(device)[-depth:]
    whole = Scheme("all", tuple(names), {n: channel_count(device, n) for n in names}, True)
    prepared = apply_scheme(replace_head(device, materials.classes, "float32"), whole)
    graph, gradients = differentiate(prepared)
    return device, graph, gradients


def _scores(graph: Graph, information: Mapping[str, Array], depth: int) -> Scores:
    biases: dict[str, float] = {}
    channels: dict[str, Array] = {}
    nodes = {node.outputs[0]: node for node in graph.nodes}
    for name in backbone_layers(graph)[-depth:]:
        x, weight, bias = nodes[name].inputs[:3]
        scales = np.where(_live(graph, nodes[name]), graph.channel_scales(weight), np.inf)
        biases[name] = float((information[bias] / (graph.scale(x) * scales) ** 2).sum())
        by_output = information[weight].reshape(len(scales), -1) / scales[:, None] ** 2
        if selects_outputs(graph, name):
            channels[name] = by_output.sum(axis=1)
        else:
            inputs = information[weight].shape[-1]
            channels[name] = by_output.reshape(-1, inputs).sum(axis=0)
    return Scores(biases, channels)


def _live(graph: Graph, node: Node) -> Array:
    """Channels that are not dead: those are never trained. bool (O,)."""
    weight = full_weight(node.int("groups", 1), graph.data[node.inputs[1]], [])
    alive: Array = np.array([row.any() for row in weight])
    return alive
