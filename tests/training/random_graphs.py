"""Random small forward graphs: residuals nested and chained, odd sizes, every op."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from microtune.ir.builder import Builder
from microtune.ir.graph import Graph, Quant

FEATURES = (
    "chained residual", "nested residual", "three consumers", "zero point", "stride 2 odd size",
    "asymmetric padding", "depthwise", "grouped", "dense 3x3", "clamp", "overlapping pool",
    "fully connected", "dead channel",
)  # fmt: skip


@dataclass
class RandomGraph:
    """A builder driven by one random generator; counts what occurred."""

    rng: np.random.Generator
    mode: str
    builder: Builder = field(init=False)
    seen: Counter[str] = field(default_factory=Counter)
    convs: int = 0

    def __post_init__(self) -> None:
        self.builder = Builder("random", self.mode)

    def quant(self) -> Quant:
        zero = int(self.rng.integers(-128, 100))
        if zero:
            self.seen["zero point"] += 1
        return Quant(float(np.float32(self.rng.uniform(0.01, 0.05))), zero)

    def shape(self, x: str) -> tuple[int, ...]:
        return self.builder.graph.tensors[x].shape

    def conv(self, x: str, outputs: int | None = None, *, same: bool = False) -> str:
        """A random convolution; `same` keeps height and width."""
        rng, (_, height, width, channels) = self.rng, self.shape(x)
        kernel = int(rng.choice([1, 1, 3, 3, 5]))
        kind = rng.choice(["dense", "depthwise", "grouped"])
        groups = 1
        if kind == "depthwise" and outputs in (None, channels) and channels > 1:
            groups, outputs = channels, channels
            self.seen["depthwise"] += 1
        elif kind == "grouped" and channels % 2 == 0 and (outputs or 2) % 2 == 0 and channels > 2:
            groups = 2
            self.seen["grouped"] += 1
        elif kernel > 1:
            self.seen["dense 3x3"] += 1
        outputs = outputs or int(rng.integers(1, 5)) * 2
        stride, padding = 1, [kernel // 2] * 4
        if not same:
            padding = [int(p) for p in rng.integers(0, kernel // 2 + 1, 4)]
            stride = int(rng.integers(1, 3))
            if min(height + padding[0] + padding[2], width + padding[1] + padding[3]) < kernel:
                padding = [kernel // 2] * 4
            if padding[0] != padding[2] or padding[1] != padding[3]:
                self.seen["asymmetric padding"] += 1
            if stride == 2 and height % 2 == 1:
                self.seen["stride 2 odd size"] += 1
        weight = rng.integers(-127, 128, (outputs, kernel, kernel, channels // groups))
        if rng.random() < 0.1:
            weight[0] = 0
            self.seen["dead channel"] += 1
        fan = kernel * kernel * channels // groups
        scales = rng.uniform(0.3, 3.0, outputs) * 0.02 / np.sqrt(fan)
        bias = rng.integers(-3000, 3000, outputs)
        name = f"conv{self.convs}"
        self.convs += 1
        return self.builder.conv2d(
            name, x, weight, scales, bias, self.quant(), stride=(stride, stride), padding=padding,
            groups=groups,
        )  # fmt: skip

    def add(self, name: str, a: str, b: str) -> str:
        return self.builder.add(name, a, b, self.quant())

    def residual(self, x: str, depth: int) -> str:
        """x + f(x), where f may hold a residual of its own."""
        y = self.conv(x, same=True)
        if depth > 0 and self.rng.random() < 0.6:
            y = self.residual(y, depth - 1)
            self.seen["nested residual"] += 1
        y = self.conv(y, self.shape(x)[3], same=True)
        total = self.add(f"add{self.convs}", x, y)
        if self.rng.random() < 0.3:
            total = self.add(f"again{self.convs}", total, x)
            self.seen["three consumers"] += 1
        return total

    def build(self, classes: int) -> Graph:
        """Input, body, pool, classifier."""
        rng = self.rng
        size = [int(n) for n in rng.integers(4, 10, 2)]
        quant = self.quant()
        x = self.builder.input(
            (1, *size, int(rng.integers(1, 4))), quant.scale or 1.0, quant.zero_point
        )
        x = self.conv(x)
        blocks = int(rng.integers(1, 4))
        for block in range(blocks):
            if rng.random() < 0.7:
                x = self.residual(x, 1)
                self.seen["chained residual"] += block > 0
            else:
                x = self.conv(x, same=True)
            if rng.random() < 0.3:
                zero = self.builder.graph.quant(x).zero_point
                x = self.builder.clamp(f"relu{self.convs}", x, max(zero, -128), 120)
                self.seen["clamp"] += 1
        return self.finish(x, classes)

    def finish(self, x: str, classes: int) -> Graph:
        rng, (_, height, width, channels) = self.rng, self.shape(x)
        if min(height, width) >= 3 and rng.random() < 0.4:
            x = self.builder.average_pool("overlap", x, (2, 2), (1, 1))
            self.seen["overlapping pool"] += 1
        x = self.builder.average_pool("pool", x)
        weight = rng.integers(-127, 128, (classes, 1, 1, channels))
        scales, bias = rng.uniform(0.002, 0.01, classes), rng.integers(-500, 500, classes)
        if rng.random() < 0.5:
            self.seen["fully connected"] += 1
            flat = self.builder.reshape("flat", x, (1, channels))
            out = self.builder.fully_connected(
                "classifier", flat, weight.reshape(classes, channels), scales, bias, self.quant()
            )
        else:
            out = self.builder.conv2d("classifier", x, weight, scales, bias, self.quant())
        return self.builder.finish(out)


def random_graph(seed: int, mode: str = "mcunet", classes: int = 3) -> tuple[Graph, Counter[str]]:
    """A graph and what occurred in it."""
    made = RandomGraph(np.random.default_rng(seed), mode)
    return made.build(classes), made.seen


def random_frame(graph: Graph, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """An int8 input."""
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 128, graph.tensors["input"].shape).astype(np.int8)
