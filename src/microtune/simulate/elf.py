"""A small reader of 32-bit little-endian ELF files: sections and symbols, nothing else."""

import struct
from dataclasses import dataclass
from pathlib import Path

from microtune.errors import MicrotuneError

_SYMBOL_TABLE = 2
_NO_BITS = 8
_ALLOCATED = 0x2


@dataclass(frozen=True)
class Section:
    """One section; `bytes` is its size in memory, `in_image` whether the file holds it."""

    name: str
    address: int
    bytes: int
    allocated: bool
    in_image: bool


@dataclass(frozen=True)
class ElfFile:
    """Sections in file order and symbol values by name."""

    sections: tuple[Section, ...]
    symbols: dict[str, int]


def read_elf(path: Path) -> ElfFile:
    """Sections and symbols of `path`; anything but an ELF32 little-endian file is an error."""
    data = path.read_bytes()
    if len(data) < 52 or data[:6] != b"\x7fELF\x01\x01":
        raise MicrotuneError(f"{path}: not a 32-bit little-endian ELF file. Build it again.")
    try:
        return _parse(data)
    except (struct.error, IndexError, ValueError) as error:
        raise MicrotuneError(f"{path}: damaged ELF file ({error}). Build it again.") from error


def _parse(data: bytes) -> ElfFile:
    (table,) = struct.unpack_from("<I", data, 32)
    entry_bytes, count, names_index = struct.unpack_from("<HHH", data, 46)
    headers = [
        struct.unpack_from("<10I", data, table + index * entry_bytes) for index in range(count)
    ]
    names = headers[names_index][4]
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
    for header in headers:
        if header[1] == _SYMBOL_TABLE:
            symbols |= _symbols(data, header[4], header[5], headers[header[6]][4])
    return ElfFile(sections, symbols)


def _symbols(data: bytes, offset: int, size: int, strings: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value, *_ in struct.iter_unpack("<IIIBBH", data[offset : offset + size]):
        if name:
            found[_string(data, strings + name)] = value
    return found


def _string(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode("utf-8", "replace")
