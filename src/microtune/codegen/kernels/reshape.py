"""Reshape: nothing runs (`ir/ops/reshape.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter
from microtune.codegen.kernels.registry import kernel
from microtune.ir.graph import Node


@kernel("reshape", "reshape")
def _reshape(e: Emitter, node: Node) -> None:
    """A view."""
