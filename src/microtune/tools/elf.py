"""A small reader of 32-bit little-endian ELF files: sections and symbols, nothing else."""

import struct
from dataclasses import dataclass
from pathlib import Path

from microtune.errors import MicrotuneError

_SYMBOL_TABLE = 2
_NO_BITS = 8
_FUNCTION, _FILE = 2, 4
_ALLOCATED = 0x2


@dataclass(frozen=True)
class Section:
    """One section of an ELF file, with its content.

    `bytes` is its size in memory, `in_image` says whether the file holds its content.
    """

    name: str
    address: int
    bytes: int
    allocated: bool
    in_image: bool


@dataclass(frozen=True)
class Function:
    """A function: its first address without the Thumb bit, and its source file ("" if global)."""

    name: str
    address: int
    bytes: int
    file: str


@dataclass(frozen=True)
class ElfFile:
    """An ELF file: sections in file order, symbol values by name, functions in the table's
    order."""

    sections: tuple[Section, ...]
    symbols: dict[str, int]
    functions: tuple[Function, ...]


def read_elf(path: Path) -> ElfFile:
    """Read the sections and symbols of a file.

    Raises MicrotuneError if it is no 32-bit little-endian ELF file.
    """
    data = path.read_bytes()
    if len(data) < 52 or data[:6] != b"\x7fELF\x01\x01":
        raise MicrotuneError(f"{path}: not a 32-bit little-endian ELF file. Build it again.")
    try:
        return _parse(data)
    except (struct.error, IndexError, ValueError) as error:
        raise MicrotuneError(f"{path}: damaged ELF file ({error}). Build it again.") from error


def memory_image(path: Path) -> list[tuple[int, bytes]]:
    """(address, content) of every section that lies in memory and in the file."""
    data = path.read_bytes()
    return [
        (header[3], data[header[4] : header[4] + header[5]])
        for header in _headers(data)
        if header[1] != _NO_BITS and header[2] & _ALLOCATED
    ]


def _headers(data: bytes) -> list[tuple[int, ...]]:
    (table,) = struct.unpack_from("<I", data, 32)
    entry_bytes, count = struct.unpack_from("<HH", data, 46)
    return [struct.unpack_from("<10I", data, table + index * entry_bytes) for index in range(count)]


def _parse(data: bytes) -> ElfFile:
    headers = _headers(data)
    names = headers[struct.unpack_from("<H", data, 50)[0]][4]
    sections = tuple(
        Section(
            name=_string(data, names + header[0]),
            address=header[3],
            bytes=header[5],
            allocated=bool(header[2] & _ALLOCATED),
            in_image=header[1] != _NO_BITS,
        )
        for header in headers
    )
    symbols: dict[str, int] = {}
    functions: list[Function] = []
    for header in headers:
        if header[1] == _SYMBOL_TABLE:
            _symbols(data, header[4:6], headers[header[6]][4], symbols, functions)
    return ElfFile(sections, symbols, tuple(functions))


def _symbols(
    data: bytes, place: tuple[int, ...], strings: int, symbols: dict[str, int],
    functions: list[Function],
) -> None:  # fmt: skip
    """Read the table at `place` (offset, bytes). A file's local symbols follow its own."""
    offset, size = place
    file = ""
    for name, value, length, info, *_ in struct.iter_unpack(
        "<IIIBBH", data[offset : offset + size]
    ):
        if not name:
            continue
        text = _string(data, strings + name)
        symbols[text] = value
        if info & 15 == _FILE:
            file = text
        elif info & 15 == _FUNCTION:
            functions.append(Function(text, value & ~1, length, "" if info >> 4 else file))


def _string(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode("utf-8", "replace")
