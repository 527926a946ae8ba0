"""Random frozen prefixes: kernels 1-7, strides 1-2, odd sizes, residuals, asymmetric padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.ir.builder import Builder
from microtune.ir.graph import Graph, Quant
from microtune.training.apply_scheme import apply_scheme
from microtune.training.head import replace_head
from microtune.training.scheme import resolve_scheme

Array = npt.NDArray[Any]
CLASSES = 7


class RandomPrefix:
    """Grows a chain of layers with residuals; every element of its end moves the logits."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = Builder(f"prefix{seed}")
        shape = (1, *(int(v) for v in self.rng.integers((1, 1, 1), (20, 14, 6))))
        self.x = self.builder.input(shape, 0.02, self._zero())
        self.frame: Array = self.rng.integers(-128, 128, shape).astype(np.int8)
        self.count = 0
        self.tags: set[str] = set()

    def _zero(self) -> int:
        return int(self.rng.integers(-128, 128))

    def _name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def _shape(self, name: str) -> tuple[int, ...]:
        return self.builder.graph.tensors[name].shape

    def conv(self, x: str, *, same: bool) -> str:
        """A dense, grouped or depthwise layer; `same` keeps the shape."""
        rng, (_, height, width, channels) = self.rng, self._shape(x)
        kernel = rng.integers(1, 8, 2)
        stride = [1, 1] if same else [int(v) for v in rng.integers(1, 3, 2)]
        top, left = (int(v) for v in rng.integers(0, kernel))
        bottom, right = (int(v) for v in rng.integers(0, kernel))
        if same:
            bottom, right = int(kernel[0]) - 1 - top, int(kernel[1]) - 1 - left
        bottom = max(bottom, int(kernel[0]) - height - top)
        right = max(right, int(kernel[1]) - width - left)
        depthwise = bool(rng.random() < 0.5) and channels > 1
        groups = channels if depthwise else 1
        outputs = channels if same or depthwise else int(rng.integers(1, 9))
        shape = (outputs, *(int(k) for k in kernel), channels // groups)
        self.tags |= {f"kernel {kernel[0]}", f"stride {stride[0]}", f"depthwise {depthwise}"}
        self.tags |= {"asymmetric"} if top != bottom else set()
        fan = int(np.prod(shape[1:]))
        scales = rng.uniform(0.5, 1.5, outputs) * 0.01 / np.sqrt(fan)
        return self.builder.conv2d(
            self._name("conv"), x, rng.integers(-127, 128, shape).astype(np.int8), scales,
            rng.integers(-3000, 3000, outputs).astype(np.int32), Quant(0.03, self._zero()),
            stride=stride, padding=(top, left, bottom, right), groups=groups,
        )  # fmt: skip

    def grow(self) -> None:
        """One more layer or residual block."""
        kind, (_, height, width, _) = self.rng.random(), self._shape(self.x)
        if kind < 0.3:
            start, body = self.x, self.x
            for _ in range(int(self.rng.integers(1, 4))):
                body = self.conv(body, same=True)
            self.x = self.builder.add(self._name("add"), start, body, Quant(0.04, self._zero()))
            self.tags.add("residual")
        elif kind < 0.4 and min(height, width) > 1:
            kernel = [int(v) for v in self.rng.integers(1, (min(height, 4), min(width, 4)))]
            self.x = self.builder.average_pool(self._name("pool"), self.x, kernel, [1, 2])
        elif kind < 0.5:
            self.x = self.builder.clamp(self._name("clamp"), self.x, -90, 80)
        else:
            self.x = self.conv(self.x, same=False)

    def finish(self) -> Graph:
        """The prefix under a frozen head of random weights over all its elements."""
        features = int(np.prod(self._shape(self.x)))
        flat = self.builder.reshape("flat", self.x, (1, features))
        ones = np.ones((CLASSES, features), np.int8)
        scales, bias = np.full(CLASSES, 0.01), np.zeros(CLASSES, np.int32)
        self.builder.fully_connected("fc", flat, ones, scales, bias, Quant(0.1, 0))
        graph = replace_head(self.builder.finish("fc"), CLASSES, "int16")
        graph = apply_scheme(graph, resolve_scheme("none", self.builder.graph, "prefix"))
        weight = graph.data["head.weight"]
        graph.data["head.weight"] = self.rng.integers(-999, 999, weight.shape).astype(np.int16)
        return graph


def random_prefix(seed: int) -> RandomPrefix:
    """Between one and eight steps of growth."""
    prefix = RandomPrefix(seed)
    for _ in range(int(prefix.rng.integers(1, 9))):
        prefix.grow()
    return prefix
