"""Packing hard instances: each greedy key, the best of them with repair, and the solver.

Instances have the shape of the public minimalloc set: 154 to 454 buffers, a few large ones of short
life among many small ones of long life, memory all but full over the whole time. They are cut
from a full rectangle, so a packing without any waste exists and the lower bound is the optimum.
Files in minimalloc's CSV format (id, lower, upper, size[, alignment][, gaps]) are packed instead if
given: python benchmarks/packing.py [FILE.csv ...]
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from microtune.memory.lifetimes import Buffer, Gap
from microtune.memory.planner import greedy_arenas, plan_arena

COUNTS = (154, 204, 254, 304, 354, 404, 454)
STEPS, UNITS, UNIT_BYTES = 1024, 1024, 1024
SLACK = 0.02  # the part of the buffers, the smallest ones, that is left out of the full rectangle


def hard_instance(count: int, seed: int, *, gaps: bool = False, stretches: int = 1) -> list[Buffer]:
    """`count` buffers that fill STEPS x UNITS but for a few small holes; with gaps some shrink.

    `stretches`: parts of equal length that no buffer outlives, as between a network's blocks.
    """
    rng = np.random.default_rng(seed)
    extra = int(count * 0.1) if gaps else 0
    wanted = int((count + extra) * (1 + SLACK)) + 1
    ends = np.linspace(0, STEPS, stretches + 1).astype(int).tolist()
    parts = [(first, last, 0, UNITS) for first, last in pairwise(ends)]
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


SHORT = {
    "largest first": "size", "longest first": "life", "largest area first": "area",
    "earliest first": "birth", "latest first": "death", "most crowded first": "crowd",
    "largest first, longer of equals": "size+life", "most crowded first, then area": "crowd+area",
}  # fmt: skip


def report(name: str, buffers: list[Buffer], deterministic_seconds: float) -> tuple[bool, bool]:
    """Print a row; returns whether the solver is better and whether it is worse than greedy."""
    keys = greedy_arenas(buffers)
    greedy = plan_arena(buffers, solve=False)
    start = time.perf_counter()
    plan = plan_arena(buffers, deterministic_seconds=deterministic_seconds)
    seconds = time.perf_counter() - start
    bound = plan.lower_bound
    cells = [f"{keys[key] / bound:>10.3f}" for key in SHORT]
    best = greedy.arena_bytes / bound
    print(
        f"{name:<12}{len(buffers):>4}{sum(bool(b.gaps) for b in buffers):>5}{bound:>10}",
        *cells, f"{best:>8.3f}{plan.arena_bytes / bound:>8.3f}",
        f"  {'yes' if plan.optimal else 'no':<7}{seconds:>6.1f}", sep="", flush=True,
    )  # fmt: skip
    least = min(*keys.values(), greedy.arena_bytes)
    return plan.arena_bytes < least, plan.arena_bytes > least


def main(arguments: list[str]) -> int:
    """Exit code 1 if a plan is worse than the best of greedy."""
    seconds = (
        float(arguments.pop(0)) if arguments and arguments[0].replace(".", "").isdigit() else 0.1
    )
    print("arena / lower bound by key; greedy: the best of them with repair; cp-sat after that")
    print(f"{'instance':<12}{'n':>4}{'gaps':>5}{'bound':>10}", end="")
    print(*(f"{short:>10}" for short in SHORT.values()), f"{'greedy':>8}{'cp-sat':>8}",
          "  proven      s", sep="")  # fmt: skip
    instances = [(Path(a).stem, read_csv(Path(a))) for a in arguments] or [
        (f"{family}-{count}", generate(count))
        for family, generate in FAMILIES.items() for count in COUNTS
    ]  # fmt: skip
    verdicts = [report(name, buffers, seconds) for name, buffers in instances]
    better, worse = (sum(column) for column in zip(*verdicts, strict=True))
    print(f"{len(verdicts)} instances: the solver better on {better}, worse on {worse}")
    return int(worse > 0)


FAMILIES: dict[str, Callable[[int], list[Buffer]]] = {
    "full": lambda count: hard_instance(count, count),
    "gaps": lambda count: hard_instance(count, count, gaps=True),
    "stretches": lambda count: hard_instance(count, count, stretches=count // 12),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
