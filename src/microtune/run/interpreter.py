"""The numpy interpreter: a training graph, one step at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array, Graph


class Interpreter:
    """A training graph with its parameters and states, one step at a time."""

    def __init__(self, graph: Graph, seed: int = 0) -> None:
        self.graph = graph
        self.data = dict(graph.data)
        self.seed = seed
        self.step = 0

    def infer(self, frame: npt.NDArray[np.int8]) -> Array:
        """Logits (1, N) of one frame (1, H, W, C)."""
        forward = forward_part(self.graph)
        return evaluate(forward, {"input": frame}, self.data)[forward.outputs[0]]

    def train_step(
        self, frame: npt.NDArray[np.int8], label: int, lr: float, keep: set[str] | None = None
    ) -> dict[str, Array]:
        """One step; returns outputs and the values in `keep`, and moves the parameters."""
        results = evaluate(self.graph, self._inputs(frame, label, lr), self.data, keep=keep)
        for name, value in self.graph.updates.items():
            self.data[name] = results[value]
        self.step += 1
        return results

    def _inputs(self, frame: Array, label: int, lr: float) -> dict[str, Array]:
        return {
            "input": frame,
            "label": np.array([label], np.int32),
            "lr": np.array([lr], np.float32),
            "seed": np.array([self.seed], np.uint32),
            "step": np.array([self.step], np.uint32),
        }


def forward_part(graph: Graph) -> Graph:
    """The nodes that the first output (the logits) needs, without updates."""
    part = graph.copy()
    part.outputs = graph.outputs[:1]
    part.updates = {}
    needed, kept = set(part.outputs), []
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            kept.append(node)
            needed |= set(node.inputs)
    part.nodes = kept[::-1]
    return part
