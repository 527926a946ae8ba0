"""Training of the simulated baselines: minibatches, momentum, Adam, LARS, QAS; cosine schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from microtune.data import Split, epoch_order
from microtune.ir.graph import Array, Graph
from microtune.train.trainer import Schedule
from microtune.training.scheme import Scheme
from microtune_studies.torch_backward import EXACT, GradientSimulation, Rounding, rounded
from microtune_studies.torch_network import Arithmetic, Leaf, TorchNetwork, require_torch

if TYPE_CHECKING:
    from torch import Tensor

Optimiser = Literal["sgdm", "adam", "lars"]
_ADAM = (0.9, 0.999, 1e-8)
_LARS_TRUST = 0.001
_PIECE = 64  # images of one pass through the frozen prefix


@dataclass(frozen=True)
class Baseline:
    """How a simulated baseline trains.

    `qas` scales the gradients of int8 tensors by 1/s². `weights` says how trained weights are
    rounded after each step, to codes with `extra_bits` more; None: float32.
    """

    arithmetic: Arithmetic
    optimiser: Optimiser
    qas: bool = False
    batch: int = 16
    momentum: float = 0.9
    weights: Rounding | None = None
    extra_bits: int = 0
    backward: GradientSimulation = EXACT


# The columns of the published table.
BASELINES = {
    "fp32 SGD-M": Baseline("float", "sgdm"),
    "int8 SGD-M": Baseline("int8", "sgdm"),
    "int8 Adam": Baseline("int8", "adam"),
    "int8 LARS": Baseline("int8", "lars"),
    "int8 SGD-M + QAS": Baseline("int8", "sgdm", qas=True),
}

# The device's way of training in float32: batch 1, no momentum, QAS, weights kept as int8.
SIMULATED_DEVICE = Baseline("int8", "sgdm", True, 1, 0.0, "stochastic")
# One thing changed each, for the ablation.
SIMULATIONS = BASELINES | {
    "float32 gradients": SIMULATED_DEVICE,
    "float32 weights": replace(SIMULATED_DEVICE, weights=None),
    "weights with 2 extra bits": replace(SIMULATED_DEVICE, extra_bits=2),
    "weights with 4 extra bits": replace(SIMULATED_DEVICE, extra_bits=4),
    "weights nearest with 4 extra bits": replace(SIMULATED_DEVICE, weights="nearest", extra_bits=4),
    "int8 gradients": replace(SIMULATED_DEVICE, backward=GradientSimulation("tensor")),
    "int8 gradients per channel": replace(SIMULATED_DEVICE, backward=GradientSimulation("channel")),
    "accumulation over 8": replace(SIMULATED_DEVICE, batch=8),
    "momentum 0.9": replace(SIMULATED_DEVICE, momentum=0.9),
}


@dataclass
class _State:
    value: Tensor
    leaf: Leaf | None
    first: Tensor
    second: Tensor


class BaselineTraining:
    """A network with its optimiser; it trains on latents, one epoch at a time."""

    def __init__(
        self, graph: Graph, scheme: Scheme, baseline: Baseline, classes: int, lr: float,
        schedule: Schedule = "cosine",
    ) -> None:  # fmt: skip
        self.torch = require_torch()
        self.torch.set_num_threads(1)
        self.network = TorchNetwork(graph, scheme, baseline.arithmetic, classes, baseline.backward)
        self.baseline, self.lr, self.schedule, self.steps = baseline, lr, schedule, 0
        backbone = [(leaf.value, leaf) for leaf in self.network.leaves]
        head = [(self.network.head_weight, None), (self.network.head_bias, None)]
        zeros = self.torch.zeros_like
        self.states = [
            _State(value, leaf, zeros(value), zeros(value)) for value, leaf in [*backbone, *head]
        ]

    def latents(self, split: Split) -> Tensor:
        """The output of the frozen layers for every image of a split."""
        pieces = [
            self.network.latents(split.frames[i : i + _PIECE])
            for i in range(0, len(split.labels), _PIECE)
        ]
        return self.torch.cat(pieces)

    def epoch(self, latents: Tensor, labels: Array, seed: int, epoch: int, epochs: int) -> float:
        """Train for one epoch in the order of this seed; returns the mean loss in nats."""
        count, batch = len(labels), self.baseline.batch
        self.torch.manual_seed(seed * 1000 + epoch)
        order = epoch_order(count, seed, epoch)
        targets = self.torch.from_numpy(labels.astype(np.int64))
        total = epochs * math.ceil(count / batch)
        losses = 0.0
        for start in range(0, count, batch):
            chosen = self.torch.from_numpy(order[start : start + batch])
            logits = self.network.logits(latents[chosen])
            loss = self.torch.nn.functional.cross_entropy(logits, targets[chosen])
            gradients = self.torch.autograd.grad(loss, [s.value for s in self.states])
            rate = self._rate(total)
            with self.torch.no_grad():
                for state, gradient in zip(self.states, gradients, strict=True):
                    self._step(state, gradient, rate)
                    self._round(state)
            self.steps += 1
            losses += float(loss.detach()) * len(chosen)
        return losses / count

    def _rate(self, total: int) -> float:
        if self.schedule == "constant":
            return self.lr
        return self.lr * 0.5 * (1 + math.cos(math.pi * self.steps / total))

    def _step(self, state: _State, gradient: Tensor, rate: float) -> None:
        torch = self.torch
        if state.leaf is not None:
            gradient = gradient * state.leaf.mask
            gradient = gradient * state.leaf.scaling if self.baseline.qas else gradient
        if self.baseline.optimiser == "adam":
            one, two, epsilon = _ADAM
            state.first.mul_(one).add_(gradient, alpha=1 - one)
            state.second.mul_(two).addcmul_(gradient, gradient, value=1 - two)
            step = self.steps + 1
            mean = state.first / (1 - one**step)
            deviation = torch.sqrt(state.second / (1 - two**step)) + epsilon
            state.value -= rate * mean / deviation
            return
        if self.baseline.optimiser == "lars":
            norm, size = torch.linalg.vector_norm(gradient), torch.linalg.vector_norm(state.value)
            if norm > 0 and size > 0:
                gradient = gradient * (_LARS_TRUST * size / norm)
        state.first.mul_(self.baseline.momentum).add_(gradient)
        state.value -= rate * state.first

    def _round(self, state: _State) -> None:
        """Round a trained weight to its codes; biases and head stay float32."""
        how = self.baseline.weights
        if how is not None and state.leaf is not None and state.value.ndim > 1:
            steps = 2.0**self.baseline.extra_bits
            codes = rounded(self.torch, state.value * steps, how) / steps
            state.value.copy_(codes.clamp(-128, 127))

    def predictions(self, latents: Tensor) -> Array:
        """The predicted classes of latents, int64 (N,)."""
        with self.torch.no_grad():
            logits = [
                self.network.logits(latents[i : i + _PIECE]) for i in range(0, len(latents), _PIECE)
            ]
        found: Array = self.torch.cat(logits).argmax(dim=1).numpy()
        return found

    def ratios(self, latents: Tensor, labels: Array) -> dict[str, float]:
        """The ratio ‖W‖/‖G‖ of every trained weight and bias, by name.

        G is the gradient of the mean loss over these images.
        """
        logits = self.network.logits(latents)
        targets = self.torch.from_numpy(labels.astype(np.int64))
        loss = self.torch.nn.functional.cross_entropy(logits, targets)
        leaves = self.network.leaves
        gradients = self.torch.autograd.grad(loss, [leaf.value for leaf in leaves])
        norm = self.torch.linalg.vector_norm
        ratios = {}
        for leaf, gradient in zip(leaves, gradients, strict=True):
            scaled = gradient * leaf.scaling if self.baseline.qas else gradient
            ratios[leaf.name] = float((norm(leaf.value) / norm(scaled)).detach())
        return ratios
