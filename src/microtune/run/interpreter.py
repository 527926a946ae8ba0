"""The numpy interpreter: a training graph, one step at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array, Graph
from microtune.ir.signature import feed


class Interpreter:
    """Runs a training graph in numpy, one step at a time; it keeps parameters and states."""

    def __init__(self, graph: Graph, seed: int = 0) -> None:
        self.graph = graph
        self.data = dict(graph.data)
        self.seed = seed
        self.step = 0

    def infer(self, frame: npt.NDArray[np.int8]) -> Array:
        """Logits (1, N) of one int8 frame (1, H, W, C)."""
        forward = forward_part(self.graph)
        inputs = {forward.signature.input: frame}
        return evaluate(forward, inputs, self.data)[forward.signature.output]

    def train_step(
        self, frame: npt.NDArray[np.int8], target: npt.ArrayLike, lr: float,
        keep: set[str] | None = None,
    ) -> dict[str, Array]:  # fmt: skip
        """Run one training step and update the parameters.

        Returns the graph's outputs and the values named in `keep`, by name. The frame is int8 (1,
        H, W, C); `target` is what the signature's target holds: a class, or int8 codes.
        """
        inputs = feed(self.graph, frame, target, rate=lr, seed=self.seed, step=self.step)
        results = evaluate(self.graph, inputs, self.data, keep=keep)
        for name, value in self.graph.updates.items():
            self.data[name] = results[value]
        self.step += 1
        return results


def forward_part(graph: Graph) -> Graph:
    """The nodes that the first output (the logits) depends on, without updates."""
    part = graph.copy()
    part.outputs = list(graph.signature.outputs)
    part.updates = {}
    needed, kept = set(part.outputs), []
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            kept.append(node)
            needed |= set(node.inputs)
    part.nodes = kept[::-1]
    return part
