"""Offsets for buffers: greedy keys that stop at the lower bound, then the solver, then the rules.

A plan is reproducible: equal buffers give equal offsets on every machine with the same ortools
(and, apart from that, without it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from microtune.memory.lifetimes import Buffer
from microtune.memory.solver import DETERMINISTIC_SECONDS, pack

GRANULE = 8  # an arena is a whole number of these, or of the largest alignment
REPAIR_ROUNDS = 16
_NEVER = 1 << 62

Ints = npt.NDArray[np.int64]
# For each buffer some (other, low, high): it may not lie at x + low < offset < x + high, where x is
# the offset of the other one. A pair has one entry for every two uses that share a step.
Conflicts = list[list[tuple[int, int, int]]]


class PlanError(ValueError):
    """A plan that breaks a rule; the message names the rule and the buffers."""


@dataclass(frozen=True)
class Plan:
    """Buffers with their offsets, the arena's size and the largest live set as lower bound.

    `optimal`: no smaller arena exists for these lifetimes (it equals the bound, or the solver
    proved it). `method` says which key, or the solver, found the offsets.
    """

    buffers: tuple[Buffer, ...]
    offsets: dict[str, int]
    arena_bytes: int
    lower_bound: int
    peak_step: int
    optimal: bool = False
    method: str = ""

    def alive_at_peak(self) -> list[Buffer]:
        """Buffers of the largest live set, largest first."""
        step = self.peak_step
        alive = [b for b in self.buffers if any(u.first <= step < u.last for u in b.uses())]
        return sorted(alive, key=lambda b: (-b.bytes, b.name))


def _aligned(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


def granule(buffers: Sequence[Buffer]) -> int:
    """The bytes that an arena is a multiple of: GRANULE or a larger alignment."""
    return max((GRANULE, *(b.alignment for b in buffers)))


def live_bytes(buffers: Sequence[Buffer]) -> Ints:
    """Bytes that the live set of each step needs at least, shape (last step + 1,).

    Among buffers aligned to a or more, each address divisible by a belongs to one at most, so they
    need a bytes for every such address that they cover: the maximum over all alignments a.
    """
    steps = max((b.last for b in buffers), default=0)
    best = np.zeros(steps + 1, np.int64)
    for a in sorted({1, *(b.alignment for b in buffers)}):
        change = np.zeros(steps + 1, np.int64)
        for use in (u for b in buffers if b.alignment >= a for u in b.uses()):
            covered = _aligned(use.upper, a) - _aligned(use.lower, a)
            change[use.first] += covered
            change[use.last] -= covered
        best = np.maximum(best, np.cumsum(change))
    return best


def largest_live_set(buffers: Sequence[Buffer]) -> tuple[int, int]:
    """(bytes, step) of the first step in which most bytes are alive."""
    live = live_bytes(buffers)
    step = int(np.argmax(live))
    return int(live[step]), step


Key = Callable[[Buffer], tuple[int, int, str]]
KEYS: dict[str, Key] = {
    "largest first": lambda b: (-b.bytes, b.first, b.name),
    "longest first": lambda b: (-(b.last - b.first), -b.bytes, b.name),
    "largest area first": lambda b: (-b.bytes * (b.last - b.first), b.first, b.name),
    "earliest first": lambda b: (b.first, -b.bytes, b.name),
    "latest first": lambda b: (-b.last, -b.bytes, b.name),
    "largest first, longer of equals": lambda b: (-b.bytes, b.first - b.last, b.name),
}


def _orders(buffers: Sequence[Buffer]) -> dict[str, list[int]]:
    """Name of a key -> the order in which it places the buffers."""
    numbers = range(len(buffers))
    orders = {name: sorted(numbers, key=lambda i: key(buffers[i])) for name, key in KEYS.items()}
    live = live_bytes(buffers)
    crowd = [max((int(live[u.first : u.last].max()) for u in b.uses()), default=0) for b in buffers]
    orders["most crowded first"] = sorted(
        numbers, key=lambda i: (-crowd[i], -buffers[i].bytes, buffers[i].name)
    )
    area = [b.bytes * (b.last - b.first) for b in buffers]
    orders["most crowded first, then area"] = sorted(
        numbers, key=lambda i: (-crowd[i], -area[i], buffers[i].name)
    )
    return orders


def find_conflicts(buffers: Sequence[Buffer]) -> Conflicts:
    """For each buffer those in use in the same step, and how far apart they must lie."""
    uses = np.array([(i, *u) for i, b in enumerate(buffers) for u in b.uses()], np.int64)
    owner, first, last, lower, upper = uses.reshape(-1, 5).T
    conflicts: Conflicts = []
    for i, b in enumerate(buffers):
        found: list[tuple[int, int, int]] = []
        for use in b.uses():
            meets = (first < use.last) & (use.first < last) & (owner != i)
            low, high = lower[meets] - use.upper, upper[meets] - use.lower
            found += zip(owner[meets].tolist(), low.tolist(), high.tolist(), strict=True)
        conflicts.append(found)
    return conflicts


def first_fit(buffers: Sequence[Buffer], conflicts: Conflicts, order: Sequence[int]) -> list[int]:
    """Offsets when each buffer in turn takes the lowest place that the placed ones leave."""
    offsets = [-1] * len(buffers)
    for i in order:
        taken = []
        for other, low, high in conflicts[i]:
            at = offsets[other]
            if at >= 0:
                taken.append((at + low, at + high))
        taken.sort()
        free, alignment = 0, buffers[i].alignment
        for start, end in taken:
            if free <= start:
                break
            if end > free:
                free = -(-end // alignment) * alignment
        offsets[i] = free
    return offsets


def _arena(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    tops = [offset + b.bytes for b, offset in zip(buffers, offsets, strict=True)]
    return _aligned(max(tops, default=0), granule(buffers))


def _promoted(
    buffers: Sequence[Buffer], offsets: Sequence[int], order: Sequence[int], bound: int
) -> tuple[int, ...]:
    """The order with the buffers that stick out above the bound placed first."""
    above = [i for i in order if offsets[i] + buffers[i].bytes > bound]
    first = set(above)
    return (*above, *(i for i in order if i not in first))


def greedy_arenas(buffers: Sequence[Buffer]) -> dict[str, int]:
    """Bytes of the arena that first fit needs, by the name of the order it places buffers in."""
    conflicts = find_conflicts(buffers)
    return {
        name: _arena(buffers, first_fit(buffers, conflicts, order))
        for name, order in _orders(buffers).items()
    }


# The orders of a step that are compared, and the plans of one order, share most of their packings.
@lru_cache(maxsize=256)
def _greedy(buffers: tuple[Buffer, ...], bound: int) -> tuple[tuple[int, ...], int, str]:
    """(offsets, arena bytes, key) of the best key; then what sticks out is placed first."""
    offsets, size, key = _best_packing(buffers, find_conflicts(buffers), bound)
    return tuple(offsets), size, key


def _best_packing(
    buffers: Sequence[Buffer], conflicts: Conflicts, bound: int
) -> tuple[list[int], int, str]:
    best: tuple[list[int], int, str] = [], _NEVER, ""
    orders = _orders(buffers)
    for name, order in orders.items():
        offsets = first_fit(buffers, conflicts, order)
        best = min(best, (offsets, _arena(buffers, offsets), name), key=lambda found: found[1])
        if best[1] <= bound:
            return best
    for name in sorted(orders, key=lambda n: n != best[2])[:2]:
        repaired = tuple(orders[name])
        tried, offsets = {repaired}, first_fit(buffers, conflicts, repaired)
        for _ in range(REPAIR_ROUNDS):
            repaired = _promoted(buffers, offsets, repaired, bound)
            if repaired in tried:
                break
            tried.add(repaired)
            offsets = first_fit(buffers, conflicts, repaired)
            found = offsets, _arena(buffers, offsets), f"{name}, repaired"
            best = min(best, found, key=lambda found: found[1])
            if best[1] <= bound:
                return best
    return best


def plan_arena(
    buffers: Sequence[Buffer],
    *,
    solve: bool = True,
    deterministic_seconds: float = DETERMINISTIC_SECONDS,
) -> Plan:
    """The smallest arena found: greedy, and the solver where greedy misses the lower bound.

    Without ortools, or with `solve` false, the greedy result stands. Raises PlanError for buffers
    that break a rule.
    """
    check_buffers(buffers)
    live, step = largest_live_set(buffers)
    if not buffers:
        return Plan((), {}, 0, 0, 0, True, "greedy")
    bound = _aligned(max(live, *(b.bytes for b in buffers)), granule(buffers))
    packed, size, key = _greedy(tuple(buffers), bound)
    offsets: Sequence[int] = packed
    method, optimal = f"greedy: {key}", size == bound
    if solve and not optimal:
        found = pack(buffers, offsets, size, bound, granule(buffers), deterministic_seconds)
        if found is not None:
            optimal = found.optimal
            if found.arena_bytes < size:
                offsets, size, method = found.offsets, found.arena_bytes, "cp-sat"
    named = {b.name: offset for b, offset in zip(buffers, offsets, strict=True)}
    plan = Plan(tuple(buffers), named, size, bound, step, optimal, method)
    validate(plan)
    return plan


def check_buffers(buffers: Sequence[Buffer]) -> None:
    """The rules of buffers. Raises PlanError naming the broken one."""
    names = [b.name for b in buffers]
    if len(set(names)) != len(names):
        raise PlanError("two buffers have the same name")
    for b in buffers:
        if b.bytes < 1:
            raise PlanError(f"{b.name} has no bytes")
        if b.first < 0 or not b.first < b.last:
            raise PlanError(f"{b.name} lives in no step")
        if b.alignment < 1 or b.alignment & (b.alignment - 1):
            raise PlanError(f"{b.name}: alignment {b.alignment} is no power of two")
        for gap in b.gaps:
            if not b.first <= gap.first < gap.last <= b.last:
                raise PlanError(f"{b.name}: gap in steps {gap.first}..{gap.last} outside its life")
            if not 0 <= gap.lower <= gap.upper <= b.bytes:
                raise PlanError(f"{b.name}: gap uses bytes {gap.lower}..{gap.upper} of {b.bytes}")
        if any(later.first < gap.last for gap, later in pairwise(b.gaps)):
            raise PlanError(f"{b.name}: gaps overlap or are not in order")


def validate(plan: Plan) -> None:
    """Every rule of a plan, checked on every plan that is emitted. Raises PlanError."""
    check_buffers(plan.buffers)
    for b in plan.buffers:
        offset = plan.offsets.get(b.name)
        if offset is None:
            raise PlanError(f"{b.name} has no offset")
        if offset < 0 or offset + b.bytes > plan.arena_bytes:
            raise PlanError(f"{b.name} lies outside the arena")
        if offset % b.alignment:
            raise PlanError(f"{b.name} is not aligned to {b.alignment}")
    if plan.arena_bytes < plan.lower_bound:
        raise PlanError("the arena is smaller than its lower bound")
    for i, a in enumerate(plan.buffers):
        for b in plan.buffers[i + 1 :]:
            if a.first < b.last and b.first < a.last and _collide(plan, a, b):
                raise PlanError(f"{a.name} and {b.name} live at once and overlap in the arena")


def _collide(plan: Plan, a: Buffer, b: Buffer) -> bool:
    """Whether some byte is in use by both in some step."""
    distance = plan.offsets[b.name] - plan.offsets[a.name]
    if not -b.bytes < distance < a.bytes:
        return False
    return any(
        u.first < v.last and v.first < u.last
        and u.lower < distance + v.upper and distance + v.lower < u.upper
        for u in a.uses() for v in b.uses()
    )  # fmt: skip
