"""Half-open lifetimes, plans that never overlap, a validator that names the broken rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtune.memory.lifetimes import Buffer
from microtune.memory.planner import PlanError, largest_live_set, plan_arena, validate


@st.composite
def buffer_lists(draw: st.DrawFn) -> list[Buffer]:
    """Up to 30 buffers in up to 20 steps."""
    count = draw(st.integers(1, 30))
    buffers = []
    for i in range(count):
        first = draw(st.integers(0, 18))
        last = draw(st.integers(first + 1, 20))
        buffers.append(Buffer(f"b{i}", draw(st.integers(1, 500)), first, last))
    return buffers


@settings(deadline=None)
@given(buffer_lists())
def test_plans_are_valid_and_never_below_the_bound(buffers: list[Buffer]) -> None:
    plan = plan_arena(buffers, solve=False)
    validate(plan)
    assert plan.lower_bound <= plan.arena_bytes <= sum(-(-b.bytes // 8) * 8 for b in buffers)


def test_buffers_that_touch_in_time_share_memory() -> None:
    """Half-open: what ends at step 2 and what begins at step 2 do not meet."""
    plan = plan_arena([Buffer("a", 64, 0, 2), Buffer("b", 64, 2, 4)])
    assert plan.arena_bytes == plan.lower_bound == 64


def test_identical_lifetimes_are_not_disjoint() -> None:
    """Trap 7."""
    plan = plan_arena([Buffer("a", 64, 1, 2), Buffer("b", 64, 1, 2)])
    assert plan.arena_bytes == 128


def test_the_largest_live_set_names_its_step() -> None:
    assert largest_live_set([Buffer("a", 8, 0, 9), Buffer("b", 16, 4, 5)]) == (24, 4)


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ({"a": 0, "b": 8}, "overlap in the arena"),
        ({"a": 0, "b": 100}, "not aligned"),
        ({"a": 0, "b": 4096}, "outside the arena"),
        ({"a": 0}, "no offset"),
    ],
)
def test_the_validator_names_the_broken_rule(offsets: dict[str, int], message: str) -> None:
    plan = plan_arena([Buffer("a", 64, 0, 2), Buffer("b", 64, 1, 3)])
    with pytest.raises(PlanError, match=message):
        validate(replace(plan, offsets=offsets, arena_bytes=256))
