"""EfficientNet-Lite0 with ImageNet weights: float against int8 top-1.

    MICROTUNE_DATA=... python benchmarks/quantize_efficientnet.py [--images N] [--calibration N]

The module is written here with the names of the weights' file (batch norm with an epsilon of 1e-3,
TensorFlow's SAME padding, ReLU6). Every second photo is to calibrate, the others are to test.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import microtune as mt
from microtune.data import Preprocessing, open_images
from microtune.floats import run_floats
from microtune.quantization.network import run_int8

SIDE = 224
# times, kernel, stride, input, output channels, repeats
BLOCKS = (
    (1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3), (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1),
)  # fmt: skip


class Same(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding."""

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of the padded image."""
        around = []
        for axis in (3, 2):
            k, s = self.kernel_size[axis - 2], self.stride[axis - 2]
            total = max((-(-input.shape[axis] // s) - 1) * s + k - input.shape[axis], 0)
            around += [total // 2, total - total // 2]
        return super().forward(functional.pad(input, around))


def norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """Expand, depthwise, project, and add."""

    def __init__(self, times: int, k: int, s: int, i: int, o: int) -> None:
        super().__init__()
        h = i * times
        self.added = s == 1 and i == o
        self.expands = times > 1
        if self.expands:
            self._expand_conv, self._bn0 = nn.Conv2d(i, h, 1, bias=False), norm(h)
        self._depthwise_conv = Same(h, h, k, s, groups=h, bias=False)
        self._bn1 = norm(h)
        self._project_conv, self._bn2 = nn.Conv2d(h, o, 1, bias=False), norm(o)

    def forward(self, x: Tensor) -> Tensor:
        """The block's result."""
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.added else y


class EfficientNetLite0(nn.Module):
    """The network, for (pixel - 127)/128."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = Same(3, 32, 3, 2, bias=False), norm(32)
        self._blocks = nn.ModuleList(
            Block(t, k, s if n == 0 else 1, i if n == 0 else o, o)
            for t, k, s, i, o, repeats in BLOCKS for n in range(repeats)
        )  # fmt: skip
        self._conv_head, self._bn1 = nn.Conv2d(320, 1280, 1, bias=False), norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """The logits of 1,000 classes."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = functional.relu6(self._bn1(self._conv_head(x)))
        return self._fc(x.mean((2, 3)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--calibration", type=int, default=48)
    options = parser.parse_args()
    folder = Path(os.environ["MICROTUNE_DATA"])
    module = EfficientNetLite0().eval()
    weights = np.load(folder / "models/pypi_efficientnet_lite0/efficientnet_lite0_fp16.npz")
    state = {name: torch.from_numpy(weights[name].astype(np.float32)) for name in weights.files}
    left = module.load_state_dict(state, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in left.missing_keys)
    loaded = open_images(folder / "data/imagenet_sample1000.npz").load(
        "test", Preprocessing(SIDE, SIDE, 3, 0.875)
    )
    frames, labels = loaded.frames, loaded.labels
    pictures = (frames.astype(np.int16) + 128).astype(np.uint8)
    test = np.linspace(1, len(frames) - 1, options.images).astype(int) | 1
    train = np.linspace(0, len(frames) - 2, options.calibration).astype(int) & ~1
    start = time.process_time()
    model = mt.quantize(
        module, np.ascontiguousarray(pictures[train].transpose(0, 3, 1, 2)), mean=127 / 255,
        std=128 / 255, note=print,
    )  # fmt: skip
    print(f"{model}\n{time.process_time() - start:.0f} s of processor time")
    found = model.quantization
    assert found is not None
    real = (pictures[test].astype(np.float32) - 127) / np.float32(128)
    right = []
    for index, label in zip(range(len(test)), labels[test], strict=True):
        sample = real[index : index + 1].astype(np.float32)
        with torch.no_grad():
            theirs = module(torch.from_numpy(np.ascontiguousarray(sample.transpose(0, 3, 1, 2))))
        answers = theirs.numpy(), run_floats(found.folded, sample), run_int8(model.graph, sample)
        right.append([int(a.argmax()) == int(label) for a in answers])
        if (index + 1) % 20 == 0:
            print(index + 1, np.mean(right, axis=0), flush=True)
    floats, folded, int8 = (100 * float(v) for v in np.mean(right, axis=0))
    print(f"{len(test)} photos: PyTorch {floats:.1f}, float graph {folded:.1f}, int8 {int8:.1f}")


if __name__ == "__main__":
    main()
