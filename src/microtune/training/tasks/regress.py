"""Regression: N values, mean squared error. With the input as target it is an auto-encoder."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microtune.data.targets import encode_target
from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.ir.graph import Array, Graph
from microtune.ir.ops.mean_squared_error import gradient_unit
from microtune.training.tasks.task import append_loss_node

MAX_OUTPUTS = 65_536
_KEY = 0x72656772
_CODES = 128.0


class _Regress:
    """The target is a code for each output, int8 (1, N): code / 128, from -1 to 127/128."""

    name = "regress"
    loss = "mse"
    metric = "mean squared error"
    higher_is_better = False

    def check_outputs(self, count: int) -> None:
        """1 to 65,536 outputs: more would overflow the sum of the squares."""
        if not 1 <= count <= MAX_OUTPUTS:
            raise MicrotuneError(
                f"--outputs {count}: a regression has 1 to {MAX_OUTPUTS:,} outputs"
            )

    def classes(self, outputs: int) -> int:
        """None."""
        return 0

    def target_codes(self, count: int) -> int:
        """One for each output."""
        return count

    def append_loss(self, graph: Graph, outputs: str) -> tuple[str, str]:
        """Append the codes and the mean squared error."""
        shape = graph.tensors[outputs].shape
        codes = graph.input(graph.fresh("codes"), shape, "i8", kind="target")
        unit = gradient_unit(graph.tensors[outputs].elements)
        return append_loss_node(graph, "mean_squared_error", outputs, codes, unit)

    def synthetic_target(self, count: int, number: int) -> Array:
        """Pseudo-random codes, int8 (N,)."""
        index = np.arange(count, dtype=np.int64)
        return (numerics.random8(_KEY + number, index) - 128).astype(np.int8)

    def encode(self, value: npt.ArrayLike, count: int) -> Array:
        """Values from -1 to 1 as int8 codes (N,): floor(128 value + 1/2), saturated. int8 stays as
        it is."""
        return encode_target(np.asarray(value), count, "a target")[0]

    def class_logits(self, outputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Raises MicrotuneError: values are no classes."""
        raise MicrotuneError("a regression has values, not classes")

    def decode(self, outputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The outputs, which are in units of the target."""
        return outputs

    def score(self, outputs: npt.NDArray[np.float64], targets: Array) -> float:
        """The mean over samples and outputs of (output - code/128)²."""
        return float(squared_errors(outputs, targets).mean())

    def loss_of_guessing(self, targets: Array, count: int) -> float:
        """The variance of each output over the targets, averaged: that of answering the mean."""
        return float((targets.reshape(-1, count) / _CODES).var(axis=0).mean())


def squared_errors(outputs: npt.NDArray[np.float64], targets: Array) -> npt.NDArray[np.float64]:
    """(output - code/128)² of outputs and codes (M, N), float64 (M, N)."""
    wanted = targets.reshape(outputs.shape) / _CODES
    squares: npt.NDArray[np.float64] = (outputs - wanted) ** 2
    return squares


REGRESS = _Regress()
