"""SGD: each gradient is a step."""

from __future__ import annotations

from dataclasses import dataclass

from microtune.ir.graph import Attr
from microtune.ir.ops.operands import Operands
from microtune.ir.ops.rules import Lowering


@dataclass(frozen=True)
class SGD:
    """Per step w ← w - lr·g: no state, no further bytes."""

    name: str = "sgd"
    momentum: float | None = None

    def emit_update(
        self, low: Lowering, op: str, operands: Operands[str], params: tuple[str, ...],
        attrs: dict[str, Attr],
    ) -> None:  # fmt: skip
        """Append the step as it is, in place of `params`."""
        low.finish(params, low.emit_in_place(op, operands, params, attrs))
