"""Binary classification: one logit for two classes, sigmoid cross-entropy."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph
from microtune.training.tasks.task import append_loss_node, class_index

CLASSES = 2


class _Binary:
    """The target is the index of a class, int32 (1,): 0 or 1. The logit is that of class 1."""

    name = "binary"
    loss = "binary"
    metric = "accuracy"
    higher_is_better = True

    def check_outputs(self, count: int) -> None:
        """One output."""
        if count != 1:
            raise MicrotuneError(f"a binary classifier has one output, not {count}")

    def classes(self, outputs: int) -> int:
        """Two."""
        return CLASSES

    def target_codes(self, count: int) -> int:
        """None: a class is told by its index."""
        return 0

    def append_loss(self, graph: Graph, outputs: str) -> tuple[str, str]:
        """Append the label and sigmoid cross-entropy, in nats."""
        label = graph.input(graph.fresh("label"), (1,), "i32", kind="target")
        return append_loss_node(graph, "sigmoid_cross_entropy", outputs, label)

    def synthetic_target(self, count: int, number: int) -> Array:
        """The classes in turn."""
        return np.array([number % CLASSES], np.int32)

    def encode(self, value: npt.ArrayLike, count: int) -> Array:
        """0 or 1, int32 (1,)."""
        return class_index(value, CLASSES)

    def class_logits(self, outputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(..., 1) as (..., 2): 0 and the logit. Their softmax is 1 - sigmoid and sigmoid."""
        return np.concatenate([np.zeros_like(outputs), outputs], axis=-1)

    def decode(self, outputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """1 where the logit is above 0, else 0, (1,)."""
        return (outputs.reshape(-1) > 0).astype(np.float64)

    def score(self, outputs: npt.NDArray[np.float64], targets: Array) -> float:
        """The share of samples whose class the sign of the logit tells."""
        return float(((outputs.reshape(-1) > 0) == (targets.reshape(-1) == 1)).mean())

    def loss_of_guessing(self, targets: Array, count: int) -> float:
        """Nats of two equal probabilities, whatever the targets."""
        return math.log(CLASSES)


BINARY = _Binary()
