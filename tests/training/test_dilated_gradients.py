"""Gradients through dilated convolutions equal PyTorch's autograd on its own dilated ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from microtune.ir.builder import Builder
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph, Quant
from microtune.training.autodiff import differentiate
from tests.training.graphs import train_everything

pytestmark = pytest.mark.oracle
LENGTH, CHANNELS, CLASSES = 37, 4, 3
LAYERS = [(1, 1), (2, 1), (4, CHANNELS), (8, 1)]  # (dilation, groups)


def stack() -> Graph:
    """Causal one-dimensional convolutions of growing dilation, one of them depthwise."""
    rng, builder = np.random.default_rng(5), Builder("stack", "mcunet")
    x = builder.input((1, 1, LENGTH, CHANNELS), 0.02, -3)
    for number, (dilation, groups) in enumerate(LAYERS):
        weight = rng.integers(-127, 128, (CHANNELS, 1, 3, CHANNELS // groups)).astype(np.int8)
        x = builder.conv2d(
            f"conv{number}", x, weight, rng.uniform(0.004, 0.02, CHANNELS).astype(np.float32),
            rng.integers(-400, 400, CHANNELS).astype(np.int32),
            Quant(0.02 if number == 0 else 0.04 * 1.7**number, 4 - number), groups=groups,
            padding=(0, 2 * dilation, 0, 0), dilation=(1, dilation), clamp=(-60, 127),
        )  # fmt: skip
    x = builder.average_pool("pool", x)
    weight = rng.integers(-127, 128, (CLASSES, 1, 1, CHANNELS)).astype(np.int8)
    bias = np.zeros(CLASSES, np.int32)
    logits = builder.conv2d("logits", x, weight, np.full(CLASSES, 0.01), bias, Quant(0.5, 0))
    return builder.finish(logits)


def torch_loss(graph: Graph, oracle: Any, frame: Any, label: int) -> Any:
    """The same stack by `conv1d(dilation=…)`; requantisation is that of the oracle."""
    import torch
    from torch.nn import functional

    x, codes = torch.tensor(frame.astype(np.float64)).reshape(LENGTH, CHANNELS).T[None], {}
    names = [f"conv{number}" for number in range(len(LAYERS))] + ["logits"]
    for number, name in enumerate(names):
        node = next(n for n in graph.nodes if n.outputs[0] == name)
        dilation, groups = LAYERS[number] if name != "logits" else (1, 1)
        if name == "logits":
            x = oracle.node(next(n for n in graph.nodes if n.op == "average_pool"), {
                node_input: x.permute(0, 2, 1)[:, None]
                for node_input in next(n for n in graph.nodes if n.op == "average_pool").inputs
            }).reshape(1, 1, CHANNELS).permute(0, 2, 1)  # fmt: skip
        w, b = (oracle.leaves[operand] for operand in node.inputs[1:3])
        taps = w.reshape(w.shape[0], -1, w.shape[3]).permute(0, 2, 1)
        around = (2 * dilation, 0) if name != "logits" else (0, 0)
        image = functional.pad(x - graph.quant(node.inputs[0]).zero_point, around)
        acc = functional.conv1d(image, taps, b, dilation=dilation, groups=groups)
        sx, sy = np.float32(graph.scale(node.inputs[0])), np.float32(graph.scale(name))
        sw = graph.data[graph.quant(node.inputs[1]).scales or ""]
        unit = torch.tensor(sx * sw / sy)[:, None]
        rounded = torch.round(acc.detach().to(torch.float32) * unit).to(torch.float64)
        real = graph.scale(node.inputs[0]) * sw.astype(np.float64) / graph.scale(name)
        value = rounded + graph.quant(name).zero_point
        x = oracle.clamped(node, acc * torch.tensor(real)[:, None], value)
        codes[name] = x.detach().numpy()
    quant = graph.quant("logits")
    logits = (x.reshape(1, CLASSES) - quant.zero_point) * graph.scale("logits")
    return functional.cross_entropy(logits, torch.tensor([label])), codes


def test_a_stack_of_dilated_convolutions_equals_autograd() -> None:
    from tests.training.torch_oracle import TorchGraph

    graph = train_everything(stack())
    training, gradients = differentiate(graph)
    assert len(gradients) == 2 * (len(LAYERS) + 1)
    rng = np.random.default_rng(1)
    for label in range(CLASSES):
        frame = rng.integers(-128, 128, (1, 1, LENGTH, CHANNELS)).astype(np.int8)
        oracle = TorchGraph(graph, set(gradients))
        loss, codes = torch_loss(graph, oracle, frame, label)
        loss.backward()
        feed = {"input": frame, "label": np.array([label])}
        values = evaluate(training, feed, real=np.float64, keep={"logits"})
        assert (values["logits"].reshape(-1) == codes["logits"].reshape(-1)).all()
        assert min(len(np.unique(codes[name])) for name in codes if name != "logits") > 15
        for name, gradient in gradients.items():
            reference = oracle.leaves[name].grad.numpy()
            error = np.linalg.norm(values[gradient].reshape(reference.shape) - reference)
            assert error / np.linalg.norm(reference) < 1e-4, name
