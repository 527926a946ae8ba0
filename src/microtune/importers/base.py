"""The protocol of importers, and the error for nodes that cannot be imported."""

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
        """The name of the format, for lists of known formats."""

    def sniff(self, start: bytes, path: Path) -> bool:
        """Whether the file has this format, whatever its name; `start` are its first SNIFFED bytes.

        True for a damaged file of the format too: `load` then says what is wrong.
        """

    def load(self, path: Path) -> ModelFile:
        """Read and verify the model of a file.

        Raises UnsupportedError with all nodes that cannot be imported, and MicrotuneError for a
        damaged file.
        """


@dataclass(frozen=True)
class Unsupported:
    """A node that cannot be imported: its name, the reason, and what to do instead.

    `frozen_possible` says whether the node could be used before the first trained layer.
    """

    node: str
    why: str
    instead: str
    frozen_possible: bool = False


class CannotError(Exception):
    """An operator cannot be taken: why, and what to do instead."""

    def __init__(self, why: str, instead: str, *, frozen_possible: bool = False) -> None:
        super().__init__(why)
        self.why, self.instead, self.frozen_possible = why, instead, frozen_possible


class UnsupportedError(MicrotuneError):
    """A model has nodes that cannot be imported.

    `problems` has all of them; the message has them as a table.
    """

    def __init__(self, path: Path, problems: Sequence[Unsupported]) -> None:
        self.path, self.problems = path, tuple(problems)
        super().__init__(f"{path}: {_table(self.problems)}")


def _table(problems: Sequence[Unsupported]) -> str:
    """The problems as a table of three columns, below a sentence."""
    count = len(problems)
    head = f"{count} node{'s' * (count > 1)} of the model cannot be taken"
    rows = [("node", "why", "instead")]
    for one in problems:
        frozen = " (possible where nothing before it is trained)" if one.frozen_possible else ""
        rows.append((one.node, one.why, one.instead + frozen))
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"  {node:<{wide[0]}}  {why:<{wide[1]}}  {instead}" for node, why, instead in rows]
    return "\n".join([head, *lines])


def licence_beside(path: Path) -> str:
    """The text of a file LICENSE beside the model, or a sentence that there is none."""
    beside = path.with_name("LICENSE")
    if beside.is_file():
        return beside.read_text(encoding="utf-8", errors="replace")
    return "The licence of these weights was not found beside the imported file.\n"


def zip_members(start: bytes, path: Path) -> set[str]:
    """The names of the members of a zip; empty if it is none.

    Of a damaged zip only the first name is known, from its first bytes.
    """
    if not start.startswith(_LOCAL_HEADER):
        return set()
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError):
        length = int.from_bytes(start[_NAME_LENGTH], "little")
        return {start[_NAME_AT : _NAME_AT + length].decode("utf-8", "replace")}
