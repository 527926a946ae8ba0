"""Canonical hashes: independent of layout, plan, scheme permutation and target.

Tensors by graph name, elements in the original O-I-H-W order, biases as effective int32,
little-endian (docs/numerics.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from microtune.ir.graph import Array, Graph
from microtune.ir.ops import Trait, with_trait
from microtune.ir.ops.convolution import bias_deltas
from microtune.ir.ops.layer import layer_of, merge_channels

_Q16 = 65536.0


def canonical_parameters(graph: Graph, data: Mapping[str, Array]) -> dict[str, Array]:
    """Trained parameters by graph name: whole weights as O-I-H-W, effective biases.

    `graph` is a training graph, `data` its params (frozen parts come from the graph).
    """
    result: dict[str, Array] = {}
    deltas = bias_deltas(graph)
    layers = [(node, layer_of(node)) for node in with_trait(graph, Trait.LAYER)]
    splits = {o.split.trained: (node, o.weight, o.split.order) for node, o in layers if o.split}
    for tensor in graph.with_role("param"):
        value = data[tensor.name]
        if tensor.name in splits:
            node, frozen, order = splits[tensor.name]
            groups = node.int("groups")
            value = merge_channels(graph.data[frozen], value, graph.data[order], groups)
        elif tensor.name in deltas:
            base, shift = deltas[tensor.name]
            value = graph.data[base] + (value.astype(np.int32) << shift)
        result[tensor.parameter] = value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
    return dict(sorted(result.items()))


def parameters_sha256(graph: Graph, data: Mapping[str, Array]) -> str:
    """The canonical SHA-256 of all trained parameters, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in canonical_parameters(graph, data).items():
        digest.update(name.encode() + b"\0")
        digest.update(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def real_outputs(graph: Graph, words: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """The outputs of a head as real numbers, from the words that the C and numpy give.

    `graph` is a training graph, whose head has float32 outputs or int32 with 16 fraction bits.
    """
    real = words.view(np.float32) if graph.output_tensor.dtype == "f32" else words / _Q16
    return real.astype(np.float64)


class LogitsHash:
    """Running SHA-256 of the logits of every training step, in order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, logits: Array) -> None:
        """Add one step's logits (int32 or float32)."""
        little = logits.reshape(-1).astype(logits.dtype.newbyteorder("<"))
        self._digest.update(little.tobytes())

    def hexdigest(self) -> str:
        """The hash of all logits so far, in hexadecimal digits."""
        return self._digest.hexdigest()
