"""int8 gradients as values: what belongs together of what the nodes of a step make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microtune.ir.graph import Graph


@dataclass(frozen=True)
class GradientValue:
    """An int8 gradient: real = codes·factor·2^exponent (docs/numerics.md, "Gradients").

    `codes` is an int8 tensor with its factor, `exponent` an int32 tensor (1,) and `offset` the
    state (int8 (1,)) that the exponent rule learns; None where the exponent follows from others.
    """

    codes: str
    exponent: str
    offset: str | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """(codes, exponent), as ops take a gradient."""
        return self.codes, self.exponent


def rounded_gradients(graph: Graph) -> list[GradientValue]:
    """The gradients that have an offset of their own, in the order of the offsets' updates."""
    producers = graph.producers()
    found: list[GradientValue] = []
    for state, value in graph.updates.items():
        if graph.tensors[state].kind == "exponent_offset":
            codes, exponent = producers[value].outputs[:2]
            found.append(GradientValue(codes, exponent, state))
    return found
