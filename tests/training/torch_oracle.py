"""An independent PyTorch reading of a graph in mode mcunet; autograd does the whole backward pass.

Integer convolutions run in float64, the float32 rule of the requantisation is applied to the values
and the straight-through estimator to the gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from microtune.ir.graph import Graph, Node
from tests.cases import CASES

F64 = torch.float64


class Replace(torch.autograd.Function):
    """Forward: the quantised value. Backward: the gradient of the smooth one, where unclamped."""

    @staticmethod
    def forward(ctx: Any, smooth: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> Any:
        ctx.save_for_backward(mask)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        (mask,) = ctx.saved_tensors
        return gradient * mask, None, None


class TorchGraph:
    """Evaluates a forward graph; `leaves` are the trained tensors as float64 leaves."""

    def __init__(self, graph: Graph, trained: set[str]) -> None:
        self.graph = graph
        self.leaves = {
            name: torch.tensor(graph.data[name].astype(np.float64), requires_grad=True)
            for name in trained
        }
        self.codes: dict[str, np.ndarray[Any, Any]] = {}

    def value(self, values: dict[str, torch.Tensor], name: str) -> torch.Tensor:
        if name in values:
            return values[name]
        if name in self.leaves:
            return self.leaves[name]
        return torch.tensor(self.graph.data[name].astype(np.float64))

    def loss(self, frame: np.ndarray[Any, Any], label: int) -> torch.Tensor:
        """Cross-entropy on dequantised logits."""
        values = {"input": torch.tensor(frame.astype(np.float64))}
        for node in self.graph.nodes:
            values[node.outputs[0]] = self.node(node, values)
            self.codes[node.outputs[0]] = values[node.outputs[0]].detach().numpy()
        logits = values[self.graph.outputs[0]].reshape(1, -1)
        quant = self.graph.tensors[self.graph.outputs[0]].quant
        if quant is not None and quant.scale is not None:
            logits = (logits - quant.zero_point) * quant.scale
        return functional.cross_entropy(logits, torch.tensor([label]))

    def clamped(self, node: Node, smooth: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        lo, hi = node.ints("clamp") if "clamp" in node.attrs else (-128, 127)
        mask = ((value >= lo) & (value <= hi)).to(F64)
        result: torch.Tensor = Replace.apply(smooth, value.clamp(lo, hi), mask)
        return result

    def node(self, node: Node, values: dict[str, torch.Tensor]) -> torch.Tensor:
        inputs = [self.value(values, name) for name in node.inputs]
        for case in CASES:
            if node.op in case.torch:
                made: torch.Tensor = case.torch[node.op](self, node, *inputs)
                return made
        result: torch.Tensor = getattr(self, f"_{node.op}")(node, *inputs)
        return result

    def _weight(self, node: Node, w: torch.Tensor, rest: tuple[torch.Tensor, ...]) -> torch.Tensor:
        if not rest:
            return w if w.ndim == 4 else w[:, None, None, :]
        trained, order = rest
        axis = 0 if node.int("groups") > 1 else 3
        inverse = torch.argsort(order.to(torch.int64))
        return torch.cat([trained, w], dim=axis).index_select(axis, inverse)

    def _conv2d(self, node: Node, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor,
                *rest: torch.Tensor) -> torch.Tensor:  # fmt: skip
        graph, y = self.graph, node.outputs[0]
        quant, full = graph.quant(node.inputs[0]), self._weight(node, w, rest)
        flat = x.ndim == 2
        image = (x[:, None, None, :] if flat else x).permute(0, 3, 1, 2) - quant.zero_point
        top, left, bottom, right = node.ints("padding") if not flat else (0, 0, 0, 0)
        image = functional.pad(image, (left, right, top, bottom))
        stride = node.ints("stride") if not flat else [1, 1]
        groups = node.int("groups") if not flat else 1
        if "tied" in node.attrs:  # each part has the gradient of all of them
            parts = b.reshape(node.int("tied"), -1)
            one = parts[0].detach() + (parts - parts.detach()).sum(dim=0)
            b = one.repeat(len(parts))
        acc = functional.conv2d(image, full.permute(0, 3, 1, 2), b, stride, groups=groups)
        acc = acc.permute(0, 2, 3, 1)
        sx, sy = np.float32(graph.scale(node.inputs[0])), np.float32(graph.scale(y))
        sw = graph.data[graph.quant(node.inputs[1]).scales or ""]
        scale32 = torch.tensor(sx * sw / sy)
        rounded = torch.round(acc.detach().to(torch.float32) * scale32).to(F64)
        real = torch.tensor(graph.scale(node.inputs[0]) * sw.astype(np.float64) / graph.scale(y))
        zero = graph.quant(y).zero_point
        live = (full.detach().reshape(full.shape[0], -1) != 0).any(dim=1).to(F64)
        result = self.clamped(node, acc * (real * live), rounded + zero)
        return result.reshape(graph.tensors[y].shape)

    _fully_connected = _conv2d

    def _add(self, node: Node, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        graph, (one, two), y = self.graph, node.inputs, node.outputs[0]
        s1, s2, sy = graph.scale(one), graph.scale(two), graph.scale(y)
        d1, d2 = a - graph.quant(one).zero_point, b - graph.quant(two).zero_point
        f = torch.float32
        total = d1.detach().to(f) * np.float32(s1) + d2.detach().to(f) * np.float32(s2)
        value = torch.round(total / np.float32(sy)).to(F64) + graph.quant(y).zero_point
        return self.clamped(node, d1 * (s1 / sy) + d2 * (s2 / sy), value)

    def _average_pool(self, node: Node, x: torch.Tensor) -> torch.Tensor:
        smooth = functional.avg_pool2d(
            x.permute(0, 3, 1, 2), node.ints("kernel"), node.ints("stride")
        ).permute(0, 2, 3, 1)
        kernel = node.ints("kernel")
        total = torch.round(smooth.detach() * (kernel[0] * kernel[1])).to(torch.float32)
        value = torch.round(total / np.float32(kernel[0] * kernel[1])).to(F64)
        result: torch.Tensor = Replace.apply(smooth, value, torch.ones_like(smooth))
        return result

    def _clamp(self, node: Node, x: torch.Tensor) -> torch.Tensor:
        return self.clamped(node, x, x.detach())

    def _reshape(self, node: Node, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(node.ints("shape"))

    def _head(self, node: Node, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        quant = self.graph.quant(node.inputs[0])
        return ((x.reshape(1, -1) - quant.zero_point) * (quant.scale or 0.0)) @ w.T + b
