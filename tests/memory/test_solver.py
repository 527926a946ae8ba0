"""The solver: never worse than greedy, proven where it says so, the same every time."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from packing import hard_instance, read_csv

from microtune.memory import planner, solver
from microtune.memory.lifetimes import Buffer, Gap
from microtune.memory.planner import Plan, find_conflicts, first_fit, plan_arena, validate
from microtune.memory.solver import InitialPlan, smaller_arena, smaller_peak, unit_bytes
from microtune.memory.tasks import Order, Tasks
from tests.memory.buffers import gapped_buffer_lists
from tests.passes.test_order import all_orders, random_tasks

needs_ortools = pytest.mark.skipif(not solver.available(), reason="needs the solver extra")


@needs_ortools
@settings(deadline=None, max_examples=40)
@given(gapped_buffer_lists(most=12))
def test_never_worse_than_greedy_and_reproducible(buffers: list[Buffer]) -> None:
    greedy = plan_arena(buffers, solve=False)
    plan = plan_arena(buffers, deterministic_seconds=0.05)
    validate(plan)
    assert plan.lower_bound <= plan.arena_bytes <= greedy.arena_bytes
    assert (plan.method == "cp-sat") == (plan.arena_bytes < greedy.arena_bytes)
    assert plan == plan_arena(buffers, deterministic_seconds=0.05)


@needs_ortools
@settings(deadline=None, max_examples=25)
@given(gapped_buffer_lists(most=5))
def test_what_is_proven_optimal_no_order_of_placing_beats(buffers: list[Buffer]) -> None:
    """Some order of first fit gives a smallest arena where every buffer is used as a whole."""
    buffers = [Buffer(b.name, b.bytes, b.first, b.last, b.alignment) for b in buffers]
    plan = plan_arena(buffers, deterministic_seconds=1.0)
    conflicts = find_conflicts(buffers)
    tops = [
        max(
            int(o) + b.bytes for o, b in zip(first_fit(buffers, conflicts, p), buffers, strict=True)
        )
        for p in permutations(range(len(buffers)))
    ]
    granule = planner.granule(buffers)
    assert plan.optimal
    assert plan.arena_bytes == -(-min(tops) // granule) * granule


@needs_ortools
def test_the_solver_wins_where_greedy_wastes() -> None:
    buffers = hard_instance(48, 9, stretches=4)
    greedy, plan = plan_arena(buffers, solve=False), plan_arena(buffers)
    assert greedy.arena_bytes > plan.arena_bytes == plan.lower_bound
    assert plan.method == "cp-sat"
    assert plan.optimal


@needs_ortools
def test_the_optimum_needs_the_gap() -> None:
    gap = Buffer("shrinks", 64, 0, 9, gaps=(Gap(3, 6, 16, 40),))
    guests = [Buffer("low", 16, 3, 6), Buffer("high", 24, 3, 6), Buffer("later", 64, 6, 9)]
    plan = plan_arena([gap, *guests])
    assert plan.arena_bytes == plan.lower_bound == 128
    whole = plan_arena([Buffer("shrinks", 64, 0, 9), *guests, Buffer("more", 64, 3, 6)])
    assert plan_arena([gap, *guests, Buffer("more", 64, 3, 6)]).arena_bytes < whole.arena_bytes


def test_without_ortools_the_greedy_plan_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    buffers = hard_instance(48, 9, stretches=4)
    monkeypatch.setattr(solver, "available", lambda: False)
    assert plan_arena(buffers) == plan_arena(buffers, solve=False)


def test_the_solver_is_not_asked_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "pack", None)
    assert plan_arena([Buffer("a", 64, 0, 2), Buffer("b", 64, 1, 3)]).optimal


@pytest.mark.parametrize(
    ("buffers", "unit"),
    [
        ([Buffer("a", 1024, 0, 1), Buffer("b", 3072, 0, 1)], 1024),
        ([Buffer("a", 1024, 0, 1), Buffer("b", 20, 0, 1, 4)], 4),
        ([Buffer("a", 1024, 0, 1), Buffer("b", 20, 0, 1)], 8),
        ([Buffer("a", 64, 0, 4, gaps=(Gap(1, 2, 3, 64),))], 1),
        ([Buffer("a", 64, 0, 4, gaps=(Gap(1, 2, 0, 33),))], 8),
    ],
)
def test_the_unit_of_offsets(buffers: list[Buffer], unit: int) -> None:
    assert unit_bytes(buffers) == unit


# -- order ----------------------------------------------------------------------------------------


@needs_ortools
@settings(deadline=None, max_examples=25)
@given(random_tasks(6))
def test_the_smallest_peak_of_all_orders_is_found(tasks: Tasks) -> None:
    given_order = tuple(range(len(tasks.follows)))
    found = smaller_peak(tasks, given_order, 1.0)
    orders = all_orders(tasks)
    assert found in orders
    assert tasks.cost(found)[0] == min(tasks.cost(order)[0] for order in orders)
    assert found == smaller_peak(tasks, given_order, 1.0)


def plan_of(tasks: Tasks, order: Order) -> Plan:
    """The packing of the tasks' memory in this order."""
    end = tasks.start + len(order)
    buffers = []
    for m in tasks.memories:
        steps = [tasks.start + order.index(user) for user in m.users]
        first = tasks.start if m.before else steps[0]
        buffers.append(replace(m.buffer, first=first, last=end if m.after else max(steps) + 1))
    return plan_arena(buffers, deterministic_seconds=1.0)


@needs_ortools
@settings(deadline=None, max_examples=25)
@given(random_tasks(5))
def test_order_and_offsets_together(tasks: Tasks) -> None:
    """If some order packs better than the one given, the best of them is found."""
    order = tuple(range(len(tasks.follows)))
    plan = plan_of(tasks, order)
    placement = InitialPlan(plan.offsets, plan.arena_bytes, planner.granule(plan.buffers))
    found = smaller_arena(tasks, order, placement, 1.0)
    least = min(plan_of(tasks, other).arena_bytes for other in all_orders(tasks))
    assert plan_of(tasks, found).arena_bytes == least
    assert found == order or least < plan.arena_bytes


# -- instances ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "gaps"), [(154, False), (204, True)])
def test_hard_instances_have_a_known_optimum(count: int, gaps: bool) -> None:
    buffers = hard_instance(count, 1, gaps=gaps)
    assert buffers == hard_instance(count, 1, gaps=gaps)
    assert len(buffers) == count
    assert any(b.gaps for b in buffers) == gaps
    plan = plan_arena(buffers, solve=False)
    assert plan.lower_bound == 1024 * 1024
    live = planner.live_bytes(buffers)[:-1]
    assert float(np.mean(live)) > 0.97 * plan.lower_bound


def test_files_in_the_format_of_minimalloc(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id,lower,upper,size,alignment,gaps\nb1,0,9,64,8,2-4 5-6@0:24\nb2,3,9,4,4,\n")
    assert read_csv(file) == [
        Buffer("b1", 64, 0, 9, 8, (Gap(2, 4), Gap(5, 6, 0, 24))),
        Buffer("b2", 4, 3, 9, 4),
    ]
    file.write_text("buffer_id,start,end,size\nb1,0,8,64\n")
    assert read_csv(file) == [Buffer("b1", 64, 0, 9, 1)]
