"""Packing buffers with a constraint solver: the smallest arena, proven where it can be.

One worker, a fixed seed and a limit in deterministic time make the result reproducible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from microtune.memory.lifetimes import Buffer

DETERMINISTIC_SECONDS = 4.0
SEED = 1


@dataclass(frozen=True)
class Packing:
    """Offsets in the order of the buffers; `optimal`: proven that no smaller arena exists."""

    offsets: tuple[int, ...]
    arena_bytes: int
    optimal: bool


def available() -> bool:
    """Whether ortools is installed (the extra `solver`)."""
    return find_spec("ortools") is not None


def unit_bytes(buffers: Sequence[Buffer]) -> int:
    """The largest power of two that some smallest packing has as the unit of all its offsets.

    Pushed down as far as they go, buffers start at sums of sizes rounded to the unit.
    """
    smallest = min(b.alignment for b in buffers)
    lowers = [use.lower for b in buffers for use in b.uses()]
    fine = math.gcd(smallest, *lowers) & -math.gcd(smallest, *lowers)
    uppers = [-(-use.upper // fine) * fine for b in buffers for use in b.uses()]
    common = math.gcd(*lowers, *uppers)
    coarse = common & -common
    return coarse if all(coarse % b.alignment == 0 for b in buffers) else fine


def pack(
    buffers: Sequence[Buffer],
    offsets: Sequence[int],
    arena_bytes: int,
    bound: int,
    granule: int,
    deterministic_seconds: float = DETERMINISTIC_SECONDS,
) -> Packing | None:
    """A packing at least as small as the one given, or None without ortools.

    `bound` and the result are whole granules (a power of two). Each use of a buffer is a rectangle
    with a fixed place in time; rectangles may not overlap.
    """
    if not available():
        return None
    from ortools.sat.python import cp_model

    unit = unit_bytes(buffers)
    step = max(unit, granule)
    model = cp_model.CpModel()
    top = model.new_int_var(-(-bound // step), arena_bytes // step, "top")
    times, spans, starts = [], [], []
    for i, b in enumerate(buffers):
        stride = max(b.alignment // unit, 1)
        place = model.new_int_var(0, (arena_bytes - b.bytes) // unit // stride, f"at{i}")
        model.add_hint(place, offsets[i] // unit // stride)
        starts.append(place * stride)
        model.add(starts[i] * unit + b.bytes <= top * step)
        for use in b.uses():
            lower, upper = use.lower // unit, -(-use.upper // unit)
            times.append(model.new_fixed_size_interval_var(use.first, use.last - use.first, ""))
            spans.append(model.new_fixed_size_interval_var(starts[i] + lower, upper - lower, ""))
    model.add_no_overlap_2d(times, spans)
    model.add_hint(top, arena_bytes // step)
    model.minimize(top)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = SEED
    solver.parameters.max_deterministic_time = deterministic_seconds
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Packing(tuple(offsets), arena_bytes, False)
    found = tuple(solver.value(start) * unit for start in starts)
    return Packing(found, solver.value(top) * step, status == cp_model.OPTIMAL)
