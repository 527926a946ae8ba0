"""Random training graphs of few layers, of sizes at which kernels take other ways: blocks of 32
channels, eight patches or four, whole and partly trained weights, kernels up to 7x7.

`tests/training/graphs.py` grows small graphs of every topology; here the layers are demanding.
"""

from __future__ import annotations

import numpy as np

from microtune.codegen.scratch import scratch_rule
from microtune.ir.builder import Builder
from microtune.ir.execution import Execution
from microtune.ir.graph import Graph, Quant
from microtune.passes.early_updates import early_updates
from microtune.passes.in_place import in_place
from microtune.passes.stream import stream
from microtune.training.apply_scheme import can_split
from microtune.training.build import Formats, build_training_graph
from microtune.training.scheme import Scheme, backbone_layers, channel_count

WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 24, 31, 32, 33, 40, 48, 64, 65, 96)
KINDS = (
    "dense", "dense", "pointwise", "single", "grouped", "depthwise", "same", "same", "multiplier",
    "dilated",
)  # fmt: skip
MOST_WEIGHTS = 20_000
CLASSES = 3


def _layer(builder: Builder, rng: np.random.Generator, x: str, name: str) -> str:
    """A dense, pointwise, grouped, depthwise or dilated convolution of any geometry."""
    _, height, width, inputs = builder.graph.tensors[x].shape
    kind = str(rng.choice(KINDS))
    groups, outputs = 1, 1 if kind == "single" else int(rng.choice(WIDTHS))
    dilation = [int(v) for v in rng.integers(2, 4, 2)] if kind == "dilated" else [1, 1]
    if kind in ("depthwise", "same", "multiplier") or (kind == "dilated" and rng.integers(2)):
        groups, outputs = inputs, inputs * (2 if kind == "multiplier" else 1)
    elif kind == "grouped":
        groups = int(rng.choice([g for g in range(1, inputs + 1) if inputs % g == 0]))
        outputs = groups * int(rng.integers(1, 9))
    kh, kw = (1, 1) if kind == "pointwise" else (int(v) for v in rng.integers(1, 8, 2))
    if outputs * kh * kw * inputs // groups > MOST_WEIGHTS:
        kh = kw = 1
    stride = [int(v) for v in rng.integers(1, 4, 2)]
    top, left, bottom, right = (int(rng.integers(0, k)) for k in (kh, kw, kh, kw))
    if kind == "same" or (kind == "pointwise" and rng.integers(4)):
        stride, bottom, right = [1, 1], kh - 1 - top, kw - 1 - left
    bottom = max(bottom, (kh - 1) * dilation[0] + 1 - height - top)
    right = max(right, (kw - 1) * dilation[1] + 1 - width - left)
    weight = rng.integers(-127, 128, (outputs, kh, kw, inputs // groups)).astype(np.int8)
    return builder.conv2d(
        name, x, weight, rng.uniform(0.5, 1.5, outputs) * 0.01, np.zeros(outputs, np.int32),
        Quant(0.05, int(rng.integers(-128, 128))),
        stride=stride, padding=(top, left, bottom, right), groups=groups, dilation=dilation,
    )  # fmt: skip


def _fully_connected(builder: Builder, rng: np.random.Generator, x: str, name: str, n: int) -> str:
    inputs = builder.graph.tensors[x].shape[1]
    weight = rng.integers(-127, 128, (n, inputs)).astype(np.int8)
    scales, bias = np.full(n, 0.01), np.zeros(n, np.int32)
    return builder.fully_connected(name, x, weight, scales, bias, Quant(0.05, 0))


def random_layers(rng: np.random.Generator) -> Graph:
    """Two to four convolutions, perhaps a hidden layer, and a classifier."""
    builder = Builder("layers")
    size = [int(v) for v in rng.integers(1, 25, 2)]
    x = builder.input((1, *size, int(rng.choice(WIDTHS))), 0.02, int(rng.integers(-128, 128)))
    for i in range(int(rng.integers(2, 5))):
        x = _layer(builder, rng, x, f"layer{i}")
    x = builder.average_pool("pool", x)
    x = builder.reshape("flat", x, (1, builder.graph.tensors[x].shape[3]))
    if rng.integers(2):
        x = _fully_connected(builder, rng, x, "hidden", int(rng.choice(WIDTHS)))
    return builder.finish(_fully_connected(builder, rng, x, "classifier", CLASSES))


def random_scheme(rng: np.random.Generator, graph: Graph) -> Scheme:
    """Of a random suffix of the layers whole weights, ratios of them, or nothing."""
    layers = backbone_layers(graph)
    chosen = layers[int(rng.integers(0, len(layers) + 1)) :]
    weights: dict[str, int] = {}
    for layer in chosen:
        count = channel_count(graph, layer)
        if can_split(graph, layer) and rng.integers(3):
            weights[layer] = int(rng.integers(1, count + 1))
        elif rng.integers(3):
            weights[layer] = count
    return Scheme("random", tuple(chosen), weights, True)


def random_training_graph(seed: int) -> Graph:
    """Lowered and scheduled in one of the three ways; its offsets are not calibrated."""
    rng = np.random.default_rng(seed)
    graph = random_layers(rng)
    scheme = random_scheme(rng, graph)
    training = build_training_graph(graph, CLASSES, scheme, Formats(), calibrate=False)
    training.execution = Execution("rows" if rng.integers(2) else "resident")
    level = int(rng.choice([0, 1, 2, 2]))
    if level:
        training = in_place(early_updates(training))
    return stream(training, scratch_rule) if level == 2 else training
