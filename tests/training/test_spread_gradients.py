"""Gradients through dilated and transposed convolutions equal autograd's on PyTorch's own ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microtune.ir.builder import Builder
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph, Quant
from microtune.training.autodiff import differentiate
from tests.training.graphs import train_everything

if TYPE_CHECKING:
    from tests.training.torch_oracle import TorchGraph

pytestmark = pytest.mark.oracle
LENGTH, CHANNELS, CLASSES = 37, 4, 3
LAYERS = [(1, 1), (2, 1), (4, CHANNELS), (8, 1)]  # (dilation, groups)
Codes = dict[str, Any]  # of the layers, tensors (1, C, H, W)
Quants = dict[str, Quant]


class Net:
    """A graph of layers with random weights, and what PyTorch needs to make the same."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(5)
        self.builder = Builder("net", "mcunet")
        self.builder.input(shape, 0.02, -3)

    def parameters(
        self, outputs: int, kernel: tuple[int, int], inputs: int
    ) -> tuple[Any, Any, Any]:
        rng = self.rng
        weight = rng.integers(-127, 128, (outputs, *kernel, inputs)).astype(np.int8)
        scales = rng.uniform(0.004, 0.02, outputs).astype(np.float32)
        return weight, scales, rng.integers(-400, 400, outputs).astype(np.int32)

    def finish(self, x: str) -> Graph:
        x = self.builder.average_pool("pool", x)
        parameters = self.parameters(CLASSES, (1, 1), self.builder.graph.tensors[x].shape[3])
        return self.builder.finish(self.builder.conv2d("logits", x, *parameters, Quant(0.5, 0)))


def stack() -> Graph:
    """Causal one-dimensional convolutions of growing dilation, one of them depthwise."""
    net, x = Net((1, 1, LENGTH, CHANNELS)), "input"
    for number, (dilation, groups) in enumerate(LAYERS):
        quant = Quant(0.02 if number == 0 else 0.04 * 1.7**number, 4 - number)
        x = net.builder.conv2d(
            f"conv{number}", x, *net.parameters(CHANNELS, (1, 3), CHANNELS // groups), quant,
            groups=groups, padding=(0, 2 * dilation, 0, 0), dilation=(1, dilation),
            clamp=(-60, 127),
        )  # fmt: skip
    return net.finish(x)


def unet(kernel: int) -> Graph:
    """Down by a stride, through a dilated convolution, up again, beside a skip."""
    net, same = Net((1, 9, 7, 2)), (1, 1, 1, 1)
    b, quant = net.builder, Quant(0.05, 4)
    skip = b.conv2d("down0", "input", *net.parameters(4, (3, 3), 2), quant, padding=same)
    low = b.conv2d(
        "down1", skip, *net.parameters(6, (3, 3), 4), Quant(0.1, -5), padding=same, stride=(2, 2)
    )
    low = b.conv2d(
        "wide", low, *net.parameters(6, (3, 3), 6), Quant(0.2, 9), padding=(2,) * 4, dilation=(2, 2)
    )
    up = b.transposed_conv2d(
        "up",
        low,
        *net.parameters(4, (kernel, kernel), 6),
        quant,
        (9, 7),
        stride=(2, 2),
        cut=(kernel // 3, kernel // 3),
    )
    both = b.apply("concat", "both", (skip, up), quant, {"axis": 3})
    return net.finish(b.conv2d("end", both, *net.parameters(4, (3, 3), 8), Quant(0.2, 0)))


class Torch:
    """Layers in PyTorch, with its own dilated and transposed convolutions; requantisation is that
    of the oracle."""

    def __init__(self, graph: Graph, oracle: TorchGraph) -> None:
        self.graph, self.oracle, self.codes = graph, oracle, Codes()

    def operands(self, name: str) -> tuple[Any, Any, Any]:
        """(its node, its weight (O, I, KH, KW), its bias)"""
        node = next(n for n in self.graph.nodes if n.outputs[0] == name)
        w, b = (self.oracle.leaves[operand] for operand in node.inputs[1:3])
        return node, w.permute(0, 3, 1, 2), b

    def requantised(self, name: str, acc: Any) -> Any:
        """Accumulators (1, O, H, W) as codes."""
        import torch

        graph, (node, _, _) = self.graph, self.operands(name)
        sx, sy = np.float32(graph.scale(node.inputs[0])), np.float32(graph.scale(name))
        sw = graph.data[graph.quant(node.inputs[1]).scales or ""][: acc.shape[1]]
        unit = torch.tensor(sx * sw / sy)[:, None, None]
        rounded = torch.round(acc.detach().to(torch.float32) * unit).to(torch.float64)
        real = graph.scale(node.inputs[0]) * sw.astype(np.float64) / graph.scale(name)
        value = rounded + graph.quant(name).zero_point
        made = self.oracle.clamped(node, acc * torch.tensor(real)[:, None, None], value)
        self.codes[name] = made.detach().numpy()
        return made

    def conv(self, name: str, x: Any, zero: int, pads: tuple[int, ...], **options: Any) -> Any:
        from torch.nn import functional

        _, w, b = self.operands(name)
        acc = functional.conv2d(functional.pad(x - zero, pads), w, b, **options)
        return self.requantised(name, acc)

    def pooled_loss(self, x: Any, zero: int, label: int) -> Any:
        """The mean as mode mcunet rounds it, logits and their cross-entropy."""
        import torch
        from torch.nn import functional

        node = next(n for n in self.graph.nodes if n.op == "average_pool")
        image = x.permute(0, 2, 3, 1)
        mean = self.oracle.node(node, {node.inputs[0]: image}).permute(0, 3, 1, 2)
        logits = self.conv("logits", mean, zero, (0, 0)).reshape(1, -1)
        quant = self.graph.quant("logits")
        logits = (logits - quant.zero_point) * self.graph.scale("logits")
        return functional.cross_entropy(logits, torch.tensor([label]))


def stack_loss(t: Torch, frame: Any, label: int) -> Any:
    from torch.nn import functional

    x, zero = frame, -3
    for number, (dilation, groups) in enumerate(LAYERS):
        _, w, b = t.operands(f"conv{number}")
        row = w.reshape(*w.shape[:2], 1, 3)  # the graph has it as a column where it is dilated
        image = functional.pad(x - zero, (2 * dilation, 0))
        acc = functional.conv2d(image, row, b, dilation=(1, dilation), groups=groups)
        x, zero = t.requantised(f"conv{number}", acc), 4 - number
    return t.pooled_loss(x, zero, label)


def unet_loss(t: Torch, frame: Any, label: int) -> Any:
    import torch
    from torch.nn import functional

    skip = t.conv("down0", frame, -3, (1, 1, 1, 1))
    low = t.conv("down1", skip, 4, (1, 1, 1, 1), stride=2)
    low = t.conv("wide", low, -5, (2, 2, 2, 2), dilation=2)
    node, w, b = t.operands("up")
    if "tied" in node.attrs:  # its taps are (PH, PW, O, I): all phases of a kernel of 2 x 2
        weight = w.reshape(2, 2, 4, 6).permute(3, 2, 0, 1)
        parts = b.reshape(4, 4)
        b = parts[0].detach() + (parts - parts.detach()).sum(dim=0)
        up = functional.conv_transpose2d(low - 9, weight, b, stride=2)[:, :, :9, :7]
    else:
        weight = w.flip(2, 3).transpose(0, 1)  # (I, O, KH, KW), and not turned round
        up = functional.conv_transpose2d(low - 9, weight, b, stride=2, padding=1)
    both = torch.cat([skip, t.requantised("up", up)], dim=1)
    return t.pooled_loss(t.conv("end", both, 4, (0, 0)), 0, label)


@pytest.mark.parametrize(
    "build, loss",
    [(stack, stack_loss), (partial(unet, 3), unet_loss), (partial(unet, 2), unet_loss)],
    ids=["dilated stack", "u-net by 3", "u-net by 2"],
)
def test_codes_and_gradients_equal_autograd(
    build: Callable[[], Graph], loss: Callable[[Torch, Any, int], Any]
) -> None:
    import torch

    from tests.training.torch_oracle import TorchGraph

    graph = train_everything(build())
    training, gradients = differentiate(graph)
    assert len(gradients) == 2 * sum(node.op == "conv2d" for node in graph.nodes)
    rng = np.random.default_rng(1)
    for label in range(CLASSES):
        shape = graph.tensors["input"].shape
        frame = rng.integers(-128, 128, shape).astype(np.int8)
        t = Torch(graph, TorchGraph(graph, set(gradients)))
        image = torch.tensor(frame.astype(np.float64)).permute(0, 3, 1, 2)
        loss(t, image, label).backward()
        assert min(len(np.unique(t.codes[name])) for name in t.codes if name != "logits") > 15
        feed = {"input": frame, "label": np.array([label])}
        values = evaluate(training, feed, real=np.float64, keep={"logits"})
        assert (values["logits"].reshape(-1) == t.codes["logits"].reshape(-1)).all()
        for name, gradient in gradients.items():
            reference = t.oracle.leaves[name].grad.numpy()
            error = np.linalg.norm(values[gradient].reshape(reference.shape) - reference)
            assert error / np.linalg.norm(reference) < 1e-4, name
