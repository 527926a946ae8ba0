"""Packing hard instances: each greedy key, the best of them with repair, and the solver.

Instances have the shape of the public minimalloc set: 154 to 454 buffers, a few large ones of short
life among many small ones of long life, memory all but full over the whole time. They are cut
from a full rectangle, so a packing without any waste exists and the lower bound is the optimum.
Files in minimalloc's CSV format (id, lower, upper, size[, alignment][, gaps]) are packed instead if
given: python benchmarks/packing.py [FILE.csv ...]
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from microtune.memory.lifetimes import Buffer, Gap

COUNTS = (154, 204, 254, 304, 354, 404, 454)
STEPS, UNITS, UNIT_BYTES = 1024, 1024, 1024
SLACK = 0.02  # the part of the buffers, the smallest ones, that is left out of the full rectangle


def hard_instance(count: int, seed: int, gaps: bool = False) -> list[Buffer]:
    """`count` buffers that fill STEPS x UNITS but for a few small holes; with gaps some shrink.

    Cuts across memory are likelier in what lives long, so large buffers live short lives.
    """
    rng = np.random.default_rng(seed)
    extra = int(count * 0.1) if gaps else 0
    wanted = int((count + extra) * (1 + SLACK)) + 1
    parts = [(0, STEPS, 0, UNITS)]
    while len(parts) < wanted:
        area = np.array([(t1 - t0) * (m1 - m0) for t0, t1, m0, m1 in parts], float)
        t0, t1, m0, m1 = parts.pop(int(rng.choice(len(parts), p=area / area.sum())))
        in_time, in_memory = t1 - t0 > 1, m1 - m0 > 1
        if in_time and (not in_memory or rng.random() < 0.42):
            cut = int(rng.integers(t0 + 1, t1))
            parts += [(t0, cut, m0, m1), (cut, t1, m0, m1)]
        elif in_memory:
            cut = m0 + max(1, int((m1 - m0) * rng.beta(1.5, 1.5)))
            cut = min(cut, m1 - 1)
            parts += [(t0, t1, m0, cut), (t0, t1, cut, m1)]
        else:
            parts.append((t0, t1, m0, m1))
    parts.sort(key=lambda p: (p[1] - p[0]) * (p[3] - p[2]))
    parts = parts[wanted - count - extra :]
    buffers = _with_gaps(parts, extra) if gaps else [_buffer(part) for part in parts]
    order = rng.permutation(len(buffers))
    return [replace(buffers[i], name=f"b{n}") for n, i in enumerate(order)]


def _buffer(part: tuple[int, int, int, int], gap: Gap | None = None) -> Buffer:
    t0, t1, m0, m1 = part
    return Buffer("", (m1 - m0) * UNIT_BYTES, t0, t1, 8, (gap,) if gap else ())


def _with_gaps(parts: list[tuple[int, int, int, int]], wanted: int) -> list[Buffer]:
    """Join up to `wanted` pairs where one buffer goes on as a part of another in the same place."""
    buffers: list[Buffer] = []
    free = set(parts)
    for t0, t1, m0, m1 in sorted(parts):
        if (t0, t1, m0, m1) not in free or wanted == len(parts) - len(buffers) - len(free):
            continue
        inner = [p for p in free if p[0] == t1 and m0 <= p[2] and p[3] <= m1]
        if inner and len(parts) - len(free) < 2 * wanted:
            part = max(inner, key=lambda p: (p[3] - p[2], p))
            free -= {part, (t0, t1, m0, m1)}
            gap = Gap(t1, part[1], (part[2] - m0) * UNIT_BYTES, (part[3] - m0) * UNIT_BYTES)
            buffers.append(_buffer((t0, part[1], m0, m1), gap))
    return buffers + [_buffer(part) for part in sorted(free)]


def read_csv(path: Path) -> list[Buffer]:
    """Buffers of a file in minimalloc's format; a column `end` counts the last step in."""
    with path.open(newline="") as file:
        return list(_rows(csv.DictReader(file)))


def _rows(rows: csv.DictReader[str]) -> Iterator[Buffer]:
    for row in rows:
        name = row.get("id") or row.get("buffer") or row["buffer_id"]
        first = row.get("lower") or row.get("start") or row["begin"]
        closed = "end" in row
        last = int(row["end" if closed else "upper"]) + closed
        gaps = tuple(_gap(text, closed) for text in (row.get("gaps") or "").split())
        alignment = int(row.get("alignment") or 1)
        yield Buffer(name, int(row["size"]), int(first), last, alignment, gaps)


def _gap(text: str, closed: bool) -> Gap:
    """`first-last` or `first-last@lower:upper`."""
    steps, _, window = text.partition("@")
    first, last = (int(v) for v in steps.split("-"))
    lower, upper = (int(v) for v in window.split(":")) if window else (0, 0)
    return Gap(first, last + closed, lower, upper)
