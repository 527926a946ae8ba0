"""What `mt_save` and `train --save` write, as the initial state of a new project."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from microtune.codegen import layout
from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.ir.graph import Graph
from microtune.training.scheme import Scheme

# core/mt_save.c: magic, format, numerics, model and scheme hash, payload bytes, two checksums.
_HEADER = struct.Struct("<4sII32s32sIII")
_MAGIC, _FORMAT = b"MTSV", 1
_STATE_BYTES = 16
_AGAIN = "compile with the model, scheme, classes and formats that it was learnt with"


@dataclass(frozen=True)
class Learnt:
    """A saved state: its hash, its parts, and where it came from (for messages)."""

    sha256: str
    numerics_version: int
    model_sha256: str
    scheme_sha256: str
    payload: bytes = field(repr=False)
    steps: int
    where: str


def read_learnt(path: Path) -> Learnt:
    """Read a file that `train --save` or a device wrote. Raises MicrotuneError if it is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MicrotuneError(f"cannot read {path}: {error}") from error
    if len(content) < _HEADER.size or content[:4] != _MAGIC:
        raise MicrotuneError(f"{path} is no saved state; `train --save` and mt_save write one")
    fields = _HEADER.unpack_from(content)
    version, arithmetic, model, scheme, size, sums, header_sum = fields[1:]
    if version != _FORMAT:
        raise MicrotuneError(f"{path}: format version {version} is unknown; known is {_FORMAT}")
    payload = content[_HEADER.size : _HEADER.size + size]
    whole = len(payload) == size >= _STATE_BYTES and zlib.crc32(payload) == sums
    if zlib.crc32(content[: _HEADER.size - 4]) != header_sum or not whole:
        raise MicrotuneError(f"{path} is damaged or cut short: its checksum does not fit")
    steps = int.from_bytes(payload[4 - _STATE_BYTES : 8 - _STATE_BYTES], "little")
    return Learnt(
        hashlib.sha256(content).hexdigest(), arithmetic, model.hex(), scheme.hex(), payload, steps,
        str(path),
    )  # fmt: skip


def start_from(graph: Graph, learnt: Learnt, model_sha256: str, scheme: Scheme) -> None:
    """Give the graph's params and gradient offsets the values that were learnt.

    Refuses what mt_load would refuse: another model, scheme, arithmetic or number format.
    """
    slots, offsets = layout.parameter_slots(graph), layout.offset_names(graph)
    size = layout.block_bytes(slots)
    for wrong, what in (
        (learnt.model_sha256 != model_sha256, "by another model"),
        (learnt.scheme_sha256 != scheme.sha256(), f"with another scheme than {scheme.name}"),
        (learnt.numerics_version != numerics.NUMERICS_VERSION,
         f"in arithmetic version {learnt.numerics_version}, this is "
         f"{numerics.NUMERICS_VERSION}"),
        (len(learnt.payload) != size + len(offsets) + _STATE_BYTES,
         "for other classes or in other formats (--classes, --bias, --head)"),
        (not slots, "with a scheme that trains something"),
    ):  # fmt: skip
        if wrong:
            raise MicrotuneError(f"{learnt.where} was learnt {what}; {_AGAIN}")
    graph.data.update(layout.unpack_block(learnt.payload[:size], slots))
    for name, value in zip(offsets, np.frombuffer(learnt.payload, np.int8, len(offsets), size),
                           strict=True):  # fmt: skip
        graph.data[name] = np.full_like(graph.data[name], value)
