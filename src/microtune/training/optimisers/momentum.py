"""SGD with momentum: a velocity of the parameter's format for each parameter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.ir.graph import Attr, Tensor
from microtune.ir.ops.momentum import UNIT_BITS, MomentumStep
from microtune.ir.ops.operands import Operands
from microtune.ir.ops.rules import Lowering

# The unit of a velocity is 2^-n of its parameter's: an int8 weight moves by at most 127/128 code a
# step, an int16 bias by 512, a weight of the int16 head by 1 in real numbers (docs/numerics.md).
WEIGHT_UNIT = 7
NARROW_BIAS_UNIT = 6
HEAD_UNIT = 2
WIDE_BIAS_UNIT = 4


def unit_of(tensor: Tensor) -> int:
    """The n of a parameter, by its format."""
    if tensor.dtype == "i16":
        return HEAD_UNIT if len(tensor.shape) > 1 else NARROW_BIAS_UNIT
    return {"i8": WEIGHT_UNIT, "i32": WIDE_BIAS_UNIT, "f32": 0}[tensor.dtype]


@dataclass(frozen=True)
class Momentum:
    """Per step v ← v - lr·g, then w ← w + v, then v ← decay/2^16 · v."""

    decay: int
    name: str = "momentum"

    @staticmethod
    def of(momentum: float) -> Momentum:
        """Momentum that keeps this share of the velocity. Raises MicrotuneError unless it lies
        between 0 and 1 after rounding to 2^-16."""
        decay = round(momentum * 2**UNIT_BITS) if 0 < momentum < 1 else 0
        if not 0 < decay < 2**UNIT_BITS:
            raise MicrotuneError(f"momentum {momentum:g}: give a number between 0 and 1")
        return Momentum(decay)

    @property
    def momentum(self) -> float:
        """The share of the velocity that a step keeps."""
        return self.decay / (1 << UNIT_BITS)

    def emit_update(
        self, low: Lowering, op: str, operands: Operands[str], params: tuple[str, ...],
        attrs: dict[str, Attr],
    ) -> None:  # fmt: skip
        """Append the step of the velocities of `params`, then that of each param."""
        velocities = {param: low.momentum_of(param) for param in params}
        units = {param: unit_of(low.target.tensors[param]) for param in params}
        fields: dict[str, Any] = {
            path: velocities[name] for path, name in operands.names() if name in velocities
        }
        stepped = low.emit_in_place(
            op, replace(operands, **fields), tuple(velocities.values()),
            attrs | {"units": list(units.values())},
        )  # fmt: skip
        order: str | None = dict(operands.names()).get("order")
        for param, velocity in zip(params, stepped, strict=True):
            step = MomentumStep(param, velocity, low.seed, low.step, order)
            written = (param, velocities[param])
            site = numerics.random_site(f"{low.target.tensors[param].parameter}.velocity")
            tied: dict[str, Attr] = {"tied": attrs["tied"]} if "tied" in attrs else {}
            values = low.emit_in_place("momentum_step", step, written, tied | {
                "decay": self.decay, "unit": units[param], "site": site,
                "groups": attrs.get("groups", 1),
            })  # fmt: skip
            low.finish(written, values)
