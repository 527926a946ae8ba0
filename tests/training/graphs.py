"""Random small int8 graphs: residuals of every kind, odd sizes, extreme zero points.

Everything comes from one random generator: strategies of many small numbers would spend most
examples near the smallest shapes. `GraphCase.tags` names what occurs in a graph, so that a test can
assert that its examples were not all easy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from microtune.ir.builder import Builder
from microtune.ir.graph import Graph, Quant
from microtune.training.head import replace_head
from tests.cases.case import OpCase

Array = npt.NDArray[Any]

WIDTHS = (1, 2, 3, 4, 6, 8)
TAGS = frozenset(
    {
        "chained residuals", "nested residuals", "three consumers", "zero point",
        "stride 2 on odd size", "asymmetric padding", "dense", "grouped", "depthwise",
        "depth multiplier", "even kernel", "rectangular kernel", "clamp op", "clamp attribute",
        "clamp after clamp", "average pool", "overlapping pool", "reshape", "fully connected",
        "dead channel", "add of itself", "single channel", "odd size",
    }
)  # fmt: skip


@dataclass
class GraphCase:
    """A forward graph ending in an int8 classifier of `classes` outputs, and one sample."""

    graph: Graph
    frame: Array
    label: int
    classes: int
    tags: set[str] = field(default_factory=set)

    def with_head(self, head_format: str = "float32") -> Graph:
        """The graph with a head of random weights in the classifier's place."""
        graph = replace_head(
            self.graph, self.classes, "int16" if head_format == "int16" else "float32"
        )
        rng = np.random.default_rng(self.label + 17)
        weight = graph.data["head.weight"]
        channels = weight.shape[1]
        real = rng.normal(0, 1 / np.sqrt(channels), weight.shape)
        if head_format == "int16":
            graph.data["head.weight"] = np.clip(real * 8192, -32767, 32767).astype(np.int16)
            graph.data["head.bias"] = rng.integers(-5000, 5000, self.classes).astype(np.int32)
            return graph
        x = next(n for n in graph.nodes if n.op == "head").inputs[0]
        graph.data["head.weight"] = (real / (50 * graph.scale(x))).astype(np.float32)
        graph.data["head.bias"] = rng.normal(0, 0.1, self.classes).astype(np.float32)
        return graph


class RandomGraph:
    """Grows a graph step by step; `x` is always the name of the latest int8 tensor."""

    def __init__(self, seed: int, mode: str = "mcunet", widths: Sequence[int] = WIDTHS) -> None:
        self.widths = list(widths)
        self.rng = np.random.default_rng(seed)
        self.builder = Builder(f"random{seed}", mode)
        self.tags: set[str] = set()
        self.count = 0
        height, width, channels = (int(v) for v in self.rng.integers((3, 3, 1), (10, 10, 7)))
        self.frame = self.rng.integers(-128, 128, (1, height, width, channels)).astype(np.int8)
        scale = float(2.0 ** self.rng.uniform(-8, -4))
        self.x = self.builder.input(self.frame.shape, scale, self._zero())

    def _chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def _name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def _zero(self) -> int:
        z = int(
            self.rng.choice(
                [0, -128, 127, int(self.rng.integers(-40, 41))], p=[0.1, 0.3, 0.05, 0.55]
            )
        )
        if z:
            self.tags.add("zero point")
        return z

    def shape(self, x: str) -> tuple[int, ...]:
        return self.builder.graph.tensors[x].shape

    def _parameters(
        self, x: str, shape: Sequence[int], spread: float
    ) -> tuple[Array, Array, Array, Quant]:
        """Weights, scales, biases and a result scale that fills the codes, not only the ends."""
        rng, outputs = self.rng, shape[0]
        weight = rng.integers(-127, 128, tuple(shape)).astype(np.int8)
        scales = (2.0 ** rng.uniform(-9, -9 + spread, outputs)).astype(np.float32)
        accumulator = 60.0 * 73.0 * np.sqrt(np.prod(shape[1:]))
        bias = rng.normal(0, accumulator / 2, outputs).astype(np.int32)
        if outputs > 2 and self._chance(0.15):
            weight[int(rng.integers(outputs))] = 0
            self.tags.add("dead channel")
        unit = self.builder.graph.scale(x) * float(np.median(scales))
        scale = float(np.float32(unit * accumulator / rng.uniform(25, 90)))
        return weight, scales, bias, Quant(scale, self._zero())

    def conv(self, x: str, channels: int, *, keep_size: bool = False) -> str:
        """A convolution of any kind; with keep_size the result has the size of x."""
        rng = self.rng
        _, height, width, inputs = self.shape(x)
        kind = rng.choice(["dense", "dense", "grouped", "depthwise"])
        groups = 1
        if kind == "depthwise" and inputs > 1 and (channels % inputs == 0 or not keep_size):
            multiplier = channels // inputs if keep_size else int(rng.choice([1, 1, 2]))
            groups, channels = inputs, inputs * multiplier
            self.tags.add("depth multiplier" if multiplier > 1 else "depthwise")
        elif kind == "grouped":
            divisors = [g for g in range(2, inputs) if inputs % g == 0 and channels % g == 0]
            groups = int(rng.choice(divisors)) if divisors else 1
        if 1 < groups < inputs:
            self.tags.add("grouped")
        if groups == 1:
            self.tags.add("single channel" if inputs == channels == 1 else "dense")
        if height % 2 and width % 2 and height > 1:
            self.tags.add("odd size")
        kernel, stride, padding = self._geometry(height, width, keep_size)
        weight, scales, bias, quant = self._parameters(
            x, (channels, *kernel, inputs // groups), float(rng.uniform(0, 4))
        )
        clamp = (-128, 127)
        if self._chance(0.2):
            clamp = (int(rng.integers(-100, -20)), int(rng.integers(20, 100)))
            self.tags.add("clamp attribute")
        return self.builder.conv2d(
            self._name("conv"), x, weight, scales, bias, quant,
            stride=stride, padding=padding, groups=groups, clamp=clamp,
        )  # fmt: skip

    def _geometry(
        self, height: int, width: int, keep_size: bool
    ) -> tuple[tuple[int, int], tuple[int, int], tuple[int, ...]]:
        rng = self.rng
        kh, kw = (int(v) for v in rng.choice([1, 2, 3, 4, 5], 2, p=[0.3, 0.15, 0.35, 0.1, 0.1]))
        if keep_size:
            top, left = int(rng.integers(kh)), int(rng.integers(kw))
            padding: tuple[int, ...] = (top, left, kh - 1 - top, kw - 1 - left)
            stride = (1, 1)
        else:
            padding = tuple(int(rng.integers(0, k)) for k in (kh, kw, kh, kw))
            stride = (int(rng.integers(1, 3)), int(rng.integers(1, 4)))
            grow = (max(0, kh - height - padding[0] - padding[2]),
                    max(0, kw - width - padding[1] - padding[3]))  # fmt: skip
            padding = (padding[0] + grow[0], padding[1] + grow[1], *padding[2:])
        if padding[0] != padding[2] or padding[1] != padding[3]:
            self.tags.add("asymmetric padding")
        if (stride[0] == 2 and height % 2 and height > 1) or (
            stride[1] == 2 and width % 2 and width > 1
        ):
            self.tags.add("stride 2 on odd size")
        if kh % 2 == 0 or kw % 2 == 0:
            self.tags.add("even kernel")
        if kh != kw:
            self.tags.add("rectangular kernel")
        return (kh, kw), stride, padding

    def add(self, a: str, b: str) -> str:
        """A residual add whose result scale fits both."""
        graph = self.builder.graph
        larger = max(graph.scale(a), graph.scale(b))
        scale = float(np.float32(larger * self.rng.uniform(0.6, 1.6)))
        return self.builder.add(self._name("add"), a, b, Quant(scale, self._zero()))

    def residual(self, x: str, depth: int) -> str:
        """x + f(x), where f may hold residuals of its own."""
        channels = self.shape(x)[3]
        y = self.conv(x, channels, keep_size=True)
        if depth > 1:
            y = self.residual(y, depth - 1)
            self.tags.add("nested residuals")
            if self._chance(0.5):
                y = self.conv(y, channels, keep_size=True)
        return self.add(x, y) if self._chance(0.5) else self.add(y, x)

    def fan_out(self, x: str) -> str:
        """Three or more readers of one tensor."""
        channels = self.shape(x)[3]
        a, b = (self.conv(x, channels, keep_size=True) for _ in range(2))
        self.tags.add("three consumers")
        return self.add(self.add(x, a), b) if self._chance(0.5) else self.add(self.add(a, b), x)

    def clamp(self, x: str) -> str:
        """A clamp op, perhaps open on one side."""
        lo = int(self.rng.choice([-128, int(self.rng.integers(-90, 0))]))
        hi = int(self.rng.choice([127, int(self.rng.integers(10, 100))]))
        self.tags.add("clamp op")
        if x.startswith(("conv", "add", "clamp")):
            self.tags.add("clamp after clamp")
        return self.builder.clamp(self._name("clamp"), x, lo, hi)

    def pool(self, x: str) -> str:
        """An average pool with or without overlap."""
        _, height, width, _ = self.shape(x)
        kernel = [int(self.rng.integers(1, min(n, 3) + 1)) for n in (height, width)]
        stride = [int(self.rng.integers(1, k + 1)) for k in kernel]
        overlapping = stride != kernel
        self.tags.add("overlapping pool" if overlapping else "average pool")
        return self.builder.average_pool(self._name("pool"), x, kernel, stride)

    def step(self) -> None:
        """One random piece after the latest tensor."""
        rng, x = self.rng, self.x
        kind = rng.choice(
            ["conv", "residual", "chain", "fan", "clamp", "pool", "double"],
            p=[0.3, 0.2, 0.12, 0.13, 0.1, 0.1, 0.05],
        )
        if kind == "conv":
            self.x = self.conv(x, int(rng.choice(self.widths)))
        elif kind == "residual":
            self.x = self.residual(x, int(rng.integers(1, 4)))
        elif kind == "chain":
            self.x = self.residual(self.residual(x, 1), int(rng.integers(1, 3)))
            self.tags.add("chained residuals")
        elif kind == "fan":
            self.x = self.fan_out(x)
        elif kind == "clamp":
            self.x = self.clamp(x)
        elif kind == "pool":
            self.x = self.pool(x)
        else:
            self.x = self.add(x, x)
            self.tags.add("add of itself")

    def finish(self) -> GraphCase:
        """Pool or flatten, perhaps a hidden layer, then an int8 classifier."""
        builder, rng = self.builder, self.rng
        classes = int(rng.integers(2, 6))
        if self._chance(0.5):
            x = builder.average_pool("pool", self.x)
            self.tags.add("average pool")
            if self._chance(0.5):
                w, s, b, quant = self._parameters(x, (classes, 1, 1, self.shape(x)[3]), 2.0)
                return self._done(builder.conv2d("classifier", x, w, s, b, quant), classes)
            x = builder.reshape("flat", x, (1, self.shape(x)[3]))
        else:
            x = builder.reshape("flat", self.x, (1, int(np.prod(self.shape(self.x)))))
        self.tags |= {"reshape", "fully connected"}
        if self._chance(0.6):
            w, s, b, quant = self._parameters(x, (int(rng.integers(2, 8)), self.shape(x)[1]), 2.0)
            x = builder.fully_connected("hidden", x, w, s, b, quant)
        w, s, b, quant = self._parameters(x, (classes, self.shape(x)[1]), 2.0)
        return self._done(builder.fully_connected("classifier", x, w, s, b, quant), classes)

    def _done(self, output: str, classes: int) -> GraphCase:
        graph = self.builder.finish(output)
        return GraphCase(graph, self.frame, int(self.rng.integers(classes)), classes, self.tags)


def random_graph(
    seed: int, mode: str = "mcunet", widths: Sequence[int] = WIDTHS, *, single: bool = False,
    op: OpCase | None = None,
) -> GraphCase:  # fmt: skip
    """The graph of this seed, convolutions of `widths` channels. `single`: early on, one of a
    single channel in and out. `op`: one or more of this family."""
    grower = RandomGraph(seed, mode, widths)
    grower.x = grower.conv(grower.x, int(grower.rng.choice([w for w in widths if w > 1])))
    if single:
        grower.x = grower.conv(grower.conv(grower.x, 1), 1)
    if op is not None:
        grower.x = op.grow(grower, grower.x)
    for _ in range(int(grower.rng.integers(1, 5))):
        grower.step()
        if op is not None and grower._chance(0.6):
            grower.x = op.grow(grower, grower.x)
    return grower.finish()


def graph_cases(mode: str = "mcunet") -> st.SearchStrategy[GraphCase]:
    """Random graphs."""
    return st.integers(0, 2**32 - 1).map(lambda seed: random_graph(seed, mode))


def train_everything(graph: Graph) -> Graph:
    """Every weight and bias becomes a param."""
    for node in graph.nodes:
        if node.op in ("conv2d", "fully_connected"):
            for name in node.inputs[1:3]:
                graph.set_role(name, "param")
    return graph
