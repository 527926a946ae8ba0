"""What a family's file of cases says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.training.graphs import RandomGraph

# (oracle, node, operands as float64 tensors of codes) -> result, a tensor that autograd can follow.
TorchMeaning = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class OpCase:
    """A family of ops in random graphs.

    `grow(graph, x)` appends one op of the family behind tensor `x`, of any attributes that it may
    have, and returns its result; it adds what is hard to `graph.tags`, which must come to hold all
    of `tags`. `torch` is PyTorch's reading of each forward op: codes as the graph computes them,
    gradients by autograd.
    """

    name: str
    grow: Callable[[RandomGraph, str], str]
    torch: Mapping[str, TorchMeaning]
    tags: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.name
