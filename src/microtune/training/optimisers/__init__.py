"""How gradients become steps: SGD, and SGD with momentum.

An optimiser appends update ops to the training graph (`ir.ops.rules.Optimizer`). Its states are
tensors of the graph, so that they are planned, charged, saved and executed like parameters.
"""

from __future__ import annotations

from typing import Literal

from microtune.errors import MicrotuneError
from microtune.ir.ops.rules import Optimizer
from microtune.training.optimisers.momentum import Momentum
from microtune.training.optimisers.sgd import SGD

OptimizerName = Literal["sgd", "momentum"]
DEFAULT_MOMENTUM = 0.9
DEFAULT_OPTIMIZER: Optimizer = SGD()


def make_optimizer(name: OptimizerName, momentum: float | None = None) -> Optimizer:
    """The optimiser that is called so.

    `momentum` is the share of the velocity that each step keeps, 0 < momentum < 1; None: 0.9. Only
    "momentum" has it. Raises MicrotuneError for a value that cannot be used.
    """
    if name == "sgd":
        if momentum is not None:
            raise MicrotuneError(
                f"momentum {momentum:g} without --optimizer momentum: SGD has no velocity to keep"
            )
        return SGD()
    return Momentum.of(DEFAULT_MOMENTUM if momentum is None else momentum)


__all__ = [
    "DEFAULT_MOMENTUM", "DEFAULT_OPTIMIZER", "SGD", "Momentum", "Optimizer", "OptimizerName",
    "make_optimizer",
]  # fmt: skip
