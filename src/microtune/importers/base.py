"""What an importer is, and how it says what it cannot take."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile

# Bytes from a file's beginning that `sniff` gets.
SNIFFED = 512
_LOCAL_HEADER, _NAME_LENGTH, _NAME_AT = b"PK\x03\x04", slice(26, 28), 30


class Importer(Protocol):
    """A reader of one format of model files."""

    @property
    def format(self) -> str:
        """The format in words, for lists of known formats."""

    def sniff(self, start: bytes, path: Path) -> bool:
        """Whether this is a file of the format, however it is called; `start` are its first
        SNIFFED bytes. A damaged file of the format counts too: `load` says what is wrong."""

    def load(self, path: Path) -> ModelFile:
        """The model, verified. Raises MicrotuneError: `UnsupportedError` with all nodes of the
        file that cannot be taken, or what is damaged."""


@dataclass(frozen=True)
class Unsupported:
    """A node of a model file that cannot be taken: which, why, and what to do instead.

    `frozen_possible`: whether the node could stand in front of all that is trained.
    """

    node: str
    why: str
    instead: str
    frozen_possible: bool = False


class UnsupportedError(MicrotuneError):
    """A model has nodes that cannot be taken: `problems` has all of them, and so has the message,
    as a table."""

    def __init__(self, path: Path, problems: Sequence[Unsupported]) -> None:
        self.path, self.problems = path, tuple(problems)
        super().__init__(f"{path}: {_table(self.problems)}")


def _table(problems: Sequence[Unsupported]) -> str:
    """The problems as lines of three columns below a sentence."""
    count = len(problems)
    head = f"{count} node{'s' * (count > 1)} of the model cannot be taken"
    rows = [("node", "why", "instead")]
    for one in problems:
        frozen = " (possible where nothing before it is trained)" if one.frozen_possible else ""
        rows.append((one.node, one.why, one.instead + frozen))
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"  {node:<{wide[0]}}  {why:<{wide[1]}}  {instead}" for node, why, instead in rows]
    return "\n".join([head, *lines])


def zip_members(start: bytes, path: Path) -> set[str]:
    """Names in a zip; of a damaged one the first, which its first bytes have; empty: no zip."""
    if not start.startswith(_LOCAL_HEADER):
        return set()
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError):
        length = int.from_bytes(start[_NAME_LENGTH], "little")
        return {start[_NAME_AT : _NAME_AT + length].decode("utf-8", "replace")}
