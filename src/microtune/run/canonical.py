"""Canonical hashes: independent of layout, plan, scheme permutation and target.

Tensors by graph name, elements in the original O-I-H-W order, biases as effective int32,
little-endian (docs/numerics.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from microtune.ir.graph import Array, Graph
from microtune.ir.ops.forward import merge_channels


def canonical_parameters(graph: Graph, data: Mapping[str, Array]) -> dict[str, Array]:
    """Trained parameters by graph name: whole weights as O-I-H-W, effective biases.

    `graph` is a training graph, `data` its params (frozen parts come from the graph).
    """
    result: dict[str, Array] = {}
    deltas = {n.inputs[1]: n for n in graph.nodes if n.op == "bias_from_delta"}
    splits = {n.inputs[3]: n for n in graph.nodes if n.op == "conv2d" and len(n.inputs) > 3}
    for tensor in graph.with_role("param"):
        value = data[tensor.name]
        if node := splits.get(tensor.name):
            frozen, order = graph.data[node.inputs[1]], graph.data[node.inputs[4]]
            value = merge_channels(frozen, value, order, node.int("groups"))
        elif node := deltas.get(tensor.name):
            delta = value.astype(np.int32) << node.int("shift")
            value = graph.data[node.inputs[0]] + delta
        result[tensor.parameter] = value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
    return dict(sorted(result.items()))


def parameters_sha256(graph: Graph, data: Mapping[str, Array]) -> str:
    """Canonical SHA-256 of all trained parameters."""
    digest = hashlib.sha256()
    for name, value in canonical_parameters(graph, data).items():
        digest.update(name.encode() + b"\0")
        digest.update(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


class LogitsHash:
    """Running SHA-256 of the logits of every training step, in order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, logits: Array) -> None:
        """Add one step's logits (int32 or float32)."""
        little = logits.reshape(-1).astype(logits.dtype.newbyteorder("<"))
        self._digest.update(little.tobytes())

    def hexdigest(self) -> str:
        """The hash so far."""
        return self._digest.hexdigest()
