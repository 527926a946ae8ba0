"""A network of four layers and images of three classes: a whole search takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microtune.ir.builder import Builder
from microtune.ir.graph import Quant
from microtune.ir.modelfile import ModelFile

CLASSES, SIZE = 3, 8


def tiny_model() -> ModelFile:
    """Dense, depthwise, dense and pointwise, then pooled; 8x8x3."""
    rng, builder = np.random.default_rng(3), Builder("tiny", "mcunet")
    x = builder.input((1, SIZE, SIZE, 3), 1 / 64, 0)
    for name, outputs, inputs, kernel, groups in (
        ("first", 8, 3, 3, 1), ("depthwise", 8, 1, 3, 8), ("dense", 8, 8, 3, 1),
        ("pointwise", 16, 8, 1, 1),
    ):  # fmt: skip
        weight = rng.integers(-100, 101, (outputs, kernel, kernel, inputs)).astype(np.int8)
        fan_in = kernel * kernel * inputs
        scales = [0.02 / np.sqrt(fan_in)] * outputs
        edge = (kernel // 2,) * 4
        x = builder.conv2d(
            name, x, weight, scales, np.zeros(outputs, np.int32), Quant(1 / 64, -128),
            padding=edge, groups=groups,
        )  # fmt: skip
    x = builder.average_pool("pool", x)
    weight = np.ones((5, 1, 1, 16), np.int8)
    y = builder.conv2d("classifier", x, weight, [0.01] * 5, np.zeros(5, np.int32), Quant(0.1, 0))
    preprocessing = {"height": SIZE, "width": SIZE, "channels": 3, "resize_ratio": 1.0}
    return ModelFile(builder.finish(y), preprocessing, "", "a test")


def write_images(path: Path, count: int = 240) -> Path:
    """An npz: noise about a pattern for each class; every third image is for the test."""
    rng = np.random.default_rng(4)
    patterns = rng.integers(60, 196, (CLASSES, SIZE, SIZE, 3))
    labels = np.arange(count) % CLASSES
    noise = rng.normal(0, 60, (count, SIZE, SIZE, 3))
    images = np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8)
    test = rng.permutation(np.arange(count) % 3 == 0)
    np.savez(path, images=images, label=labels, test=test, classes=np.array(["a", "b", "c"]))
    return path
