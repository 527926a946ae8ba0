"""The int8 network in floats: weights and results on their grids, everything else exact.

It is within a code of the device's arithmetic, and many times faster than the exact one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from microtune.floats import FloatGraph, FloatNode, Floats, run_node
from microtune.ir.graph import Quant
from microtune.quantization.post_training import CODE_MAX, CODE_MIN, quantize_weight


def rounded(values: Floats, quant: Quant) -> Floats:
    """The values on the grid of a quantisation, saturated, float32."""
    scale = np.float32(quant.scale or 1.0)
    codes = np.floor(values / scale + np.float32(0.5)) + quant.zero_point
    made = (np.clip(codes, CODE_MIN, CODE_MAX) - quant.zero_point) * scale
    result: Floats = made.astype(np.float32, copy=False)
    return result


def rounded_weights(node: FloatNode) -> FloatNode:
    """The layer with the weights that its codes stand for."""
    codes, scales = quantize_weight(node.arrays["weight"])
    weight = codes * scales.reshape(-1, *[1] * (codes.ndim - 1))
    return FloatNode(
        node.op, node.name, node.inputs, node.attrs,
        node.arrays | {"weight": weight.astype(np.float32)}, node.where,
    )  # fmt: skip


@dataclass
class Simulation:
    """A float graph, run with rounded weights and results.

    `layers` are the nodes with rounded weights by name, `owner` as `scales.owners` gives it.
    """

    graph: FloatGraph
    owner: Mapping[str, str]
    layers: dict[str, FloatNode]

    @staticmethod
    def of(graph: FloatGraph, owner: Mapping[str, str]) -> Simulation:
        """With the weights of the graph."""
        layers = {n.name: rounded_weights(n) for n in graph.nodes if "weight" in n.arrays}
        return Simulation(graph, owner, layers)

    def step(self, node: FloatNode, values: Mapping[str, Floats], quants: Mapping[str, Quant]
             ) -> Floats:  # fmt: skip
        """The result of one node, on its grid, float32 (N, …)."""
        operands = [values[name] for name in node.inputs]
        made = run_node(self.layers.get(node.name, node), operands)
        return rounded(made, quants[self.owner[node.name]])

    def run(
        self, samples: Floats, quants: Mapping[str, Quant], keep: Sequence[str] | None = None
    ) -> dict[str, Floats]:
        """All results for a batch, or those in `keep`; the output is always there."""
        start = rounded(samples, quants[self.owner[self.graph.input]])
        return self.again({self.graph.input: start}, quants, 0, keep)

    def again(
        self, before: Mapping[str, Floats], quants: Mapping[str, Quant], first: int,
        keep: Sequence[str] | None = None,
    ) -> dict[str, Floats]:  # fmt: skip
        """The results of the nodes from number `first` on, given those `before`."""
        values = dict(before)
        last = {name: i for i, node in enumerate(self.graph.nodes) for name in node.inputs}
        wanted = None if keep is None else {*keep, self.graph.output}
        for i, node in enumerate(self.graph.nodes[first:], start=first):
            values[node.name] = self.step(node, values, quants)
            if wanted is not None:
                for name in node.inputs:
                    if last[name] == i and name not in wanted:
                        values.pop(name, None)
        return values


def sqnr(exact: Floats, other: Floats) -> float:
    """Signal to quantisation noise in decibels; 120 at most."""
    noise = float(np.square(exact - other, dtype=np.float64).sum())
    signal = float(np.square(exact, dtype=np.float64).sum())
    if signal == 0.0:
        return 120.0 if noise == 0.0 else 0.0
    return 120.0 if noise <= signal * 1e-12 else float(10 * np.log10(signal / noise))
