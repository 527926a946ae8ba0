"""The embedded network: a small MobileNetV2 for 28x28 grey images, described once as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

Floats = npt.NDArray[np.float32]

FEATURES = 128
# expansion channels, kernel, stride, output channels of each inverted residual block
BLOCKS = (
    (48, 3, 1, 16), (64, 3, 2, 24), (96, 5, 1, 24),
    (96, 3, 2, 40), (160, 3, 1, 40), (160, 3, 1, 40),
)  # fmt: skip
STEM_CHANNELS = 16


@dataclass(frozen=True)
class Layer:
    """One convolution; `add` names the tensor that is added to its output, "" for none."""

    name: str
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    relu: bool = True
    add: str = ""

    @property
    def result(self) -> str:
        """Name of the tensor after the layer and its residual add."""
        return f"{self.name}_add" if self.add else self.name


def network_layers() -> list[Layer]:
    """Every convolution before the pool, in order."""
    layers = [Layer("stem", 1, STEM_CHANNELS, kernel=3, stride=2)]
    for number, (middle, kernel, stride, outputs) in enumerate(BLOCKS, 1):
        before, prefix = layers[-1], f"block{number}"
        residual = before.result if stride == 1 and before.outputs == outputs else ""
        layers += [
            Layer(f"{prefix}_expand", before.outputs, middle),
            Layer(f"{prefix}_depthwise", middle, middle, kernel, stride, groups=middle),
            Layer(f"{prefix}_project", middle, outputs, relu=False, add=residual),
        ]
    return [*layers, Layer("last", layers[-1].outputs, FEATURES)]


class Network(nn.Module):
    """Convolutions with batch norm, ReLU, global average pool, linear classifier."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = network_layers()
        self.convs = nn.ModuleList(
            nn.Conv2d(
                la.inputs, la.outputs, la.kernel, la.stride, la.kernel // 2,
                groups=la.groups, bias=False,
            )
            for la in self.layers
        )  # fmt: skip
        self.norms = nn.ModuleList(nn.BatchNorm2d(la.outputs) for la in self.layers)
        self.classifier = nn.Linear(FEATURES, classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1, 28, 28) real input -> (N, FEATURES)."""
        values: dict[str, torch.Tensor] = {}
        for layer, conv, norm in zip(self.layers, self.convs, self.norms, strict=True):
            x = norm(conv(x))
            x = functional.relu(x) if layer.relu else x
            x = x + values[layer.add] if layer.add else x
            values[layer.result] = x
        return x.mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes)."""
        logits: torch.Tensor = self.classifier(self.features(x))
        return logits


def to_input(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """(N, 28, 28) pixels -> (N, 1, 28, 28) real input: (pixel - 128) / 128."""
    return (torch.from_numpy(images.copy()).float()[:, None] - 128) / 128
