"""Bytes of scratch that each kernel needs (the formulas of `mt_kernels_*.h`)."""

from __future__ import annotations

from collections.abc import Callable

from microtune.codegen.kernels import KERNELS
from microtune.ir.graph import Graph, Node


def scratch_rule(graph: Graph) -> Callable[[Node], int]:
    """The function node -> scratch bytes for this graph; 0 for an op without a kernel."""

    def scratch_bytes(node: Node) -> int:
        entry = KERNELS.get(node.op)
        return entry.scratch(graph, node) if entry else 0

    return scratch_bytes
