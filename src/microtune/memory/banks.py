"""Which memory of the chip holds which buffer: the hottest go to the fastest bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from microtune.errors import MicrotuneError
from microtune.memory.lifetimes import Buffer
from microtune.memory.planner import Plan, PlanError, largest_live_set, plan_arena, validate

_ALIGNMENT = 8


@dataclass(frozen=True)
class Bank:
    """One memory: its size in bytes and the relative cost of an access (1: fastest)."""

    name: str
    bytes: int
    speed: float = 1.0


@dataclass(frozen=True)
class Arena:
    """The part of a bank that buffers share."""

    bank: str
    plan: Plan


@dataclass(frozen=True)
class MemoryPlan:
    """One arena for each bank that holds a buffer, fastest first, and the bank of each resident.

    Residents (stack, context) are blocks outside the arenas that live throughout: `residents` are
    their bytes, `resident_banks` their banks. The properties are those of one `Plan` over all banks
    and, with one bank, equal it.
    """

    banks: tuple[Bank, ...]
    buffers: tuple[Buffer, ...]
    arenas: tuple[Arena, ...]
    residents: dict[str, int]
    resident_banks: dict[str, str]

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arenas of all banks together."""
        return sum(arena.plan.arena_bytes for arena in self.arenas)

    @property
    def total_bytes(self) -> int:
        """Bytes of all arenas and residents."""
        return self.arena_bytes + sum(_aligned(size) for size in self.residents.values())

    @property
    def optimal(self) -> bool:
        """Whether no arena can be smaller for the buffers assigned to it."""
        return all(arena.plan.optimal for arena in self.arenas)

    @property
    def lower_bound(self) -> int:
        """No assignment to banks needs less: the largest live set."""
        if len(self.arenas) == 1:
            return self.arenas[0].plan.lower_bound
        return _aligned(largest_live_set(self.buffers)[0])

    @property
    def peak_step(self) -> int:
        """The step of the largest live set."""
        return largest_live_set(self.buffers)[1]

    @property
    def offsets(self) -> dict[str, int]:
        """Every buffer's offset in its own arena."""
        return {name: at for arena in self.arenas for name, at in arena.plan.offsets.items()}

    def alive_at_peak(self) -> list[Buffer]:
        """Buffers of the largest live set, largest first."""
        step = self.peak_step
        alive = [b for b in self.buffers if any(u.first <= step < u.last for u in b.uses())]
        return sorted(alive, key=lambda b: (-b.bytes, b.name))

    def place(self, name: str) -> tuple[int, int]:
        """(index of the arena, offset in it) of a buffer."""
        for index, arena in enumerate(self.arenas):
            if name in arena.plan.offsets:
                return index, arena.plan.offsets[name]
        raise KeyError(name)

    def bank_of(self, name: str) -> str:
        """The bank that holds a buffer."""
        return self.arenas[self.place(name)[0]].bank


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


class _Room:
    """What is free of a bank in each step, by live bytes: necessary, not sufficient."""

    def __init__(self, capacity: int, steps: int) -> None:
        self._free = [capacity // _ALIGNMENT * _ALIGNMENT] * steps

    def fits(self, item: Buffer, spare: int = 0) -> bool:
        """Whether the item fits and leaves `spare` bytes."""
        return all(
            min(self._free[use.first : use.last]) - _aligned(use.upper - use.lower) >= spare
            for use in item.uses()
        )

    def take(self, item: Buffer) -> None:
        for use in item.uses():
            for step in range(use.first, use.last):
                self._free[step] -= _aligned(use.upper - use.lower)


def assign_banks(
    buffers: Sequence[Buffer],
    banks: Sequence[Bank],
    heat: Mapping[str, float],
    residents: Mapping[str, int] | None = None,
    total_bytes: int | None = None,
    *,
    solve: bool = True,
) -> MemoryPlan:
    """Put the hottest buffers and residents into the fastest bank where they can be packed.

    `heat` is accesses per byte by name (absent: 0), `residents` bytes by name. The banks are filled
    one after the other, fastest first, and packed greedily; the full planner then makes the arena
    of each. A buffer for which no bank is left is given a place before
    all others, in the slowest bank that can hold it, and the filling starts again.

    Buffers apart cannot share memory, so several arenas are larger than one. If all banks together
    would need more than `total_bytes`, or the filling fails, less and less of the other banks is
    used beside the fastest one that can hold all buffers, until it fits; else the smallest plan
    stands. With one bank the result is `plan_arena(buffers)`, whatever its size. `solve` is
    that of `plan_arena`. Raises
    MicrotuneError, naming the capacities, if some buffer finds no place.
    """
    ordered = tuple(sorted(banks, key=lambda bank: bank.speed))
    blocks = dict(residents or {})
    if len(ordered) == 1:
        arenas = (Arena(ordered[0].name, plan_arena(buffers, solve=solve)),)
        places = dict.fromkeys(blocks, ordered[0].name)
        plan = MemoryPlan(ordered, tuple(buffers), arenas, blocks, places)
    else:
        search = _Assignment(ordered, list(buffers), blocks, heat, solve)
        plan = _first_that_fits(search, total_bytes)
    validate_banks(plan)
    return plan


def _first_that_fits(assignment: _Assignment, total_bytes: int | None) -> MemoryPlan:
    found: list[MemoryPlan] = []
    refusal: MicrotuneError | None = None
    for eighths in range(9):
        try:
            plan = assignment.run(eighths)
        except MicrotuneError as error:
            refusal = refusal or error
            continue
        found.append(plan)
        least = plan.total_bytes - plan.arena_bytes + plan.lower_bound
        if total_bytes is None or plan.total_bytes <= total_bytes or least > total_bytes:
            return plan
    if not found and refusal is not None:
        raise refusal
    return min(found, key=lambda plan: plan.total_bytes)


class _Assignment:
    """The search of `assign_banks` over several banks."""

    def __init__(
        self, banks: tuple[Bank, ...], buffers: list[Buffer], residents: dict[str, int],
        heat: Mapping[str, float], solve: bool,
    ) -> None:  # fmt: skip
        self.banks, self.buffers, self.residents = banks, buffers, residents
        self.solve = solve
        self.steps = max((b.last for b in buffers), default=1)
        blocks = [Buffer(name, size, 0, self.steps) for name, size in residents.items()]
        self.heat = {item.name: heat.get(item.name, 0.0) for item in [*blocks, *buffers]}
        self.items = sorted([*blocks, *buffers], key=lambda b: (-self.heat[b.name], b.name))
        together = plan_arena(buffers, solve=False).arena_bytes
        homes = [bank for bank in banks if bank.bytes >= together]
        self.home = homes[0] if homes else max(banks, key=lambda bank: bank.bytes)

    def run(self, unused_eighths: int) -> MemoryPlan:
        """Fill; give what found no place a place of its own; repeat."""
        pinned: dict[str, int] = {}
        while True:
            chosen, left = self._fill(pinned, unused_eighths)
            if not left:
                return self._result(chosen)
            for item in sorted(left, key=lambda b: (-b.bytes, b.name)):
                self._pin(item, pinned)

    def _rooms(self, pinned: Mapping[str, int]) -> list[_Room]:
        """The banks with nothing but the pinned items in them."""
        rooms = [_Room(bank.bytes, self.steps) for bank in self.banks]
        for item in self.items:
            if item.name in pinned:
                rooms[pinned[item.name]].take(item)
        return rooms

    def _pin(self, item: Buffer, pinned: dict[str, int]) -> None:
        rooms = self._rooms(pinned)
        for index in reversed(range(len(rooms))):
            if item.name not in pinned and rooms[index].fits(item):
                pinned[item.name] = index
                return
        banks = ", ".join(f"{bank.name} {bank.bytes:,}" for bank in self.banks)
        raise MicrotuneError(
            f"no memory bank has room for {item.name} ({item.bytes:,} bytes, alive from step "
            f"{item.first} to {item.last}) beside what else is alive. Bytes of the banks: {banks}. "
            "A smaller --scheme, --classes or input resolution, or a target with larger banks, "
            "would help."
        )

    def _fill(
        self, pinned: Mapping[str, int], unused_eighths: int
    ) -> tuple[list[list[Buffer]], list[Buffer]]:
        """(The items of each bank, what is left over)."""
        left = [item for item in self.items if item.name not in pinned]
        result: list[list[Buffer]] = []
        for index, (bank, room) in enumerate(zip(self.banks, self._rooms(pinned), strict=True)):
            spare = 0 if bank is self.home else bank.bytes * unused_eighths // 8
            chosen = [item for item in self.items if pinned.get(item.name) == index]
            for item in left:
                if room.fits(item, 0 if item.name in self.residents else spare):
                    room.take(item)
                    chosen.append(item)
            evicted = self._evict(chosen, bank.bytes, pinned)
            result.append([item for item in chosen if item.name not in evicted])
            placed = {item.name for item in result[-1]}
            left = [item for item in left if item.name not in placed]
            left += [item for item in chosen if item.name in evicted and item.name in pinned]
        return result, left

    def _evict(self, chosen: list[Buffer], capacity: int, pinned: Mapping[str, int]) -> set[str]:
        """What must leave so that the rest can be packed: the coldest of those in the way."""
        names = {item.name for item in chosen}
        room = capacity - sum(_aligned(self.residents[n]) for n in names & self.residents.keys())
        evicted: set[str] = set()
        while True:
            plan = plan_arena(self._with_names(names - evicted), solve=False)
            if plan.arena_bytes <= room:
                return evicted
            # An arena is rounded up, so that it can be too large with no buffer beyond the end.
            ends = {b: plan.offsets[b.name] + b.bytes for b in plan.buffers}
            over = [b for b, end in ends.items() if end > min(room, max(ends.values()) - 1)]
            in_the_way = [b for b in plan.buffers if any(b is o or b.overlaps(o) for o in over)]
            movable = [b for b in in_the_way if b.name not in pinned] or in_the_way
            evicted.add(min(movable, key=lambda b: (self.heat[b.name], -b.bytes, b.name)).name)

    def _with_names(self, names: set[str]) -> list[Buffer]:
        return [b for b in self.buffers if b.name in names]

    def _result(self, chosen: list[list[Buffer]]) -> MemoryPlan:
        arenas: list[Arena] = []
        places: dict[str, str] = {}
        for bank, items in zip(self.banks, chosen, strict=True):
            names = {item.name for item in items}
            buffers = self._with_names(names)
            if buffers:
                arenas.append(Arena(bank.name, plan_arena(buffers, solve=self.solve)))
            places |= {name: bank.name for name in self.residents if name in names}
        return MemoryPlan(self.banks, tuple(self.buffers), tuple(arenas), self.residents, places)


def validate_banks(plan: MemoryPlan) -> None:
    """Every rule of an assignment, checked on every one that is made. Raises PlanError."""
    capacity = {bank.name: bank.bytes for bank in plan.banks}
    if len(capacity) != len(plan.banks):
        raise PlanError("two banks have the same name")
    home: dict[str, str] = {}
    for arena in plan.arenas:
        if arena.bank not in capacity:
            raise PlanError(f"an arena lies in {arena.bank}, which is no bank of the target")
        validate(arena.plan)
        for buffer in arena.plan.buffers:
            if buffer.name in home:
                raise PlanError(f"{buffer.name} lies in {home[buffer.name]} and in {arena.bank}")
            home[buffer.name] = arena.bank
    if len({arena.bank for arena in plan.arenas}) != len(plan.arenas):
        raise PlanError("a bank has two arenas")
    for buffer in plan.buffers:
        if buffer.name not in home:
            raise PlanError(f"{buffer.name} is in no bank")
    if len(home) != len(plan.buffers):
        raise PlanError("an arena holds a buffer that the plan does not have")
    for name in plan.residents:
        if plan.resident_banks.get(name) not in capacity:
            raise PlanError(f"{name} is in no bank")
    _validate_capacity(plan, capacity)


def _validate_capacity(plan: MemoryPlan, capacity: Mapping[str, int]) -> None:
    if len(capacity) == 1:
        return  # the budget is checked against the whole memory, with an advice of its own
    used = dict.fromkeys(capacity, 0)
    for arena in plan.arenas:
        used[arena.bank] += arena.plan.arena_bytes
    for name, size in plan.residents.items():
        used[plan.resident_banks[name]] += _aligned(size)
    for name, size in used.items():
        if size > capacity[name]:
            raise PlanError(f"{name} is filled with {size} bytes and has {capacity[name]}")
