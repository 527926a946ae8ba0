"""Sizes as users write them."""

from __future__ import annotations

import re

from microtune.errors import MicrotuneError


def parse_bytes(size: str | int) -> int:
    """ "256KB", "1MB" or a number of bytes (1 KB = 1024 B). Raises MicrotuneError."""
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    text = size.strip().upper() if isinstance(size, str) else ""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|KB|KIB|MB|MIB)?", text)
    if match is None:
        raise MicrotuneError(f"{size!r} is not a size; write for instance 256KB or 1MB")
    unit = {"K": 1024, "M": 1024**2}.get((match[2] or "B")[0], 1)
    return int(float(match[1]) * unit)
