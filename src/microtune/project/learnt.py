"""A trained state, as `mt_save` and `train --save` write it: read, check, and start from it."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from microtune.codegen import layout
from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.ir.graph import Array, Graph
from microtune.runtime.facts import SAVE_FORMAT_VERSION, SAVE_HEADER_BYTES
from microtune.training.head_origin import NEW, HeadOrigin
from microtune.training.scheme import AUTO, Scheme

# core/mt_save.c: magic, format, numerics, model and scheme hash, payload bytes, two checksums.
_HEADER = struct.Struct("<4sII32s32sIII")
_MAGIC = b"MTSV"
# Seed, step, learning rate, last loss.
_STATE = struct.Struct("<IIfi")
_AGAIN = "compile with the model, scheme, classes, formats and optimiser that it was learnt with"


@dataclass(frozen=True)
class Learnt:
    """A trained state: its bytes, its hash, its parts, and its file's name for messages."""

    sha256: str
    numerics_version: int
    model_sha256: str
    scheme_sha256: str
    content: bytes = field(repr=False)
    where: str

    @property
    def payload(self) -> bytes:
        """The bytes of parameters, offsets and state, without the header."""
        return self.content[SAVE_HEADER_BYTES:]

    @property
    def seed(self) -> int:
        """The seed of the random bits, with which training continues."""
        return int(_STATE.unpack(self.payload[-_STATE.size :])[0])

    @property
    def steps(self) -> int:
        """Training steps so far, rehearsal steps included, modulo 2^32."""
        return int(_STATE.unpack(self.payload[-_STATE.size :])[1])

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step; 0 if none was ever set."""
        return abs(float(_STATE.unpack(self.payload[-_STATE.size :])[2]))

    def values(self, slots: Sequence[layout.Slot], offsets: Sequence[str]) -> dict[str, Array]:
        """Trained parameters, velocities and gradient offsets by tensor name."""
        size = layout.block_bytes(slots)
        values = np.frombuffer(self.payload, np.int8, len(offsets), size)
        named = {name: np.array([v], np.int8) for name, v in zip(offsets, values, strict=True)}
        return layout.unpack_block(self.payload[:size], slots) | named

    def check(
        self, model_sha256: str, scheme: tuple[str, str], slots: Sequence[layout.Slot],
        offsets: Sequence[str],
    ) -> None:  # fmt: skip
        """Raise MicrotuneError if `mt_load` would refuse the state.

        It does so for another model, `scheme` (name, SHA-256), arithmetic or number format.
        """
        size = layout.block_bytes(slots) + len(offsets) + _STATE.size
        for wrong, what in (
            (self.model_sha256 != model_sha256, "by another model"),
            (self.scheme_sha256 != scheme[1],
             f"with another --head, or with another scheme than {_named(scheme[0])}"),
            (self.numerics_version != numerics.NUMERICS_VERSION,
             f"in arithmetic version {self.numerics_version}, this is "
             f"{numerics.NUMERICS_VERSION}"),
            (len(self.payload) != size,
             "for other classes, in other formats or with another optimiser "
             "(--classes, --bias, --head-format, --optimizer)"),
            (not slots, "with a scheme that trains something"),
        ):  # fmt: skip
            if wrong:
                raise MicrotuneError(f"{self.where} was learnt {what}; {_AGAIN}")


def _named(scheme: str) -> str:
    """A scheme in words; that of another choice has the same name."""
    if scheme != AUTO:
        return scheme
    return (
        f"{AUTO} chooses here, by --sram, --flash, --step-instructions, --target, --input, "
        "--schedule, --optimizer, --replay and the number of classes"
    )


def read_learnt(path: Path) -> Learnt:
    """Read a trained state that `train --save` or a device wrote.

    Raises MicrotuneError if the file is none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MicrotuneError(f"cannot read {path}: {error}") from error
    if len(content) < _HEADER.size or content[:4] != _MAGIC:
        raise MicrotuneError(f"{path} is no saved state; `train --save` and mt_save write one")
    fields = _HEADER.unpack_from(content)
    version, arithmetic, model, scheme, size, sums, header_sum = fields[1:]
    if version != SAVE_FORMAT_VERSION:
        raise MicrotuneError(
            f"{path}: format version {version} is unknown; known is {SAVE_FORMAT_VERSION}"
        )
    payload = content[_HEADER.size : _HEADER.size + size]
    whole = len(payload) == size >= _STATE.size and zlib.crc32(payload) == sums
    if zlib.crc32(content[: _HEADER.size - 4]) != header_sum or not whole:
        raise MicrotuneError(f"{path} is damaged or cut short: its checksum does not fit")
    content = content[: _HEADER.size + size]  # a sector of flash has more
    return Learnt(
        hashlib.sha256(content).hexdigest(), arithmetic, model.hex(), scheme.hex(), content,
        str(path),
    )  # fmt: skip


def start_from(
    graph: Graph, learnt: Learnt, model_sha256: str, scheme: Scheme, head: HeadOrigin = NEW
) -> None:
    """Set the graph's parameters and gradient offsets to a trained state.

    Raises MicrotuneError for what `mt_load` would refuse: another model, scheme, arithmetic or
    number format.
    """
    slots, offsets = layout.parameter_slots(graph), layout.offset_names(graph)
    learnt.check(model_sha256, (scheme.name, scheme.sha256(head)), slots, offsets)
    graph.data.update(learnt.values(slots, offsets))
