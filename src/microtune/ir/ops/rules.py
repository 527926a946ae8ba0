"""What the two drivers offer to the rules of an op: protocols, so that ir depends on nobody.

`training/autodiff.py` drives the gradient rules with a `Tape`, `passes/lower_gradients.py` drives
the lowering rules with a `Lowering`.
"""

from __future__ import annotations

from typing import Protocol

from microtune.ir.graph import Attr, Graph, Node, Tensor
from microtune.ir.ops.gradient_operands import Gradient, Rounding
from microtune.ir.ops.operands import Operands


class Tape(Protocol):
    """The graph that reverse-mode differentiation is appending to."""

    graph: Graph

    def wants(self, name: str) -> bool:
        """Whether the gradient of this tensor is needed."""

    def contribute(self, name: str, gradient: str) -> None:
        """Add one path's gradient of `name`; several paths are summed."""

    def emit(self, op: str, name: str, operands: Operands[str], **attrs: Attr) -> str:
        """Append a node with one result, called `name` or like it; returns its name."""

    def save(self, reader: Node, node: Node) -> None:
        """Put `node`, which saves something for the way back, right in front of `reader`."""

    def extend(self, node: Node, tensor: Tensor) -> str:
        """Let forward node `node` make one more tensor, for the way back; returns its name."""

    def shape(self, name: str) -> list[int]:
        """The shape of a tensor as an attribute."""


class Optimizer(Protocol):
    """What becomes of a gradient: `training/optimisers` has them."""

    @property
    def name(self) -> str:
        """The name, as `compile --optimizer` has it."""

    @property
    def momentum(self) -> float | None:
        """The share of a velocity that each step keeps; None: there are no velocities."""

    def emit_update(
        self, low: Lowering, op: str, operands: Operands[str], params: tuple[str, ...],
        attrs: dict[str, Attr],
    ) -> None:  # fmt: skip
        """Append the update of `params`, given the op that would make an SGD step of them."""


class Lowering(Protocol):
    """The graph that the int8 version of a training graph is appended to."""

    source: Graph
    target: Graph

    @property
    def rule(self) -> str:
        """Exponent rule: "offset" or "exact"."""

    @property
    def bias_format(self) -> str:
        """Format of trained biases: "int32" or "int16"."""

    @property
    def rate(self) -> str:
        """The tensor of the learning rate."""

    @property
    def seed(self) -> str:
        """The tensor of the random seed."""

    @property
    def step(self) -> str:
        """The tensor of the step's number."""

    def fresh(self, name: str) -> str:
        """This name or one like it, which neither graph has."""

    def site_of(self, param: str) -> int:
        """The number that tells the random bits of this parameter's updates from others."""

    def rounding_attrs(self, name: str) -> dict[str, Attr]:
        """Attributes of an op that rounds its result `name`: exponent rule and random bits."""

    def param_of(self, gradient: str) -> str:
        """The parameter that this float gradient is of."""

    def gradient(self, name: str) -> Gradient[str]:
        """What the float gradient `name` became."""

    def alias(self, name: str, gradient: Gradient[str]) -> None:
        """The float gradient `name` became this gradient, which exists."""

    def mask_of(self, name: str) -> str | None:
        """The mask that the producer of float gradient `name` applies, if it can."""

    def rounding(self, name: str) -> Rounding[str]:
        """What an op needs that rounds by the exponent rule; declares the offset of `name`."""

    def emit_gradient(
        self, op: str, name: str, operands: Operands[str], attrs: dict[str, Attr], factor: float,
        *, rounding: Rounding[str] | None = None,
    ) -> None:  # fmt: skip
        """Append an int8 gradient op for the float gradient `name`.

        Its results are codes, exponent and, with `rounding`, the offset's next value.
        """

    def enter(self, name: str) -> None:
        """The gradient `name` enters the backbone: its exponent is the base of all others."""

    def apply_mask(self, name: str, mask: str) -> None:
        """Append an op of its own for a mask that no producer applies."""

    def emit_update(
        self, op: str, operands: Operands[str], params: tuple[str, ...], attrs: dict[str, Attr]
    ) -> None:
        """Append what the optimiser makes of this SGD step of `params`."""

    def emit_in_place(
        self, op: str, operands: Operands[str], written: tuple[str, ...], attrs: dict[str, Attr]
    ) -> tuple[str, ...]:
        """Append an op whose results take the memory of `written`; returns their names."""

    def finish(self, written: tuple[str, ...], values: tuple[str, ...]) -> None:
        """These values are what params and states hold after the step."""

    def momentum_of(self, param: str) -> str:
        """Declare the velocity of a param: a state of its shape and type that starts at 0."""

    def copy(self, node: Node, operands: Operands[str] | None = None) -> None:
        """Append a node as it is, perhaps with other operands."""
