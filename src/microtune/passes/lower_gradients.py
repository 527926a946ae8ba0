"""Float gradients -> the int8 gradients and in-place updates that the device runs.

The driver of the ops' lowering rules (`ir/ops`). It fuses the mask of a tensor into the producer of
its gradient, weight gradients into their updates, and threads exponents and offsets through as
tensors of one element (docs/numerics.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.ir.graph import Attr, Graph, Kind, Node, Quant, Tensor
from microtune.ir.ops import OPS, Trait, has
from microtune.ir.ops.clamp import MaskGradient
from microtune.ir.ops.gradient_operands import Gradient, Rounding
from microtune.ir.ops.operands import Operands
from microtune.ir.ops.rules import Optimizer
from microtune.ir.prune import remove_unused
from microtune.ir.verifier import verify

BiasFormat = Literal["int32", "int16"]
ExponentRule = Literal["offset", "exact"]


@dataclass
class Lowering:
    """State of the pass (`ir.ops.rules.Lowering`): the new graph and what each float gradient
    became."""

    source: Graph
    target: Graph
    params: dict[str, str]
    bias_format: BiasFormat
    rule: ExponentRule
    optimizer: Optimizer
    rate: str = ""
    seed: str = ""
    step: str = ""
    lowered: dict[str, Gradient[str]] = field(default_factory=dict)
    base: str = ""

    def fresh(self, name: str) -> str:
        """This name or one like it, which neither graph has."""
        return self.target.fresh(name, self.source.tensors)

    def declare_inputs(self) -> None:
        """The inputs of an update: learning rate, seed and step."""
        kinds: tuple[tuple[Kind, str, str], ...] = (
            ("rate", "lr", "f32"), ("seed", "seed", "u32"), ("step", "step", "u32"),
        )  # fmt: skip
        self.rate, self.seed, self.step = (
            self.target.input(self.fresh(name), (1,), dtype, kind=kind)
            for kind, name, dtype in kinds
        )

    def site_of(self, param: str) -> int:
        """The random bits of a param's updates, whatever part or format of it is trained."""
        return numerics.random_site(self.target.tensors[param].parameter)

    def param_of(self, gradient: str) -> str:
        """The parameter that this float gradient is of."""
        return self.params[gradient]

    def gradient(self, name: str) -> Gradient[str]:
        """What the float gradient `name` became."""
        return self.lowered[name]

    def alias(self, name: str, gradient: Gradient[str]) -> None:
        """The float gradient `name` became this gradient, which exists."""
        self.lowered[name] = gradient

    def enter(self, name: str) -> None:
        """The exponent of gradient `name` is the base of all others."""
        self.base = self.lowered[name].exponent

    def mask_of(self, name: str) -> str | None:
        """The mask that the producer of gradient `name` fuses: its only reader applies it.

        A gradient that is itself the result of a mask (a clamp behind a clamping layer) has no
        producer of its own to fuse a second mask into.
        """
        if has(self.source.producers()[name], Trait.MASK):
            return None
        readers = self.source.consumers()[name]
        if len(readers) == 1 and has(readers[0], Trait.MASK):
            return MaskGradient[str].of(readers[0].inputs).mask
        return None

    def rounding(self, name: str) -> Rounding[str]:
        """What a rounding op with result `name` reads besides its gradient; declares its offset."""
        tensor = Tensor(self.fresh(f"{name}.offset"), (1,), "i8", "state", kind="exponent_offset")
        offset = self.target.add_tensor(tensor, np.zeros(1, np.int8))
        return Rounding(self.base, offset, self.seed, self.step)

    def rounding_attrs(self, name: str) -> dict[str, Attr]:
        """How the result `name` of an op is rounded: exponent rule and random bits."""
        return {"rule": self.rule, "site": numerics.random_site(name)}

    def emit_gradient(
        self, op: str, name: str, operands: Operands[str], attrs: dict[str, Attr], factor: float,
        *, rounding: Rounding[str] | None = None,
    ) -> None:  # fmt: skip
        """Append an int8 gradient op whose outputs are codes, exponent and perhaps offset."""
        shape = self.source.tensors[name].shape
        outputs = [
            Tensor(name, shape, "i8", "value", Quant(factor=factor)),
            Tensor(self.fresh(f"{name}.exponent"), (1,), "i32"),
        ]
        if rounding:
            outputs.append(Tensor(self.fresh(f"{rounding.offset}.next"), (1,), "i8"))
            self.target.updates[rounding.offset] = outputs[2].name
        names = tuple(t.name for t in outputs)
        self.target.add_node(Node(op, operands.flat(), names, attrs), outputs)
        self.lowered[name] = Gradient(name, outputs[1].name)

    def apply_mask(self, name: str, mask: str) -> None:
        """Append an op of its own for a mask that no producer applies."""
        g = self.lowered[name]
        made = self.fresh(f"{name}.masked")
        source = self.target.tensors[g.codes]
        tensor = Tensor(made, source.shape, "i8", "value", source.quant)
        operands = MaskGradient(g.codes, mask)
        self.target.add_node(Node("q_mask_gradient", operands.flat(), (made,), {}), [tensor])
        self.lowered[name] = Gradient(made, g.exponent)

    def emit_update(
        self, op: str, operands: Operands[str], params: tuple[str, ...], attrs: dict[str, Attr]
    ) -> None:
        """Append what the optimiser makes of this SGD step of params."""
        self.optimizer.emit_update(self, op, operands, params, attrs)

    def emit_in_place(
        self, op: str, operands: Operands[str], written: tuple[str, ...], attrs: dict[str, Attr]
    ) -> tuple[str, ...]:
        """Append an op whose results take the memory of `written`; returns their names."""
        names = tuple(self.fresh(f"{name}.next") for name in written)
        tensors = [self.target.tensors[name] for name in written]
        outputs = [Tensor(n, t.shape, t.dtype) for n, t in zip(names, tensors, strict=True)]
        self.target.add_node(Node(op, operands.flat(), names, attrs), outputs)
        return names

    def finish(self, written: tuple[str, ...], values: tuple[str, ...]) -> None:
        """These values are what params and states hold after the step."""
        self.target.updates.update(zip(written, values, strict=True))

    def momentum_of(self, param: str) -> str:
        """Declare the velocity of a param: a state of its shape and type that starts at 0."""
        like = self.target.tensors[param]
        name = self.fresh(f"{param}.velocity")
        tensor = Tensor(name, like.shape, like.dtype, "state", kind="momentum")
        return self.target.add_tensor(tensor, np.zeros(like.shape, like.numpy))

    def copy(self, node: Node, operands: Operands[str] | None = None) -> None:
        """Append a node as it is, perhaps with other operands."""
        outputs = [self.source.tensors[name] for name in node.outputs]
        inputs = operands.flat() if operands else node.inputs
        self.target.add_node(Node(node.op, inputs, node.outputs, node.attrs), outputs)


def lower_gradients(
    graph: Graph,
    gradients: dict[str, str],
    bias_format: BiasFormat = "int32",
    rule: ExponentRule = "offset",
    *,
    optimizer: Optimizer,
) -> Graph:
    """The device's training graph: int8 gradients, updates in place, outputs logits and loss.

    `gradients` maps params to float gradients, as `differentiate` returns them; `optimizer` says
    how they become steps. Raises MicrotuneError naming a gradient op that has no int8 version.
    """
    target = verify(graph).copy()
    target.nodes = []
    target.outputs = [n for n in graph.outputs if graph.tensors[n].kind != "gradient"]
    target.tensors = {n: t for n, t in graph.tensors.items() if t.role != "value"}
    low = Lowering(
        graph, target, {g: p for p, g in gradients.items()}, bias_format, rule, optimizer
    )
    low.declare_inputs()
    for node in graph.nodes:
        lowering = OPS[node.op].lowering
        if lowering is not None:
            lowering(low, node)
        elif has(node, Trait.FLOAT):
            known = [name for name, op in OPS.items() if op.lowering and Trait.FLOAT in op.traits]
            raise MicrotuneError(f"op {node.op} has no int8 gradient; there are {known}")
        else:
            low.copy(node)
    return verify(remove_unused(target))


__all__ = ["BiasFormat", "ExponentRule", "Lowering", "lower_gradients"]
