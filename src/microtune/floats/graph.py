"""The float graph: one small set of ops for every format that a float network comes in.

Tensors are (1, H, W, C) or (1, C), as in the int8 graph, so that a reader turns axes once and
nothing behind it knows another order. `run.py` has the meaning of each op.

    conv          stride, padding (top, left, bottom, right), dilation, groups; arrays weight
                  (O, KH, KW, I/groups), bias (O,)
    transposed_conv  stride, cut (top, left), size; arrays weight (O, KH, KW, I), bias (O,)
    linear        arrays weight (O, I), bias (O,)
    affine        arrays scale (C,), shift (C,): batch norm, and what else scales channels
    clamp         lo, hi: relu and its kin; also as attribute `clamp` of layers, add, sub, mul
    activation    function, parameters: those of the int8 op's table
    add, sub, mul  two operands; the second one of mul may be (1, 1, 1, C)
    concat        axis
    max_pool      kernel, stride, padding
    average_pool  kernel, stride
    reshape       shape
    transpose     axes
    resize        size, method, corners, centers
    pad           shape, begin, stride, value
    slice         shape, begin, stride
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from microtune.floats.shapes import Shape, result_shape
from microtune.ir.graph import Attr

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FloatNode:
    """One operation. `name` is that of its result; `where` is its place in the user's model."""

    op: str
    name: str
    inputs: tuple[str, ...]
    attrs: dict[str, Attr] = field(default_factory=dict)
    arrays: dict[str, Floats] = field(default_factory=dict)
    where: str = ""

    def ints(self, name: str) -> list[int]:
        """An attribute that is a list of integers."""
        value = self.attrs[name]
        assert isinstance(value, list)
        return [int(v) for v in value]

    def int(self, name: str, default: int | None = None) -> int:
        """An attribute that is an integer."""
        value = self.attrs[name] if default is None else self.attrs.get(name, default)
        assert isinstance(value, int)
        return value

    def real(self, name: str) -> float:
        """An attribute that is a number."""
        value = self.attrs[name]
        assert isinstance(value, int | float)
        return float(value)

    @property
    def bounds(self) -> tuple[float, float]:
        """(lo, hi) of the clamp that the node ends with; infinite where there is none."""
        value = self.attrs.get("clamp", [-np.inf, np.inf])
        assert isinstance(value, list)
        return float(value[0]), float(value[1])


@dataclass
class FloatGraph:
    """Nodes in execution order, from one input to one output. `shapes` has that of each tensor."""

    name: str
    input: str
    shapes: dict[str, Shape]
    nodes: list[FloatNode] = field(default_factory=list)
    output: str = ""

    def add(self, node: FloatNode) -> str:
        """Append a node. Returns the name of its result. Raises ValueError for wrong shapes."""
        if node.name in self.shapes:
            raise ValueError(f"tensor {node.name} is made twice")
        self.shapes[node.name] = result_shape(node, [self.shapes[x] for x in node.inputs])
        self.nodes.append(node)
        return node.name

    def fresh(self, name: str) -> str:
        """This name, or one made of it where a tensor has it."""
        candidate, number = name, 2
        while candidate in self.shapes:
            candidate, number = f"{name}.{number}", number + 1
        return candidate

    def with_nodes(self, nodes: Iterable[FloatNode], output: str | None = None) -> FloatGraph:
        """The graph with other nodes, of which those that the output needs are kept."""
        output = self.output if output is None else output
        nodes, needed, kept = list(nodes), {output}, []
        for node in reversed(nodes):
            if node.name in needed:
                needed.update(node.inputs)
                kept.append(node)
        made = FloatGraph(self.name, self.input, {self.input: self.shapes[self.input]})
        for node in reversed(kept):
            made.add(node)
        return replace(made, output=output)

    def consumers(self) -> dict[str, list[FloatNode]]:
        """Tensor -> the nodes that read it, in order; a node once."""
        readers: dict[str, list[FloatNode]] = {name: [] for name in self.shapes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers[name].append(node)
        return readers

    def producers(self) -> dict[str, FloatNode]:
        """Tensor -> the node that makes it."""
        return {node.name: node for node in self.nodes}

    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        total = 0
        for node in self.nodes:
            if "weight" in node.arrays:
                weight, shape = node.arrays["weight"], self.shapes[node.name]
                total += int(weight.size) * int(np.prod(shape[1:-1]))
        return total
