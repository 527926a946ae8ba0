"""Offsets for buffers: a portfolio of greedy keys that stops at the lower bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from microtune.memory.lifetimes import Buffer


class PlanError(ValueError):
    """A plan that breaks a rule; the message names the rule and the buffers."""


@dataclass(frozen=True)
class Plan:
    """Buffers with their offsets, the arena's size and the largest live set as lower bound."""

    buffers: tuple[Buffer, ...]
    offsets: dict[str, int]
    arena_bytes: int
    lower_bound: int
    peak_step: int

    def alive_at_peak(self) -> list[Buffer]:
        """Buffers of the largest live set, largest first."""
        alive = [b for b in self.buffers if b.first <= self.peak_step < b.last]
        return sorted(alive, key=lambda b: (-b.bytes, b.name))


def _aligned(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


def largest_live_set(buffers: list[Buffer]) -> tuple[int, int]:
    """(bytes, step) of the step in which most bytes are alive."""
    best = (0, 0)
    for step in {b.first for b in buffers}:
        size = sum(_aligned(b.bytes, b.alignment) for b in buffers if b.first <= step < b.last)
        best = max(best, (size, -step))
    return best[0], -best[1]


Key = Callable[[Buffer], tuple[int, int, str]]
KEYS: tuple[Key, ...] = (
    lambda b: (-b.bytes, b.first, b.name),
    lambda b: (-(b.last - b.first), -b.bytes, b.name),
    lambda b: (-b.bytes * (b.last - b.first), b.first, b.name),
    lambda b: (b.first, -b.bytes, b.name),
    lambda b: (-b.last, -b.bytes, b.name),
)


def _first_fit(buffers: list[Buffer]) -> tuple[dict[str, int], int]:
    """Place buffers in the given order, each at the lowest gap among the placed ones it meets."""
    placed: list[Buffer] = []
    offsets: dict[str, int] = {}
    top = 0
    for buffer in buffers:
        taken = sorted(
            (offsets[p.name], offsets[p.name] + p.bytes) for p in placed if p.overlaps(buffer)
        )
        offset = 0
        for start, end in taken:
            if offset + buffer.bytes <= start:
                break
            offset = max(offset, _aligned(end, buffer.alignment))
        offsets[buffer.name] = offset
        placed.append(buffer)
        top = max(top, offset + buffer.bytes)
    return offsets, _aligned(top, 8)


def plan_arena(buffers: list[Buffer]) -> Plan:
    """The best of the greedy keys; stops early when the lower bound is reached."""
    bound, step = largest_live_set(buffers)
    bound = _aligned(bound, 8)
    best: tuple[dict[str, int], int] | None = None
    for key in KEYS:
        offsets, size = _first_fit(sorted(buffers, key=key))
        if best is None or size < best[1]:
            best = offsets, size
        if size <= bound:
            break
    offsets, size = best or ({}, 0)
    plan = Plan(tuple(buffers), offsets, size, bound, step)
    validate(plan)
    return plan


def validate(plan: Plan) -> None:
    """Every rule of a plan, checked on every plan that is emitted. Raises PlanError."""
    names = [b.name for b in plan.buffers]
    if len(set(names)) != len(names):
        raise PlanError("two buffers have the same name")
    for b in plan.buffers:
        offset = plan.offsets.get(b.name)
        if offset is None:
            raise PlanError(f"{b.name} has no offset")
        if offset < 0 or offset + b.bytes > plan.arena_bytes:
            raise PlanError(f"{b.name} lies outside the arena")
        if offset % b.alignment:
            raise PlanError(f"{b.name} is not aligned to {b.alignment}")
        if not b.first < b.last:
            raise PlanError(f"{b.name} lives in no step")
    for i, a in enumerate(plan.buffers):
        for b in plan.buffers[i + 1 :]:
            apart = (
                plan.offsets[a.name] + a.bytes <= plan.offsets[b.name]
                or plan.offsets[b.name] + b.bytes <= plan.offsets[a.name]
            )
            if a.overlaps(b) and not apart:
                raise PlanError(f"{a.name} and {b.name} live at once and overlap in the arena")
