"""Momentum: velocities in fixed point move the parameters (docs/numerics.md, "Momentum").

The velocity of a parameter has the parameter's shape and element type. The update op of SGD writes
its step into the velocity; `momentum_step` then moves the parameter by it and lets it decay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microtune.ir import numerics
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops.common import as_ohwi, scalar
from microtune.ir.ops.operands import Operands, T
from microtune.ir.ops.parameter_update import parameter_index
from microtune.ir.ops.registry import Context, ShapeList, Trait, op

UNIT_BITS = 16  # a decay of 2^16 would be 1


@dataclass(frozen=True)
class MomentumStep(Operands[T]):
    """Operands of momentum_step; `order` lists the original channels of a partly trained weight."""

    value: T
    velocity: T
    seed: T
    step: T
    order: T | None


def trained_param(graph: Graph, name: str) -> str:
    """The param that `name` is, or whose velocity it is."""
    if graph.tensors[name].role == "param":
        return name
    made = graph.producers()[graph.updates[name]]
    return MomentumStep[str].of(made.inputs).value


def value_limit(dtype: npt.DTypeLike) -> int:
    """The largest code of a trained parameter of this integer type; velocities have the same."""
    return {"i1": 127, "i2": 32767, "i4": numerics.BIAS_MAX}[np.dtype(dtype).str[1:]]


def _shapes(graph: Graph, node: Node) -> ShapeList:
    o = MomentumStep[str].of(node.inputs)
    value, velocity = graph.tensors[o.value], graph.tensors[o.velocity]
    if (value.shape, value.dtype) != (velocity.shape, velocity.dtype):
        raise ValueError(f"the velocity of {o.value} is {velocity.dtype}{list(velocity.shape)}")
    return [(value.shape, value.dtype), (velocity.shape, velocity.dtype)]


def element_index(shape: tuple[int, ...], order: Array | None, groups: int) -> Array:
    """Index of the random bits of each element of a weight, or of a bias (one axis)."""
    if len(shape) == 1:
        return np.arange(shape[0], dtype=np.int64)
    whole = as_ohwi(np.empty(shape, np.int8)).shape
    return parameter_index(whole, order, groups).reshape(shape)


@op(
    "momentum_step", MomentumStep, _shapes, Trait.UPDATE, attrs="decay unit site groups",
    optional="tied",
    writes=("value", "velocity"),
)  # fmt: skip
def momentum_step(ctx: Context, o: MomentumStep[Array]) -> list[Array]:
    """Next value w + v/2^unit and next velocity v·decay/2^16, each rounded stochastically."""
    decay, unit = ctx.node.int("decay"), ctx.node.int("unit")
    if o.value.dtype == np.float32:
        return [o.value + o.velocity, o.velocity * np.float32(decay / 2**UNIT_BITS)]
    index = element_index(o.value.shape, o.order, ctx.node.int("groups"))
    if "tied" in ctx.node.attrs:
        index = index % (o.value.size // ctx.node.int("tied"))
    key = numerics.random_key(scalar(o.seed), scalar(o.step), ctx.node.int("site"))
    word = numerics.random_word(key, index).astype(np.int64)
    v, limit = o.velocity.astype(np.int64), value_limit(o.value.dtype)
    moved = numerics.apply_step(
        o.value.astype(np.int64), -(v << (UNIT_BITS - unit)), word & 0xFFFF, limit
    )
    left = (v * decay + (word >> 16)) >> UNIT_BITS
    return [moved.astype(o.value.dtype), left.astype(o.velocity.dtype)]
