"""How tensors lie in C: weight layouts, the trained parameter block, the gradient offsets.

Dense and grouped weights keep O·KH·KW·I; depthwise weights lie as KH·KW·O, so that channels are
contiguous in the innermost loop of the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from microtune.ir.graph import DTYPES, Array, Graph
from microtune.ir.ops import Trait, with_trait
from microtune.ir.ops.layer import is_depthwise, layer_of
from microtune.ir.ops.momentum import trained_param

ALIGNMENT = 8


@dataclass(frozen=True)
class Slot:
    """One trained parameter in the block: byte offset, element type, shape, C layout."""

    name: str
    offset: int
    bytes: int
    dtype: str
    shape: tuple[int, ...]
    depthwise: bool

    def to_json(self) -> dict[str, Any]:
        """The slot as plan.json stores it."""
        return asdict(self) | {"shape": list(self.shape)}

    @staticmethod
    def from_json(entry: dict[str, Any]) -> Slot:
        """The slot that `to_json` wrote to plan.json."""
        return Slot(**(entry | {"shape": tuple(entry["shape"])}))


def depthwise_weights(graph: Graph) -> set[str]:
    """Names of weight tensors (whole, frozen or trained part) of depthwise convolutions."""
    names: set[str] = set()
    for node in with_trait(graph, Trait.LAYER):
        o = layer_of(node)
        if is_depthwise(graph, node):
            names |= {o.weight, *([o.split.trained] if o.split else [])}
    return names | {v for v in momentum_names(graph) if trained_param(graph, v) in names}


def to_c(array: Array, depthwise: bool) -> Array:
    """The array in its C order (flattening it gives the bytes in memory)."""
    if depthwise:
        return np.ascontiguousarray(array[..., 0].transpose(1, 2, 0))
    return np.ascontiguousarray(array)


def from_c(flat: Array, slot: Slot) -> Array:
    """The reverse of `to_c` for a parameter of the block."""
    if slot.depthwise:
        o, kh, kw, _ = slot.shape
        return np.ascontiguousarray(flat.reshape(kh, kw, o).transpose(2, 0, 1)[..., None])
    return flat.reshape(slot.shape)


def parameter_slots(graph: Graph) -> list[Slot]:
    """The trained parameter block, in order of declaration, 8-byte aligned.

    Parameters come first, the velocities of the optimiser after them: both are saved and loaded.
    """
    depthwise = depthwise_weights(graph)
    slots: list[Slot] = []
    offset = 0
    velocities = [graph.tensors[name] for name in momentum_names(graph)]
    for tensor in (*graph.with_role("param"), *velocities):
        size = tensor.bytes
        slots.append(
            Slot(tensor.name, offset, size, tensor.dtype, tensor.shape, tensor.name in depthwise)
        )
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    return slots


def block_bytes(slots: Sequence[Slot]) -> int:
    """Bytes of the block, a multiple of 8."""
    if not slots:
        return 0
    end = slots[-1].offset + slots[-1].bytes
    return -(-end // ALIGNMENT) * ALIGNMENT


def unpack_block(block: bytes, slots: Sequence[Slot]) -> dict[str, Array]:
    """The parameters by name from the bytes of the block (little-endian)."""
    result: dict[str, Array] = {}
    for slot in slots:
        dtype = np.dtype(DTYPES[slot.dtype][0]).newbyteorder("<")
        count = int(np.prod(slot.shape, dtype=np.int64))
        flat = np.frombuffer(block, dtype, count, slot.offset)
        result[slot.name] = from_c(flat.astype(DTYPES[slot.dtype][0]), slot)
    return result


def offset_names(graph: Graph) -> list[str]:
    """The gradient offsets in the order of the context's array."""
    return [t.name for t in graph.with_role("state") if t.kind == "exponent_offset"]


def momentum_names(graph: Graph) -> list[str]:
    """The velocities of the trained parameters in order of declaration; none without momentum."""
    return [t.name for t in graph.with_role("state") if t.kind == "momentum"]


def momentum_bytes(graph: Graph) -> int:
    """Bytes of the parameter block that are velocities."""
    slots, names = parameter_slots(graph), set(momentum_names(graph))
    return block_bytes(slots) - block_bytes([slot for slot in slots if slot.name not in names])
