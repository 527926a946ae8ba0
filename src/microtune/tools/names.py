"""Names of files and classes: their order, their meaning, and how they are shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

SPLITS = ("train", "val", "test")
_MEANINGS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_SYSTEM = frozenset({
    "__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "@recently-snapshot", "lost+found",
    "$recycle.bin", "system volume information", "__pycache__", "thumbs.db", "ehthumbs.db",
    "desktop.ini", "icon\r",
})  # fmt: skip
# Control characters, and those that turn the direction of a line or break it.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def split_of(folder: str) -> str | None:
    """ "train", "val" or "test" for a folder's name in any case, None for another name."""
    return _MEANINGS.get(folder.lower())


def is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to the system: its name starts with a dot, or is one that
    Windows, macOS, a NAS or Python leaves behind."""
    return name.startswith(".") or name.lower() in _SYSTEM


def natural(name: str) -> tuple[str, bytes]:
    """A sort key: runs of the digits 0-9 by value, all else by code point, equal names by bytes.

    Capitals come before small letters. The order is the same on every machine and in every locale.
    """

    def by_value(run: re.Match[str]) -> str:
        digits = run.group().lstrip("0")
        return f"0{chr(min(len(digits), 0xD7FF))}{digits}"

    return re.sub(r"[0-9]+", by_value, name), to_bytes(name)


def to_bytes(name: str) -> bytes:
    """The bytes that a decoded file name was made of: `from_bytes` reversed.

    Other strings are encoded as UTF-8, unpaired surrogates included.
    """
    return name.encode("utf-8", "surrogateescape" if _escaped(name) else "surrogatepass")


def _escaped(name: str) -> bool:
    return all(not 0xD800 <= ord(c) <= 0xDFFF or 0xDC80 <= ord(c) <= 0xDCFF for c in name)


def from_bytes(name: bytes) -> str:
    """A file name as text; bytes that are not UTF-8 become unpaired surrogates."""
    return name.decode("utf-8", "surrogateescape")


def printable(name: str) -> str:
    """A name that every terminal, table and JSON text accepts.

    Control characters and bytes that are not UTF-8 are shown as "\\xe9".
    """

    def escape(found: re.Match[str]) -> str:
        code = ord(found.group())
        if 0xDC80 <= code <= 0xDCFF:
            code -= 0xDC00
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

    return _UNSAFE.sub(escape, name)


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for a message: the first ones, and how many more there are."""
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(printable(name) for name in names[:most]) + more


def look_alikes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ only in case or in how Unicode stores their accents."""
    seen: dict[str, str] = {}
    pairs = []
    for name in names:
        folded = alike(name)
        if folded in seen:
            pairs.append((seen[folded], name))
        seen.setdefault(folded, name)
    return pairs


def alike(name: str) -> str:
    """A key that is equal for names that differ only in case or in how Unicode stores accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
