"""Half-open lifetimes, plans that never overlap, a validator that names the broken rule."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings

from microtune.memory import planner, solver
from microtune.memory.lifetimes import Buffer, Gap
from microtune.memory.planner import (
    PlanError,
    greedy_arenas,
    largest_live_set,
    live_bytes,
    plan_arena,
    validate,
)
from tests.memory.buffers import buffer_lists as buffer_lists  # for the other tests of plans
from tests.memory.buffers import gapped_buffer_lists


@settings(deadline=None)
@given(gapped_buffer_lists())
def test_plans_are_valid_and_never_below_the_bound(buffers: list[Buffer]) -> None:
    plan = plan_arena(buffers, solve=False)
    validate(plan)
    largest = max(b.alignment for b in buffers)
    most = sum(-(-b.bytes // largest) * largest for b in buffers)
    assert plan.lower_bound <= plan.arena_bytes <= -(-most // 8) * 8
    assert plan.arena_bytes <= min(greedy_arenas(buffers).values())
    assert plan.optimal == (plan.arena_bytes == plan.lower_bound)
    assert plan.method.startswith("greedy: ")


@settings(deadline=None)
@given(gapped_buffer_lists())
def test_no_byte_is_used_twice_in_a_step(buffers: list[Buffer]) -> None:
    """The rules of plans once more, painted byte by byte."""
    plan = plan_arena(buffers, solve=False)
    painted = np.zeros((21, plan.arena_bytes), np.int8)
    for b in buffers:
        for use in b.uses():
            at = plan.offsets[b.name]
            painted[use.first : use.last, at + use.lower : at + use.upper] += 1
    assert painted.max() <= 1


@given(gapped_buffer_lists())
def test_uses_are_the_life_without_what_gaps_leave_out(buffers: list[Buffer]) -> None:
    for b in buffers:
        area = sum((u.last - u.first) * (u.upper - u.lower) for u in b.uses())
        unused = sum((g.last - g.first) * (b.bytes - (g.upper - g.lower)) for g in b.gaps)
        assert area == b.bytes * (b.last - b.first) - unused
        assert all(u.first < u.last and u.lower < u.upper for u in b.uses())


def test_buffers_that_touch_in_time_share_memory() -> None:
    """Half-open: what ends at step 2 and what begins at step 2 do not meet."""
    plan = plan_arena([Buffer("a", 64, 0, 2), Buffer("b", 64, 2, 4)], solve=False)
    assert plan.arena_bytes == plan.lower_bound == 64
    assert plan.offsets == {"a": 0, "b": 0}


def test_identical_lifetimes_are_not_disjoint() -> None:
    """Trap 7."""
    plan = plan_arena([Buffer("a", 64, 1, 2), Buffer("b", 64, 1, 2)])
    assert plan.arena_bytes == 128


def test_the_largest_live_set_names_its_step() -> None:
    assert largest_live_set([Buffer("a", 8, 0, 9), Buffer("b", 16, 4, 5)]) == (24, 4)


def test_a_small_buffer_fits_into_what_alignment_leaves() -> None:
    """9 bytes aligned to 8 and 4 bytes aligned to 4 need 16 bytes, not 16 + 4."""
    plan = plan_arena([Buffer("a", 9, 0, 1), Buffer("b", 4, 0, 1, 4)])
    assert plan.arena_bytes == plan.lower_bound == 16
    assert plan.offsets == {"a": 0, "b": 12}


def test_what_alignment_leaves_is_no_room_for_large_alignments() -> None:
    assert largest_live_set([Buffer("a", 9, 0, 1), Buffer("b", 9, 0, 1)]) == (32, 0)


def test_a_gap_holds_another_buffer() -> None:
    """Without the gap the two buffers need 128 bytes."""
    shrinks = Buffer("shrinks", 64, 0, 6, gaps=(Gap(2, 4, 0, 24),))
    plan = plan_arena([shrinks, Buffer("guest", 40, 2, 4)])
    assert plan.arena_bytes == plan.lower_bound == 64
    assert plan.offsets == {"shrinks": 0, "guest": 24}
    assert plan_arena([replace(shrinks, gaps=()), Buffer("guest", 40, 2, 4)]).arena_bytes == 104


def test_an_empty_gap_is_no_life() -> None:
    away = Buffer("away", 64, 0, 6, gaps=(Gap(1, 3), Gap(3, 5)))
    assert not away.overlaps(Buffer("guest", 64, 1, 5))
    assert away.overlaps(Buffer("late", 64, 4, 6))
    plan = plan_arena([away, Buffer("guest", 64, 1, 5)])
    assert plan.arena_bytes == 64
    assert [b.name for b in replace(plan, peak_step=2).alive_at_peak()] == ["guest"]


def test_live_bytes_counts_each_step() -> None:
    buffers = [Buffer("a", 16, 0, 3, gaps=(Gap(1, 2, 8, 16),)), Buffer("b", 8, 1, 2)]
    assert live_bytes(buffers).tolist() == [16, 16, 16, 0]


def test_no_buffers_need_no_arena() -> None:
    plan = plan_arena([])
    assert plan.arena_bytes == plan.lower_bound == 0
    assert plan.optimal


def many_buffers(count: int) -> list[Buffer]:
    """As many as a whole network has, and more."""
    rng = np.random.default_rng(0)
    first, life, size = rng.integers(1, (400, 60, 4000), (count, 3)).T.tolist()
    return [
        Buffer(f"b{i}", n, f, f + k)
        for i, (f, k, n) in enumerate(zip(first, life, size, strict=True))
    ]


def test_greedy_grows_no_faster_than_the_pairs_of_buffers() -> None:
    """Four times the buffers have 16 times the pairs; a cubic planner would need 64 times."""

    def seconds(count: int) -> float:
        buffers, found = many_buffers(count), []
        for _ in range(3):
            planner._greedy.cache_clear()
            start = time.process_time()
            plan_arena(buffers, solve=False)
            found.append(time.process_time() - start)
        return min(found)

    assert seconds(400) < 30 * seconds(100)


# For each key a seed of `few_buffers` that it alone packs best.
WINNERS = {
    "largest first": 2110, "longest first": 1109, "largest area first": 20, "earliest first": 159,
    "latest first": 102, "largest first, longer of equals": 360, "most crowded first": 367,
    "most crowded first, then area": 232,
}  # fmt: skip


def few_buffers(seed: int) -> list[Buffer]:
    """Four to fifteen, many of equal size."""
    rng = np.random.default_rng(seed)
    buffers = []
    for i in range(int(rng.integers(4, 16))):
        first, life, size = (int(v) for v in rng.integers((0, 1, 1), (10, 7, 5)))
        buffers.append(Buffer(f"b{i}", size * 8, first, first + life))
    return buffers


@pytest.mark.parametrize("key", WINNERS)
def test_every_key_is_tried_and_the_best_one_taken(key: str) -> None:
    """Each key is worth having: here no other is as good."""
    arenas = greedy_arenas(few_buffers(WINNERS[key]))
    plan = plan_arena(few_buffers(WINNERS[key]), solve=False)
    assert set(arenas) == set(WINNERS)
    assert [name for name, size in arenas.items() if size == min(arenas.values())] == [key]
    assert (plan.method, plan.arena_bytes) == (f"greedy: {key}", arenas[key])


# -- all placements -------------------------------------------------------------------------------


def smallest_arena(buffers: list[Buffer], most: int) -> int:
    """The highest byte in use of the best of all placements, tried one by one; at most `most`."""

    def meet(a: Buffer, at: int, b: Buffer, bt: int) -> bool:
        return any(
            u.first < v.last and v.first < u.last
            and at + u.lower < bt + v.upper and bt + v.lower < at + u.upper
            for u in a.uses() for v in b.uses()
        )  # fmt: skip

    best = most

    def place(placed: list[tuple[Buffer, int]], top: int) -> None:
        nonlocal best
        if len(placed) == len(buffers):
            best = min(best, top)
            return
        b = buffers[len(placed)]
        for at in range(0, best - b.bytes, b.alignment):
            if not any(meet(a, where, b, at) for a, where in placed):
                place([*placed, (b, at)], max(top, at + b.bytes))

    place([], 0)
    return best


@settings(deadline=None, max_examples=60)
@given(gapped_buffer_lists(most=4, sizes=40))
@example(  # both use parts that begin and end between two multiples of their alignment
    [
        Buffer("a", 40, 0, 6, gaps=(Gap(2, 4, 4, 36),)),
        Buffer("b", 40, 2, 4, gaps=(Gap(2, 4, 4, 36),)),
    ]
)
def test_no_placement_at_all_is_smaller_than_the_plan(buffers: list[Buffer]) -> None:
    """Gaps and mixed alignments too: the solver proves its optimum, greedy and bound are honest."""
    greedy = plan_arena(buffers, solve=False)
    unit = max(8, *(b.alignment for b in buffers))
    least = -(-smallest_arena(buffers, greedy.arena_bytes) // unit) * unit
    assert greedy.lower_bound <= least
    assert not greedy.optimal or greedy.arena_bytes == least
    if solver.available():
        plan = plan_arena(buffers, deterministic_seconds=1.0)
        assert plan.optimal
        assert plan.arena_bytes == least


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ({"a": 0, "b": 8}, "overlap in the arena"),
        ({"a": 0, "b": 100}, "not aligned"),
        ({"a": 0, "b": 4096}, "outside the arena"),
        ({"a": -8, "b": 64}, "outside the arena"),
        ({"a": 0}, "no offset"),
    ],
)
def test_the_validator_names_the_broken_rule(offsets: dict[str, int], message: str) -> None:
    plan = plan_arena([Buffer("a", 64, 0, 2), Buffer("b", 64, 1, 3)])
    with pytest.raises(PlanError, match=message):
        validate(replace(plan, offsets=offsets, arena_bytes=256))


def test_the_validator_knows_the_bound() -> None:
    plan = plan_arena([Buffer("a", 64, 0, 2)])
    with pytest.raises(PlanError, match="lower bound"):
        validate(replace(plan, lower_bound=72))


def test_the_validator_respects_gaps() -> None:
    shrinks = Buffer("shrinks", 64, 0, 6, gaps=(Gap(2, 4, 0, 24),))
    plan = plan_arena([shrinks, Buffer("guest", 40, 2, 4)])
    validate(plan)
    with pytest.raises(PlanError, match="shrinks and guest live at once"):
        validate(replace(plan, offsets={"shrinks": 0, "guest": 16}))


@pytest.mark.parametrize(
    ("buffer", "message"),
    [
        (Buffer("b", 8, 2, 2), "lives in no step"),
        (Buffer("b", 0, 0, 2), "has no bytes"),
        (Buffer("b", 8, 0, 2, 12), "no power of two"),
        (Buffer("b", 8, 1, 4, gaps=(Gap(0, 2),)), "outside its life"),
        (Buffer("b", 8, 1, 4, gaps=(Gap(2, 5),)), "outside its life"),
        (Buffer("b", 8, 1, 4, gaps=(Gap(2, 2),)), "outside its life"),
        (Buffer("b", 8, 0, 4, gaps=(Gap(1, 2, 0, 9),)), "uses bytes 0..9 of 8"),
        (Buffer("b", 8, 0, 4, gaps=(Gap(1, 2, 5, 4),)), "uses bytes 5..4 of 8"),
        (Buffer("b", 8, 0, 6, gaps=(Gap(1, 3), Gap(2, 4))), "overlap or are not in order"),
        (Buffer("a", 8, 0, 6), "same name"),
    ],
)
def test_rules_of_buffers_are_named(buffer: Buffer, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_arena([Buffer("a", 64, 0, 2), buffer])
