"""Buffers over several memories: hottest first, every bank within its size, one bank as ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtune import embedded, pipeline
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.memory.banks import Arena, Bank, MemoryPlan, assign_banks, validate_banks
from microtune.memory.heat import accesses
from microtune.memory.lifetimes import Buffer
from microtune.memory.planner import PlanError, plan_arena
from microtune.targets import load_target
from tests.memory.buffers import buffer_lists, gapped_buffer_lists

ROOMY = Bank("roomy", 1 << 20)
FAST, SLOW = Bank("fast", 128, 1), Bank("slow", 4096, 3)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Buffer], list[Bank], dict[str, float], dict[str, int]]:
    """Buffers, up to five banks of any size and speed, heat, residents."""
    buffers = draw(gapped_buffer_lists())
    sizes = draw(st.lists(st.integers(64, 6000), min_size=1, max_size=5))
    banks = [Bank(f"bank{i}", n, draw(st.integers(1, 4))) for i, n in enumerate(sizes)]
    residents = draw(st.dictionaries(st.sampled_from(["stack", "context"]), st.integers(1, 900)))
    names = [*(b.name for b in buffers), *residents]
    return buffers, banks, {name: draw(st.floats(0, 100)) for name in names}, residents


@given(cases())
@settings(deadline=None, max_examples=50)
def test_every_assignment_is_valid_or_refused(
    case: tuple[list[Buffer], list[Bank], dict[str, float], dict[str, int]],
) -> None:
    buffers, banks, heat, residents = case
    try:
        plan = assign_banks(buffers, banks, heat, residents, solve=False)
    except MicrotuneError as error:
        assert all(f"{bank.name} {bank.bytes:,}" in str(error) for bank in banks)
        together = plan_arena(buffers, solve=False).arena_bytes + sum(residents.values()) + 16
        assert together > max(bank.bytes for bank in banks)
        return
    validate_banks(plan)
    assert set(plan.offsets) == {b.name for b in buffers}
    assert plan.lower_bound <= plan.arena_bytes
    assert plan == assign_banks(buffers, banks, heat, residents, solve=False)
    speeds = {bank.name: bank.speed for bank in banks}
    order = [speeds[arena.bank] for arena in plan.arenas]
    assert order == sorted(order)


@given(gapped_buffer_lists(), st.integers(1, 100))
@settings(deadline=None, max_examples=50)
def test_one_bank_gives_the_plan_of_one_arena(buffers: list[Buffer], size: int) -> None:
    """Whatever its size: the budget is checked elsewhere, with its own advice."""
    expected = plan_arena(buffers, solve=False)
    plan = assign_banks(buffers, [Bank("ram", size)], {}, {"stack": 8}, solve=False)
    assert [arena.plan for arena in plan.arenas] == [expected]
    assert plan.offsets == expected.offsets
    assert (plan.arena_bytes, plan.peak_step) == (expected.arena_bytes, expected.peak_step)
    assert plan.alive_at_peak() == expected.alive_at_peak()
    assert plan.resident_banks == {"stack": "ram"}


@given(gapped_buffer_lists())
@settings(deadline=None, max_examples=50)
def test_a_fast_bank_with_room_for_all_gets_all(buffers: list[Buffer]) -> None:
    plan = assign_banks(buffers, [SLOW, ROOMY], {}, {"stack": 100}, solve=False)
    assert [arena.bank for arena in plan.arenas] == ["roomy"]
    assert plan.arenas[0].plan == plan_arena(buffers, solve=False)


@given(buffer_lists(), st.integers(0, 4000))
@settings(deadline=None, max_examples=50)
def test_a_sum_that_one_arena_can_meet_is_met(buffers: list[Buffer], fast: int) -> None:
    """The price of speed is paid only where the budget has it."""
    least = plan_arena(buffers, solve=False).arena_bytes
    banks = [Bank("fast", fast, 1), replace(ROOMY, speed=2)]
    heat = {b.name: float(i) for i, b in enumerate(buffers)}
    assert assign_banks(buffers, banks, heat, None, least, solve=False).arena_bytes <= least


def test_the_hottest_per_byte_take_the_fastest_bank() -> None:
    buffers = [Buffer("cold", 64, 0, 4), Buffer("hot", 64, 0, 4), Buffer("warm", 64, 0, 4)]
    heat = {"cold": 1.0, "warm": 2.0, "hot": 3.0}
    plan = assign_banks(buffers, [SLOW, FAST], heat)
    assert {b.name: plan.bank_of(b.name) for b in buffers} == {
        "cold": "slow", "hot": "fast", "warm": "fast",
    }  # fmt: skip
    assert plan.place("cold") == (1, 0)


def test_buffers_apart_in_time_share_the_fast_bank() -> None:
    buffers = [Buffer(f"b{i}", 128, i, i + 1) for i in range(9)]
    plan = assign_banks(buffers, [FAST, SLOW], {})
    assert [(arena.bank, arena.plan.arena_bytes) for arena in plan.arenas] == [("fast", 128)]


def test_residents_are_placed_by_heat_too_and_take_room() -> None:
    buffers = [Buffer("a", 64, 0, 1), Buffer("b", 64, 1, 2)]
    heat = {"stack": float("inf"), "a": 2.0, "context": 1.0, "b": 0.5}
    plan = assign_banks(buffers, [FAST, SLOW], heat, {"stack": 60, "context": 40})
    assert plan.resident_banks == {"stack": "fast", "context": "slow"}
    assert plan.bank_of("a") == plan.bank_of("b") == "fast"
    assert plan.total_bytes == 64 + 64 + 40


def test_a_large_cold_buffer_gets_a_place_before_small_hot_ones() -> None:
    """Filled by heat alone, the small ones would leave no bank for the large one."""
    buffers = [Buffer("large", 4000, 0, 9), *(Buffer(f"b{i}", 64, 0, 9) for i in range(3))]
    heat = {"large": 0.1, "b0": 9.0, "b1": 8.0, "b2": 7.0}
    plan = assign_banks(buffers, [FAST, SLOW], heat)
    assert [plan.bank_of(f"b{i}") for i in range(3)] == ["fast", "fast", "slow"]
    assert plan.bank_of("large") == "slow"


def test_what_fits_nowhere_is_refused_with_the_capacities() -> None:
    with pytest.raises(MicrotuneError, match=r"no memory bank has room for big .* slow 4,096"):
        assign_banks([Buffer("big", 5000, 0, 1)], [FAST, SLOW], {})


def test_the_budget_trades_speed_for_bytes() -> None:
    """Two arenas whose peaks lie at different steps are larger than one."""
    buffers = [Buffer("hot", 100, 0, 1), Buffer("cold", 400, 1, 2)]
    banks = [FAST, SLOW]
    apart = assign_banks(buffers, banks, {"hot": 9.0})
    assert [arena.bank for arena in apart.arenas] == ["fast", "slow"]
    together = assign_banks(buffers, banks, {"hot": 9.0}, None, 400)
    assert [(arena.bank, arena.plan.arena_bytes) for arena in together.arenas] == [("slow", 400)]


def a_plan() -> MemoryPlan:
    buffers = [Buffer("a", 64, 0, 2), Buffer("b", 64, 1, 3), Buffer("c", 4000, 0, 3)]
    return assign_banks(buffers, [FAST, SLOW], {"a": 2.0, "b": 1.0}, {"stack": 8})


def broken(rule: str) -> MemoryPlan:
    plan = a_plan()
    fast, slow = plan.arenas
    small = (replace(FAST, bytes=100), SLOW)
    c_twice = Arena("fast", plan_arena([*fast.plan.buffers, *slow.plan.buffers]))
    return {
        "no bank of the target": replace(plan, arenas=(fast, replace(slow, bank="moon"))),
        "a is in no bank": replace(plan, arenas=(slow,)),
        "c lies in fast and in slow": replace(plan, arenas=(c_twice, slow)),
        "holds a buffer that": replace(plan, buffers=plan.buffers[:2]),
        "a bank has two arenas": replace(plan, arenas=(fast, replace(slow, bank="fast"))),
        "two banks have the same name": replace(plan, banks=(FAST, FAST)),
        "stack is in no bank": replace(plan, resident_banks={}),
        "fast is filled with 128 bytes and has 100": replace(plan, banks=small),
        "overlap in the arena": replace(
            plan, arenas=(replace(fast, plan=replace(fast.plan, offsets={"a": 0, "b": 8})), slow)
        ),
    }[rule]


@pytest.mark.parametrize(
    "rule",
    [
        "no bank of the target", "a is in no bank", "c lies in fast and in slow",
        "holds a buffer that", "a bank has two arenas", "two banks have the same name",
        "stack is in no bank", "fast is filled with 128 bytes and has 100", "overlap in the arena",
    ],
)  # fmt: skip
def test_the_validator_names_the_broken_rule(rule: str) -> None:
    validate_banks(a_plan())
    with pytest.raises(PlanError, match=rule):
        validate_banks(broken(rule))


def test_accesses_are_counted_for_every_buffer() -> None:
    """A convolution's scratch is read once a multiply; every buffer of the step is touched."""
    request = pipeline.Request(
        5, "last-7", load_target("cortex-m7-banks"), 1 << 18, 1 << 20, schedule="layers"
    )
    for schedule in ("layers", "stream"):
        graph, _ = pipeline.training_graph(
            load_any(embedded.MODEL), replace(request, schedule=schedule)
        )
        counts = accesses(graph)
        plan = pipeline.plan_graph(graph, request)
        # Overlaps of rows are read in a ring as often as in a whole tensor.
        assert all(counts[b.name] > 0 for b in plan.buffers), schedule
    by_name = {b.name: b for b in plan.buffers}
    scratch = [name for name in by_name if name.startswith("scratch of ")]
    assert scratch
    assert {plan.bank_of(name) for name in scratch} == {"dtcm"}
