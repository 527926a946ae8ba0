"""Float against int8 top-1 of networks that are trained here in PyTorch and then quantised.

    MICROTUNE_DATA=... python benchmarks/quantize_accuracy.py [--epochs N] [--networks mobilenet …]

Data: clothing10 at 48 x 48 pixels. Of each network the float top-1 on the test split, that of the
exact int8 graph, and that of int8 without what `mt.quantize` does beyond min-max ranges. "scaled"
is the same MobileNetV2 whose depthwise channels were scaled by up to 30 in both directions, which
changes no float result.
"""

from __future__ import annotations

import argparse
import copy
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import microtune as mt
from microtune.data import Preprocessing, open_dataset
from microtune.floats import Floats, run_floats
from microtune.importers.pytorch import export_module, lower_program
from microtune.quantization.emit import emit
from microtune.quantization.folding import fold
from microtune.quantization.network import run_int8
from microtune.quantization.ranges import Observed
from microtune.quantization.scales import owners

SIDE = 48
SCALED = 30.0


def conv(i: int, o: int, k: int = 3, s: int = 1, g: int = 1, act: bool = True) -> list[nn.Module]:
    layers: list[nn.Module] = [
        nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(o)
    ]  # fmt: skip
    return [*layers, nn.ReLU6()] if act else layers


class Inverted(nn.Module):
    """MobileNetV2's block."""

    def __init__(self, i: int, o: int, s: int, t: int) -> None:
        super().__init__()
        h = i * t
        self.added = s == 1 and i == o
        self.body = nn.Sequential(*conv(i, h, 1), *conv(h, h, 3, s, h), *conv(h, o, 1, act=False))

    def forward(self, x: Tensor) -> Tensor:
        """The block's result."""
        return x + self.body(x) if self.added else self.body(x)


class Excited(nn.Module):
    """MobileNetV3's block, with squeeze and excitation."""

    def __init__(self, i: int, h: int, o: int, s: int) -> None:
        super().__init__()
        self.added = s == 1 and i == o
        self.body = nn.Sequential(
            nn.Conv2d(i, h, 1, bias=False), nn.BatchNorm2d(h), nn.Hardswish(),
            nn.Conv2d(h, h, 3, s, 1, groups=h, bias=False), nn.BatchNorm2d(h), nn.Hardswish(),
        )  # fmt: skip
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(h, h // 4, 1), nn.ReLU(), nn.Conv2d(h // 4, h, 1),
            nn.Hardsigmoid(),
        )  # fmt: skip
        self.project = nn.Sequential(nn.Conv2d(h, o, 1, bias=False), nn.BatchNorm2d(o))

    def forward(self, x: Tensor) -> Tensor:
        """The block's result."""
        y = self.body(x)
        y = self.project(y * self.gate(y))
        return x + y if self.added else y


def norm_last(classes: int) -> nn.Module:
    """Batch norm after ReLU."""
    layers: list[nn.Module] = []
    for i, o in ((3, 16), (16, 32), (32, 48), (48, 64)):
        layers += [nn.Conv2d(i, o, 3, 2, 1), nn.ReLU(), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def mobilenet_v2(classes: int) -> nn.Module:
    return nn.Sequential(
        *conv(3, 16, 3, 2), Inverted(16, 16, 1, 2), Inverted(16, 24, 2, 4), Inverted(24, 24, 1, 4),
        Inverted(24, 40, 2, 4), Inverted(40, 40, 1, 4), *conv(40, 128, 1), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Dropout(0.1), nn.Linear(128, classes),
    )  # fmt: skip


def mobilenet_v3(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish(),
        Excited(16, 48, 24, 2), Excited(24, 72, 24, 1), Excited(24, 96, 40, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, classes),
    )  # fmt: skip


NETWORKS = {"mobilenet_v2": mobilenet_v2, "mobilenet_v3": mobilenet_v3, "norm_last": norm_last}


def train(module: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), 3e-3, weight_decay=0.02)
    steps = epochs * (len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, steps)
    module.train()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for batch in order[: len(x) // 64 * 64].split(64):
            images = x[batch]
            if torch.rand(()) < 0.5:
                images = images.flip(3)
            optimizer.zero_grad()
            functional.cross_entropy(module(images), y[batch]).backward()
            optimizer.step()
            schedule.step()
    module.eval()


def badly_scaled(module: nn.Module) -> nn.Module:
    """The same function: channels before each depthwise layer scaled by up to SCALED.

    ReLU6 becomes ReLU, so the weights are those of a network without a bound.
    """
    made = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(0)
    for block in made.modules():
        if not isinstance(block, Inverted):
            continue
        first, second = block.body[1], block.body[3]
        assert isinstance(first, nn.BatchNorm2d) and isinstance(second, nn.Conv2d)
        exponent = torch.rand(len(first.weight), generator=generator) * 2 - 1
        factor = SCALED**exponent
        first.weight.data *= factor
        first.bias.data *= factor
        second.weight.data /= factor.view(-1, 1, 1, 1)
    return made


def with_relu(module: nn.Module) -> nn.Module:
    """ReLU6 replaced by ReLU, everywhere."""
    made = copy.deepcopy(module)
    for parent in made.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(parent, name, nn.ReLU())
    return made


def min_max(module: nn.Module, x: Floats) -> mt.Model:
    """The plain way: fold, min-max ranges, round."""
    graph, _ = lower_program(export_module(module, x[:1]), "plain")
    folded = fold(graph)
    owner = owners(folded)
    seen = {name: Observed() for name in set(owner.values())}
    samples = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    seen[folded.input].see(samples)
    run_floats(folded, samples, lambda node, v: seen[owner[node.name]].see(v))
    quants = {name: one.candidates()["min-max"] for name, one in seen.items()}
    return mt.Model(emit(folded, quants, owner), {"kind": "array"}, "")


def right(outputs: Floats, labels: np.ndarray) -> float:
    return float((outputs.argmax(axis=1) == labels).mean())


def measure(name: str, module: nn.Module, x: Tensor, test: Floats, labels: np.ndarray) -> str:
    """A line of the table."""
    generator = np.random.default_rng(0)
    calibration = x[torch.from_numpy(generator.permutation(len(x))[:256])]
    with torch.no_grad():
        floats = module(torch.from_numpy(test)).numpy()
    made = mt.quantize(module, calibration, values="0-1", note=lambda line: None)
    ours = np.ascontiguousarray(test.transpose(0, 2, 3, 1))
    int8 = run_int8(made.graph, ours)
    plain = run_int8(min_max(module, calibration.numpy()).graph, ours)
    found = made.quantization
    assert found is not None
    return (
        f"{name:24} {right(floats, labels):.4f} {right(int8, labels):.4f} "
        f"{right(plain, labels):.4f}  {found.sqnr:5.1f} dB  {found.methods()} "
        f"equalised {found.equalised}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--keep", type=Path, help="keep trained weights in this folder")
    options = parser.parse_args()
    data = open_dataset(Path(os.environ["MICROTUNE_DATA"]) / "data/clothing10.tar")
    wanted = Preprocessing(SIDE, SIDE, 3, 1.0)
    x: list[Floats] = []
    y = []
    for split in ("train", "test"):
        loaded = data.load(split, wanted)
        pictures = (loaded.frames.astype(np.float32) + 128) / np.float32(255)
        x.append(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32))
        y.append(loaded.labels)
    images, labels = torch.from_numpy(x[0]), torch.from_numpy(y[0].astype(np.int64))
    print(f"{len(images)} training, {len(x[1])} test images; network, float, int8, int8 min-max")
    for name in options.networks:
        torch.manual_seed(0)
        module = NETWORKS[name](len(data.classes))
        place = options.keep / f"{name}.pt" if options.keep else None
        if place is not None and place.exists():
            module.load_state_dict(torch.load(place, weights_only=True))
            module.eval()
        else:
            train(module, images, labels, options.epochs)
            if place is not None:
                place.parent.mkdir(parents=True, exist_ok=True)
                torch.save(module.state_dict(), place)
        print(measure(name, module, images, x[1], y[1]), flush=True)
        if name == "mobilenet_v2":
            relu = with_relu(module)
            print(measure(f"{name}, ReLU", relu, images, x[1], y[1]), flush=True)
            print(measure(f"{name}, ReLU, scaled", badly_scaled(relu), images, x[1], y[1]),
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
