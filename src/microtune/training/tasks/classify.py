"""Classification: one of N classes, softmax cross-entropy."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph
from microtune.training.tasks.task import append_loss_node, class_index

MAX_CLASSES = 2048


class _Classify:
    """The target is the index of a class, int32 (1,)."""

    name = "classify"
    loss = "cross-entropy"
    metric = "accuracy"
    higher_is_better = True

    def check_outputs(self, count: int) -> None:
        """2 to 2,048 classes: more would overflow the sum of the softmax."""
        if not 2 <= count <= MAX_CLASSES:
            raise MicrotuneError(
                f"--classes {count}: a classifier needs 2 to {MAX_CLASSES} classes"
            )

    def classes(self, outputs: int) -> int:
        """One for each output."""
        return outputs

    def target_codes(self, count: int) -> int:
        """None: a class is told by its index."""
        return 0

    def append_loss(self, graph: Graph, outputs: str) -> tuple[str, str]:
        """Append the label and softmax cross-entropy, in nats."""
        label = graph.input(graph.fresh("label"), (1,), "i32", kind="target")
        return append_loss_node(graph, "softmax_cross_entropy", outputs, label)

    def synthetic_target(self, count: int, number: int) -> Array:
        """The classes in turn."""
        return np.array([number % count], np.int32)

    def encode(self, value: npt.ArrayLike, count: int) -> Array:
        """The index of a class, int32 (1,)."""
        return class_index(value, count)

    def class_logits(self, outputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The outputs."""
        return outputs

    def decode(self, outputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The class with the largest logit, (1,); the first of equal ones."""
        return np.array([float(outputs.argmax())])

    def score(self, outputs: npt.NDArray[np.float64], targets: Array) -> float:
        """The share of samples whose class has the largest logit."""
        return float((outputs.argmax(axis=1) == targets.reshape(-1)).mean())

    def loss_of_guessing(self, targets: Array, count: int) -> float:
        """Nats of N equal probabilities, whatever the targets."""
        return math.log(count)


CLASSIFY = _Classify()
