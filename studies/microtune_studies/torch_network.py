"""The baselines' network in PyTorch, simulated: float32, or int8 forward with float32 masters.

`float`: the network behind the int8 one, weights dequantised, activations float32, clamps where the
int8 network has them. `int8`: activations are rounded to their codes with a straight-through
gradient; trained weights and biases are float32 masters in units of codes, not rounded. The head is
float32 in both. Layers before the first trained one are frozen and run once per image.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops import Trait, has
from microtune.training.head import find_classifier
from microtune.training.scheme import Scheme, channel_count, selects_outputs, trained_channels
from microtune_studies.torch_backward import EXACT, GradientSimulation, gate
from microtune_studies.torch_depthwise import depthwise, suits

if TYPE_CHECKING:
    from torch import Tensor

Arithmetic = Literal["float", "int8"]


@dataclass(frozen=True)
class Leaf:
    """A trained tensor with two factors that broadcast to it.

    One is the factor by which QAS multiplies its gradient; the other is 1 where it is trained and 0
    elsewhere.
    """

    name: str
    value: Tensor
    scaling: Tensor
    mask: Tensor


def require_torch() -> ModuleType:
    """The module torch. Raises MicrotuneError, which says how to install it, if it is missing."""
    try:
        import torch
    except ImportError as error:
        raise MicrotuneError(
            "the baselines need PyTorch: pip install 'microtune[torch]'"
        ) from error
    module: ModuleType = torch
    return module


class TorchNetwork:
    """The simulated network: from frames or latents to features and logits."""

    def __init__(
        self, graph: Graph, scheme: Scheme, arithmetic: Arithmetic, classes: int,
        backward: GradientSimulation = EXACT,
    ) -> None:  # fmt: skip
        self.torch = require_torch()
        self.graph, self.arithmetic = graph, arithmetic
        self.backward = backward
        classifier = find_classifier(graph)
        self.features = classifier.inputs[0]
        self.nodes = _backbone(graph, self.features)
        self.source = graph.signature.input
        self.cut = _cut(self.nodes, scheme, self.source)
        self.constants: dict[str, Tensor] = {}
        self.leaves = self._leaves(scheme)
        width = graph.tensors[self.features].elements
        self.head_weight = self.torch.zeros(classes, width, requires_grad=True)
        self.head_bias = self.torch.zeros(classes, requires_grad=True)

    # -- running --------------------------------------------------------------------------------

    def latents(self, frames: Array) -> Tensor:
        """The output of the frozen layers, float32 (N, C, H, W), for frames int8 (N, H, W, C)."""
        x = self.torch.from_numpy(frames.astype(np.float32)).permute(0, 3, 1, 2)
        start = x if self.arithmetic == "int8" else self._real(x, self.source)
        with self.torch.no_grad():
            values = self._run(self.nodes[: self.cut], {self.source: start})
        return values[self._latent_name()]

    def features_of(self, latents: Tensor) -> Tensor:
        """The input of the head, in codes or in real values."""
        values = self._run(self.nodes[self.cut :], {self._latent_name(): latents})
        return values[self.features]

    def logits(self, latents: Tensor) -> Tensor:
        """The logits of latents, float32 (N, classes)."""
        x = self.features_of(latents)
        real = self._real(x, self.features) if self.arithmetic == "int8" else x
        return real.flatten(1) @ self.head_weight.T + self.head_bias

    def _latent_name(self) -> str:
        return self.source if self.cut == 0 else self.nodes[self.cut - 1].outputs[0]

    def _run(self, nodes: list[Node], values: dict[str, Tensor]) -> dict[str, Tensor]:
        for node in nodes:
            inputs = [values[name] for name in node.inputs if name in values]
            meaning = getattr(self, f"_{node.op}", None)
            if meaning is None:
                raise MicrotuneError(f"{node.op}: the simulation in PyTorch does not know this op")
            value = meaning(node, *inputs)
            values[node.outputs[0]] = gate(self.torch, value, self.backward)
        return values

    # -- parameters -----------------------------------------------------------------------------

    def _leaves(self, scheme: Scheme) -> list[Leaf]:
        leaves = []
        for node in (n for n in self.nodes if has(n, Trait.LAYER)):
            layer = node.outputs[0]
            for trained, name in zip(
                (layer in scheme.weights, layer in scheme.biases), node.inputs[1:3], strict=True
            ):
                if trained:
                    value = self._constant(node, name).clone().requires_grad_()
                    self.constants[name] = value
                    mask = self._mask(node, name, scheme)
                    leaves.append(Leaf(name, value, self._scaling(node, name), mask))
        return leaves

    def _mask(self, node: Node, name: str, scheme: Scheme) -> Tensor:
        """Trained channels: input channels of dense layers, channels of depthwise ones."""
        layer = node.outputs[0]
        if name != node.inputs[1] or scheme.weights[layer] == channel_count(self.graph, layer):
            return self.torch.ones(1)
        count = scheme.weights[layer]
        mask = np.zeros(channel_count(self.graph, layer), np.float32)
        mask[trained_channels(self.graph, layer, count)[:count]] = 1
        shape = (-1, 1, 1, 1) if selects_outputs(self.graph, layer) else (1, -1, 1, 1)
        return self.torch.from_numpy(mask).reshape(shape)

    def _scaling(self, node: Node, name: str) -> Tensor:
        """The factors 1/s² by output channel (docs/numerics.md); 0 for dead channels."""
        s = self.graph.channel_scales(node.inputs[1])
        s = s if name == node.inputs[1] else s * self.graph.scale(node.inputs[0])
        live = self.graph.data[node.inputs[1]].reshape(len(s), -1).any(axis=1)
        factor = np.where(live, 1.0 / np.maximum(s, 1e-12) ** 2, 0.0).astype(np.float32)
        shape = (-1, 1, 1, 1) if name == node.inputs[1] else (-1,)
        return self.torch.from_numpy(factor).reshape(shape)

    def _constant(self, node: Node, name: str) -> Tensor:
        """Weights (O, I, KH, KW) or biases, in codes or in real values."""
        if name not in self.constants:
            graph, data = self.graph, self.graph.data[name].astype(np.float64)
            weight = name == node.inputs[1]
            if weight:
                full = data if data.ndim == 4 else data[:, None, None, :]
                data = full.transpose(0, 3, 1, 2)
            if self.arithmetic == "float":
                s = graph.channel_scales(node.inputs[1])
                s = s if weight else s * graph.scale(node.inputs[0])
                data = data * s.reshape(-1, *([1] * (data.ndim - 1)))
            self.constants[name] = self.torch.from_numpy(data.astype(np.float32))
        return self.constants[name]

    # -- operations -----------------------------------------------------------------------------

    def _real(self, x: Tensor, name: str) -> Tensor:
        quant = self.graph.quant(name)
        return (x - quant.zero_point) * self.graph.scale(name)

    def _conv2d(self, node: Node, x: Tensor) -> Tensor:
        graph, y = self.graph, node.outputs[0]
        zero = graph.quant(node.inputs[0]).zero_point if self.arithmetic == "int8" else 0
        weight, bias = (self._constant(node, name) for name in node.inputs[1:3])
        acc = self._convolve(node, x - zero, weight, bias)
        if self.arithmetic == "float":
            return self._clamped_real(acc, y)
        ratio = graph.scale(node.inputs[0]) * graph.channel_scales(node.inputs[1]) / graph.scale(y)
        scale = self.torch.from_numpy(ratio.astype(np.float32)).reshape(1, -1, 1, 1)
        return self._coded(acc * scale, node)

    def _convolve(self, node: Node, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        functional = self.torch.nn.functional
        padding, stride, groups = node.ints("padding"), node.ints("stride"), node.int("groups")
        if suits(x, weight, groups):
            y = depthwise(self.torch, x, weight, stride, padding)
            return y if bias is None else y + bias.reshape(1, -1, 1, 1)
        top, left, bottom, right = padding
        padded = functional.pad(x, (left, right, top, bottom))
        acc: Tensor = functional.conv2d(padded, weight, bias, stride, groups=groups)
        return acc

    def _coded(self, smooth: Tensor, node: Node) -> Tensor:
        """Rounded codes with a straight-through gradient, which the clamp stops."""
        lo, hi = node.ints("clamp") if "clamp" in node.attrs else (-128, 127)
        rounded = smooth + (self.torch.round(smooth) - smooth).detach()
        return (rounded + self.graph.quant(node.outputs[0]).zero_point).clamp(lo, hi)

    def _clamped_real(self, y: Tensor, name: str) -> Tensor:
        """ReLU if the code of 0 is the lowest; ReLU6 if the highest code means 6."""
        if self.graph.quant(name).zero_point != -128:
            return y
        highest = 255 * self.graph.scale(name)
        return y.clamp(0, 6) if abs(highest - 6) < 0.05 else y.clamp(min=0)

    def _add(self, node: Node, a: Tensor, b: Tensor) -> Tensor:
        if self.arithmetic == "float":
            return a + b
        total = self._real(a, node.inputs[0]) + self._real(b, node.inputs[1])
        return self._coded(total / self.graph.scale(node.outputs[0]), node)

    def _average_pool(self, node: Node, x: Tensor) -> Tensor:
        mean = self.torch.nn.functional.avg_pool2d(x, node.ints("kernel"), node.ints("stride"))
        if self.arithmetic == "float":
            return mean
        return mean + (self.torch.floor(mean + 0.5) - mean).detach()

    def _reshape(self, node: Node, x: Tensor) -> Tensor:
        return x.flatten(1)


def _backbone(graph: Graph, features: str) -> list[Node]:
    """The nodes of a graph up to the features."""
    for index, node in enumerate(graph.nodes):
        if features in node.outputs:
            return graph.nodes[: index + 1]
    raise MicrotuneError(f"{graph.name}: nothing makes {features}")


def _cut(nodes: list[Node], scheme: Scheme, source: str) -> int:
    """The last index before the first trained layer at which a single tensor is live."""
    trained = {*scheme.biases, *scheme.weights}
    first = next((i for i, n in enumerate(nodes) if n.outputs[0] in trained), len(nodes))
    for cut in range(first, 0, -1):
        made = {source, *(name for node in nodes[:cut] for name in node.outputs)}
        if {n for node in nodes[cut:] for n in node.inputs} & made <= {nodes[cut - 1].outputs[0]}:
            return cut
    return 0
