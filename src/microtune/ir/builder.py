"""Convenience for importers and tests: append forward ops with shapes worked out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from microtune.ir.graph import Array, Attr, Graph, Node, Quant, Tensor
from microtune.ir.ops import OPS


class Builder:
    """Builds a forward graph; every method returns the name of its result."""

    def __init__(self, name: str, requantize: str = "device") -> None:
        self.graph = Graph(name, {"requantize": requantize})

    def input(self, shape: Sequence[int], scale: float, zero_point: int) -> str:
        """The int8 input, (1, H, W, C) or (1, C), named `input`."""
        return self.graph.input("input", shape, "i8", Quant(float(scale), int(zero_point)))

    def apply(
        self, op: str, name: str, inputs: Sequence[str], quant: Quant | None, attrs: dict[str, Attr]
    ) -> str:
        """Append any forward op of one result: its tensors in order, quantisation, attributes."""
        node = Node(op, tuple(inputs), (name,), attrs)
        shape, dtype = OPS[op].shapes(self.graph, node)[0]
        self.graph.add_node(node, [Tensor(name, shape, dtype, "value", quant)])
        return name

    def _parameters(
        self, name: str, weight: Array, scales: npt.ArrayLike, bias: Array
    ) -> tuple[str, str]:
        per_channel = np.asarray(scales, dtype=np.float32)
        self.graph.constant(f"{name}.weight.scale", per_channel, "f32")
        quant = Quant(scales=f"{name}.weight.scale")
        return (
            self.graph.constant(f"{name}.weight", weight, "i8", quant),
            self.graph.constant(f"{name}.bias", bias, "i32"),
        )

    def conv2d(
        self, name: str, x: str, weight: Array, scales: npt.ArrayLike, bias: Array, quant: Quant,
        *, stride: Sequence[int] = (1, 1), padding: Sequence[int] = (0, 0, 0, 0), groups: int = 1,
        clamp: tuple[int, int] = (-128, 127),
    ) -> str:  # fmt: skip
        """Append a convolution; returns the name of its result.

        `weight` is int8 (O, KH, KW, I/groups), `scales` are float (O,), `bias` is int32 (O,).
        `padding` is (top, left, bottom, right), `quant` that of the result.
        """
        w, b = self._parameters(name, weight, scales, bias)
        attrs: dict[str, Attr] = {
            "stride": list(stride), "padding": list(padding), "groups": groups,
        }  # fmt: skip
        if clamp != (-128, 127):
            attrs["clamp"] = list(clamp)
        return self.apply("conv2d", name, (x, w, b), quant, attrs)

    def fully_connected(
        self, name: str, x: str, weight: Array, scales: npt.ArrayLike, bias: Array, quant: Quant,
        *, clamp: tuple[int, int] = (-128, 127),
    ) -> str:  # fmt: skip
        """Append a fully connected layer of x (1, I); returns the name of its result.

        `weight` is int8 (O, I), `scales` are float (O,), `bias` is int32 (O,).
        """
        w, b = self._parameters(name, weight, scales, bias)
        attrs: dict[str, Attr] = {} if clamp == (-128, 127) else {"clamp": list(clamp)}
        return self.apply("fully_connected", name, (x, w, b), quant, attrs)

    def add(self, name: str, a: str, b: str, quant: Quant) -> str:
        """Append a residual add of two tensors; returns the name of its result."""
        return self.apply("add", name, (a, b), quant, {})

    def average_pool(
        self, name: str, x: str, kernel: Sequence[int] | None = None,
        stride: Sequence[int] | None = None,
    ) -> str:  # fmt: skip
        """Average pool; global where no kernel is given."""
        size = list(kernel) if kernel else list(self.graph.tensors[x].shape[1:3])
        attrs: dict[str, Attr] = {"kernel": size, "stride": list(stride) if stride else size}
        return self.apply("average_pool", name, (x,), self.graph.tensors[x].quant, attrs)

    def clamp(self, name: str, x: str, lo: int, hi: int) -> str:
        """Append a clamp of codes to lo..hi, such as a ReLU; returns the name of its result."""
        return self.apply("clamp", name, (x,), self.graph.tensors[x].quant, {"clamp": [lo, hi]})

    def reshape(self, name: str, x: str, shape: Sequence[int]) -> str:
        """The same elements in another shape."""
        return self.apply(
            "reshape", name, (x,), self.graph.tensors[x].quant, {"shape": list(shape)}
        )

    def finish(self, output: str) -> Graph:
        """Declare the output and return the graph."""
        self.graph.outputs.append(output)
        return self.graph
