"""The interface of a task, and which one a graph has."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph, Node, Quant, Tensor
from microtune.ir.ops import OPS

ATTRIBUTE = "task"  # of a graph; a classifier has none


class Task(Protocol):
    """A task. Outputs are the N values of the head as real numbers, float64 (N,)."""

    name: str
    loss: str  # what `--loss` calls it
    metric: str
    higher_is_better: bool

    def check_outputs(self, count: int) -> None:
        """Raise MicrotuneError if a model cannot have so many outputs."""
        ...

    def classes(self, outputs: int) -> int:
        """How many classes so many outputs tell apart; 0: it has none."""
        ...

    def target_codes(self, count: int) -> int:
        """How many int8 codes the target of a step is; 0: it is the index of a class."""
        ...

    def append_loss(self, graph: Graph, outputs: str) -> tuple[str, str]:
        """Append the target and the loss to a forward graph.

        Returns the names of the loss (1,) and of its gradient with respect to `outputs` (1, N).
        """
        ...

    def synthetic_target(self, count: int, number: int) -> Array:
        """A pseudo-random target of `count` outputs, for calibration."""
        ...

    def encode(self, value: npt.ArrayLike, count: int) -> Array:
        """The target that a step takes. Raises MicrotuneError if `value` is none."""
        ...

    def class_logits(self, outputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """A logit for each class, (..., classes), of outputs (..., N).

        Raises MicrotuneError where there are no classes.
        """
        ...

    def decode(self, outputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What outputs say, in the form that `encode` takes."""
        ...

    def score(self, outputs: npt.NDArray[np.float64], targets: Array) -> float:
        """The metric over samples: outputs (M, N) against encoded targets (M, ...)."""
        ...

    def loss_of_guessing(self, targets: Array, count: int) -> float:
        """The loss of the best constant answer to these encoded targets (M, ...)."""
        ...


def class_index(value: npt.ArrayLike, classes: int) -> Array:
    """The index of a class, int32 (1,). Raises MicrotuneError if it is none."""
    label = np.asarray(value)
    if label.size != 1 or not 0 <= int(label.reshape(-1)[0]) < classes:
        raise MicrotuneError(f"{label} is no class: there are 0 to {classes - 1}")
    return label.reshape(1).astype(np.int32)


def append_loss_node(
    graph: Graph, op: str, outputs: str, target: str, unit: float | None = None
) -> tuple[str, str]:
    """Append a loss op of (outputs, target); returns the names of the loss and of the gradient.

    `unit` is the real value of one code of an int16 gradient, where it is not 2^-15.
    """
    names = (graph.fresh("loss"), graph.fresh(f"{outputs}.grad"))
    node = Node(op, (outputs, target), names)
    (shape, dtype), (wide, kind) = OPS[op].shapes(graph, node)
    quant = Quant(scale=unit) if unit is not None and kind == "i16" else None
    loss = Tensor(names[0], shape, dtype, kind="loss")
    graph.add_node(node, [loss, Tensor(names[1], wide, kind, quant=quant)])
    return names
