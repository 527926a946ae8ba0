"""Small networks of PyTorch in the styles that people bring, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Case:
    """A network, the shape of its input without the batch, and the least SQNR (dB) of its int8."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    least: float = 25.0


def _conv(
    i: int, o: int, k: int = 3, stride: int = 1, groups: int = 1,
    act: Callable[[], nn.Module] = nn.ReLU6,
) -> nn.Sequential:  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o), act()
    )


def _separable(i: int, o: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_conv(i, i, 3, stride, i, nn.ReLU), _conv(i, o, 1, act=nn.ReLU))


class Inverted(nn.Module):
    """MobileNetV2's block: expand, depthwise, project, and add."""

    def __init__(self, i: int, o: int, stride: int, times: int, k: int = 3) -> None:
        super().__init__()
        h = i * times
        self.added = stride == 1 and i == o
        self.layers = nn.Sequential(
            _conv(i, h, 1), _conv(h, h, k, stride, h), nn.Conv2d(h, o, 1, bias=False),
            nn.BatchNorm2d(o),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.added else self.layers(x)


class Residual(nn.Module):
    """ResNet's block: two convolutions and a shortcut, added, then a ReLU."""

    def __init__(self, i: int, o: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.one = _conv(i, o, 3, stride, act=nn.ReLU)
        self.two = _conv(o, o, 3, 1, groups, act=nn.Identity)
        self.down = _conv(i, o, 1, stride, act=nn.Identity) if stride > 1 or i != o else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(self.one(x))
        y += x if self.down is None else self.down(x)
        return functional.relu(y, inplace=True)


class Fire(nn.Module):
    """SqueezeNet's block: squeeze, then two expansions side by side."""

    def __init__(self, i: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(i, squeeze, 1)
        self.e1, self.e3 = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.e1(x)), torch.relu(self.e3(x))], 1)


class Shuffle(nn.Module):
    """ShuffleNetV2's unit: half of the channels pass, then all are shuffled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            _conv(half, half, 1, act=nn.ReLU), _conv(half, half, 3, 1, half, nn.Identity),
            _conv(half, half, 1, act=nn.ReLU),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=1)
        y = torch.cat((a, self.branch(b)), dim=1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class Temporal(nn.Module):
    """TC-ResNet's block on signals (N, C, L)."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.one = nn.Sequential(
            nn.Conv1d(i, o, 9, 2, 4, bias=False), nn.BatchNorm1d(o), nn.ReLU(),
            nn.Conv1d(o, o, 9, 1, 4, bias=False), nn.BatchNorm1d(o),
        )  # fmt: skip
        self.down = nn.Sequential(nn.Conv1d(i, o, 1, 2, bias=False), nn.BatchNorm1d(o), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.one(x) + self.down(x))


class Functional(nn.Module):
    """A forward written by functions: sums, concatenations, slices, constants, means."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding="same"), nn.Conv2d(3, 8, 1)
        self.register_buffer("offset", torch.linspace(-0.2, 0.2, 8).view(8, 1, 1))
        self.slopes = nn.Parameter(torch.linspace(-0.1, 0.4, 8))
        self.fc = nn.Linear(20, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x * 2 - 1, (1, 2, 1, 2))
        y = functional.leaky_relu(self.a(x), 0.1) + functional.gelu(self.b(x))
        y = functional.prelu(y - 0.5 * self.b(x), self.slopes)
        y = functional.max_pool2d(y + self.offset, 2, 1)[:, :, 2:, 2:]
        z = functional.interpolate(functional.avg_pool2d(y, 2), scale_factor=2.0)
        y = torch.cat([y[:, 2:6], z, functional.hardtanh(y, -0.5, 0.5)], dim=1)
        return functional.log_softmax(self.fc(y.mean((2, 3)) / 1.5), dim=1)


class Unet(nn.Module):
    """Down, up by a transposed convolution, joined with what was there."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = _conv(3, 8, act=nn.ReLU), _conv(8, 16, 3, 2, act=nn.ReLU)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(16, 8, 2, 2), nn.ReLU(),
            nn.ConvTranspose2d(8, 8, 3, 2, 1, output_padding=1), nn.BatchNorm2d(8), nn.MaxPool2d(2),
        )  # fmt: skip
        self.out = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down(x)
        return self.out(torch.cat([a, self.up(self.deep(a))], 1))


class Excited(nn.Module):
    """MobileNetV3's block: squeeze and excitation, hard swish."""

    def __init__(self, i: int, h: int, o: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(
            _conv(i, h, 1, act=nn.Hardswish), _conv(h, h, 5, 1, h, nn.Hardswish)
        )
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(h, h // 4, 1), nn.ReLU(), nn.Conv2d(h // 4, h, 1),
            nn.Hardsigmoid(),
        )  # fmt: skip
        self.project = nn.Sequential(nn.Conv2d(h, o, 1, bias=False), nn.BatchNorm2d(o))
        self.added = i == o

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(x)
        y = self.project(self.se(y) * y)
        return x + y if self.added else y


def _head(features: int, classes: int = 10) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(features, classes)]


def mobilenet_v1() -> nn.Module:
    """Depthwise separable layers."""
    return nn.Sequential(
        _conv(3, 8, 3, 2, act=nn.ReLU), _separable(8, 16), _separable(16, 32, 2),
        _separable(32, 32), *_head(32),
    )  # fmt: skip


def mobilenet_v2() -> nn.Module:
    """Inverted residuals and ReLU6."""
    return nn.Sequential(
        _conv(3, 8, 3, 2), Inverted(8, 8, 1, 1), Inverted(8, 12, 2, 4), Inverted(12, 12, 1, 4, 5),
        _conv(12, 40, 1), *_head(40),
    )  # fmt: skip


def mobilenet_v3() -> nn.Module:
    """Gates for each channel."""
    return nn.Sequential(
        _conv(3, 8, 3, 2, act=nn.Hardswish), Excited(8, 24, 8), Excited(8, 24, 12), *_head(12)
    )


def resnet8() -> nn.Module:
    """Three residual blocks."""
    return nn.Sequential(
        _conv(3, 8, act=nn.ReLU), Residual(8, 8, 1), Residual(8, 16, 2), Residual(16, 32, 2),
        *_head(32),
    )  # fmt: skip


def regnet() -> nn.Module:
    """Grouped convolutions."""
    return nn.Sequential(_conv(3, 16, 3, 2, act=nn.ReLU), Residual(16, 32, 2, 4), *_head(32))


def squeezenet() -> nn.Module:
    """Fire modules, a pool that rounds up, and a convolution as classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(16, 4, 8),
        Fire(16, 6, 12), nn.Conv2d(24, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


def vgg() -> nn.Module:
    """Convolutions, pools, and a flattened image in a hidden layer."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12 * 8 * 8, 24), nn.ReLU(),
        nn.Linear(24, 10),
    )  # fmt: skip


def lenet() -> nn.Module:
    """Tanh and average pools, unpadded."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def mlp() -> nn.Module:
    """Fully connected layers with batch norms."""
    return nn.Sequential(
        nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16), nn.SiLU(),
        nn.Linear(16, 4),
    )  # fmt: skip


def norm_after_relu() -> nn.Module:
    """Batch norms that no layer before them can take."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(8), nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(), nn.BatchNorm2d(12), nn.Conv2d(12, 16, 1), nn.Hardswish(), nn.BatchNorm2d(16),
        nn.MaxPool2d(2), nn.Flatten(), nn.ReLU(), nn.BatchNorm1d(16 * 64), nn.Linear(16 * 64, 5),
    )  # fmt: skip


def tc_resnet() -> nn.Module:
    """Signals of 20 channels."""
    return nn.Sequential(
        nn.Conv1d(20, 16, 3, padding=1, bias=False), Temporal(16, 24), Temporal(24, 32),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 6),
    )  # fmt: skip


def shufflenet() -> nn.Module:
    """Two shuffled units."""
    return nn.Sequential(_conv(3, 16, 3, 2, act=nn.ReLU), Shuffle(16), Shuffle(16), *_head(16))


def ds_cnn() -> nn.Module:
    """Spectra: a kernel of 10 x 4 and asymmetric strides."""
    return nn.Sequential(
        nn.Conv2d(1, 16, (10, 4), (2, 2), (5, 1), bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        _separable(16, 16), _separable(16, 16), *_head(16, 12),
    )  # fmt: skip


def dilated() -> nn.Module:
    """A signal's auto-encoder with dilated convolutions."""
    return nn.Sequential(
        nn.Conv1d(4, 8, 3, padding=2, dilation=2), nn.ReLU(), nn.Conv1d(8, 4, 3, padding=1),
        nn.Flatten(), nn.Linear(4 * 32, 16), nn.ReLU(), nn.Linear(16, 4 * 32),
    )  # fmt: skip


CASES: dict[str, Case] = {
    "mobilenet_v1": Case(mobilenet_v1, (3, 32, 32)),
    "mobilenet_v2": Case(mobilenet_v2, (3, 32, 32)),
    "mobilenet_v3": Case(mobilenet_v3, (3, 32, 32)),
    "resnet8": Case(resnet8, (3, 32, 32)),
    "regnet": Case(regnet, (3, 32, 32)),
    "squeezenet": Case(squeezenet, (3, 34, 34)),
    "vgg": Case(vgg, (3, 32, 32)),
    "lenet": Case(lenet, (1, 28, 28)),
    "mlp": Case(mlp, (20,)),
    "norm_after_relu": Case(norm_after_relu, (3, 16, 16)),
    "tc_resnet": Case(tc_resnet, (20, 50)),
    "shufflenet": Case(shufflenet, (3, 32, 32)),
    "ds_cnn": Case(ds_cnn, (1, 49, 10)),
    "functional": Case(Functional, (3, 16, 16)),
    "unet": Case(Unet, (3, 16, 16)),
    "dilated": Case(dilated, (4, 32)),
}


def built(name: str) -> nn.Module:
    """The network with weights and statistics of batch norm that are spread as trained ones are."""
    torch.manual_seed(0)
    module = CASES[name].build().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0.2, 0.3)
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.3, 1.5)
    return module


def images(name: str, count: int = 24) -> Tensor:
    """Smooth random samples from 0 to 1, or (without height) of standard deviation 1."""
    shape = CASES[name].shape
    generator = torch.Generator().manual_seed(1)
    if len(shape) < 3:
        return torch.randn(count, *shape, generator=generator)
    coarse = torch.rand(count, shape[0], 6, 6, generator=generator)
    return functional.interpolate(coarse, shape[1:], mode="bilinear").clamp(0, 1)
