"""Packing buffers with a constraint solver: the smallest arena, proven where it can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING

from microtune.memory.cpsat import solve
from microtune.memory.lifetimes import Buffer
from microtune.memory.tasks import Memory, Tasks

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

DETERMINISTIC_SECONDS = 0.1


@dataclass(frozen=True)
class Packing:
    """Offsets in the order of the buffers; `optimal`: proven that no smaller arena exists."""

    offsets: tuple[int, ...]
    arena_bytes: int
    optimal: bool


def available() -> bool:
    """Whether ortools is installed."""
    return find_spec("ortools") is not None


def version() -> str:
    """Of ortools, empty without it: what plans depend on besides our own code."""
    return metadata.version("ortools") if available() else ""


def _power_of_two(value: int) -> int:
    """The largest power of two that divides the value."""
    return value & -value


def unit_bytes(buffers: Sequence[Buffer]) -> int:
    """The largest power of two that some smallest packing has as the unit of all its offsets.

    Pushed down as far as they go, buffers start at sums of sizes rounded to the unit.
    """
    smallest = min(b.alignment for b in buffers)
    lowers = [use.lower for b in buffers for use in b.uses()]
    fine = _power_of_two(math.gcd(smallest, *lowers))
    uppers = [b.bytes for b in buffers] + [use.upper for b in buffers for use in b.uses()]
    coarse = _power_of_two(math.gcd(*lowers, *(-(-upper // fine) * fine for upper in uppers)))
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
    given = tuple(buffers), tuple(offsets)
    return _pack(*given, arena_bytes, bound, granule, deterministic_seconds)


# Schemes, budgets and ways of input that a search or a refusal compares share most backward parts.
@lru_cache(maxsize=256)
def _pack(
    buffers: tuple[Buffer, ...], offsets: tuple[int, ...], arena_bytes: int, bound: int,
    granule: int, deterministic_seconds: float,
) -> Packing:  # fmt: skip
    """The answer depends on nothing else: CP-SAT works in deterministic time."""
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
    solver, status = solve(model, deterministic_seconds)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Packing(tuple(offsets), arena_bytes, False)
    found = tuple(solver.value(start) * unit for start in starts)
    return Packing(found, solver.value(top) * step, status == cp_model.OPTIMAL)


# -- order ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InitialPlan:
    """Where a plan puts the buffers of some order: the start of a search for a smaller arena."""

    offsets: dict[str, int]
    arena_bytes: int
    granule: int


def smaller_peak(
    tasks: Tasks, order: Sequence[int], deterministic_seconds: float
) -> tuple[int, ...]:
    """An order of the smallest peak found, or the one given (without ortools, that)."""
    return _Ordering(tasks, order).smaller_peak(deterministic_seconds)


def smaller_arena(
    tasks: Tasks, order: Sequence[int], placement: InitialPlan, deterministic_seconds: float
) -> tuple[int, ...]:
    """An order that lets its buffers fit into less than the arena given, or the order given.

    Order and offsets are searched together; gaps are not used.
    """
    return _Ordering(tasks, order).smaller_arena(placement, deterministic_seconds)


class _Ordering:
    """The constraints of all orders; a search adds its own and solves, once."""

    def __init__(self, tasks: Tasks, order: Sequence[int]) -> None:
        from ortools.sat.python import cp_model

        self.tasks, self.order = tasks, tuple(order)
        self.model = model = cp_model.CpModel()
        count, start = len(tasks.follows), tasks.start
        self.end = start + count
        pairs = zip(tasks.ancestors, tasks.descendants, strict=True)
        self.at = [
            model.new_int_var(start + a.bit_count(), self.end - 1 - d.bit_count(), f"at{i}")
            for i, (a, d) in enumerate(pairs)
        ]
        model.add_all_different(self.at)
        for i, earlier in enumerate(tasks.follows):
            for j in sorted(earlier):
                model.add(self.at[j] < self.at[i])
        for step, task in enumerate(order):
            model.add_hint(self.at[task], start + step)

    def _life(self, m: Memory) -> tuple[cp_model.LinearExprT, cp_model.LinearExprT]:
        """First step and the step after the last one, as expressions."""
        first = self.tasks.start if m.before else self.at[m.users[0]]
        if m.after:
            return first, self.end
        if len(m.users) == 1:
            return first, self.at[m.users[0]] + 1
        last = self.model.new_int_var(self.tasks.start, self.end, "")
        self.model.add_max_equality(last, [self.at[user] + 1 for user in m.users])
        self.model.add_hint(last, self.tasks.start + 1 + max(map(self.order.index, m.users)))
        return first, last

    def _interval(
        self, first: cp_model.LinearExprT, last: cp_model.LinearExprT
    ) -> cp_model.IntervalVar:
        steps = self.model.new_int_var(1, self.end, "")
        return self.model.new_interval_var(first, steps, last, "")

    def _solve(self, deterministic_seconds: float) -> tuple[int, ...]:
        from ortools.sat.python import cp_model

        solver, status = solve(self.model, deterministic_seconds)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return self.order
        return tuple(sorted(self.order, key=lambda task: solver.value(self.at[task])))

    def smaller_peak(self, deterministic_seconds: float) -> tuple[int, ...]:
        """Minimise the largest live set, down to what every order needs."""
        most = self.tasks.cost(self.order)[0]
        peak = self.model.new_int_var(self.tasks.least_peak(), most, "peak")
        self.model.add_hint(peak, most)
        memories = [m for m in self.tasks.memories if m.in_use]
        intervals = [self._interval(*self._life(m)) for m in memories]
        self.model.add_cumulative(intervals, [m.bytes for m in memories], peak)
        self.model.minimize(peak)
        return self._solve(deterministic_seconds)

    def smaller_arena(
        self, placement: InitialPlan, deterministic_seconds: float
    ) -> tuple[int, ...]:
        """An order whose buffers fit into less than the arena given; gaps are not used."""
        granule, model = placement.granule, self.model
        top = model.new_int_var(0, placement.arena_bytes // granule - 1, "top")
        times, spans = [], []
        for m in (m for m in self.tasks.memories if m.in_use):
            stride = m.buffer.alignment
            place = model.new_int_var(0, placement.arena_bytes // stride, "")
            model.add_hint(place, placement.offsets[m.buffer.name] // stride)
            model.add(place * stride + m.bytes <= top * granule)
            times.append(self._interval(*self._life(m)))
            spans.append(model.new_fixed_size_interval_var(place * stride, m.bytes, ""))
        model.add_no_overlap_2d(times, spans)
        model.minimize(top)
        return self._solve(deterministic_seconds)
