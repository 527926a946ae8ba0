"""The selection equals the best of all selections, planned one by one."""

from __future__ import annotations

import random
from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtune.errors import MicrotuneError
from microtune.search.costs.lower_bounds import LowerBounds, sram_lower_bound
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.problem import HEAD_ONLY, Choice, Contributions, Selection
from microtune.search.selection import exact as select
from microtune.search.selection.exact import best_selection
from microtune.search.selection.integer_program import Cut
from tests.search.small import (
    ANYTHING,
    all_selections,
    embedded_model,
    random_costs,
    request,
    some_space,
)

SEEDS = (3, 14)


@cache
def planned(seed: int) -> tuple[SelectionCosts, list[int], list[Choice], list[Selection]]:
    """A random graph with all its selections planned."""
    costs = random_costs(seed)
    depths, choices = some_space(costs)
    selections = all_selections(costs, depths, choices)
    for selection in selections:
        costs.sram(selection)
    return costs, depths, choices, selections


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(SEEDS), st.integers(0, 10_000))
def test_the_selection_is_the_best_of_all(seed: int, dice: int) -> None:
    costs, depths, choices, selections = planned(seed)
    chance = random.Random(dice)
    contributions = Contributions(
        {k: chance.gauss(0.1, 0.1) for k in depths}, {c: chance.gauss(0.05, 0.1) for c in choices}
    )
    # Exactly at, just below and above what some selection takes.
    measures = (costs.sram, costs.flash, costs.instructions)
    sram, flash, count = (
        max(measure(HEAD_ONLY), measure(chance.choice(selections)) + chance.choice((-1, 0, 9)))
        for measure in measures
    )
    limits = Limits(sram, flash, chance.choice((None, count)))
    best = max(contributions.objective(s) for s in selections if costs.fits(s, limits))
    solution = best_selection(contributions, costs, limits)
    assert solution.proven and costs.fits(solution.selection, limits)
    assert solution.objective == contributions.objective(solution.selection)
    assert solution.objective == pytest.approx(best, abs=1e-7)
    assert solution.bound == pytest.approx(best, abs=1e-7)
    again = best_selection(contributions, costs, limits)
    assert again.selection == solution.selection


def test_the_embedded_model_at_tight_budgets() -> None:
    """Budgets between plans, so that the best by the bounds is not always the best that fits."""
    costs = SelectionCosts(embedded_model(), request(5))
    depths = [2, 3]
    choices = [Choice(17, Fraction(1, 4)), Choice(18, Fraction(1)), Choice(19, Fraction(1, 2))]
    selections = all_selections(costs, depths, choices)
    contributions = Contributions(
        {2: 0.02, 3: 0.05}, dict(zip(choices, (0.04, 0.01, 0.03), strict=True))
    )
    for sram in sorted({costs.sram(s) for s in selections}):
        limits = Limits(sram, ANYTHING.flash_bytes)
        best = max(contributions.objective(s) for s in selections if costs.fits(s, limits))
        solution = best_selection(contributions, costs, limits)
        assert solution.objective == pytest.approx(best, abs=1e-9) and solution.proven


def test_what_harms_is_not_chosen() -> None:
    costs, depths, choices, _ = planned(14)
    harm = Contributions(dict.fromkeys(depths, -0.1), dict.fromkeys(choices, -0.2))
    solution = best_selection(harm, costs, ANYTHING)
    assert solution.selection == HEAD_ONLY and solution.objective == 0.0


def test_a_choice_needs_the_biases_of_its_layer() -> None:
    costs, _, choices, _ = planned(14)
    useful = Contributions({1: -0.5}, dict.fromkeys(choices, 0.1))
    last = [c for c in choices if c.layer == len(costs.layers) - 1]
    solution = best_selection(useful, costs, ANYTHING)
    assert set(solution.selection.choices) <= set(last)


def test_checks_are_told() -> None:
    costs, depths, choices, selections = planned(3)
    contributions = Contributions(dict.fromkeys(depths, 0.1), dict.fromkeys(choices, 0.1))
    heard: list[tuple[int, Selection, bool]] = []
    limits = Limits(sorted(map(costs.sram, selections))[len(selections) // 2], 1 << 26)
    solution = best_selection(contributions, costs, limits, lambda *check: heard.append(check))
    assert [number for number, _, _ in heard] == list(range(1, solution.evaluations + 1))
    assert [fits for _, _, fits in heard] == [False] * (len(heard) - 1) + [True]
    assert heard[-1][1] == solution.selection


def test_a_cut_forbids_what_trains_as_much() -> None:
    quarter, half, whole = (Choice(3, Fraction(1, part)) for part in (4, 2, 1))
    cut = Cut(Selection(4, (quarter,)), and_larger=True)
    assert cut.forbids(Selection(4, (quarter,))) and cut.forbids(Selection(5, (half,)))
    assert not cut.forbids(Selection(3, (half,))) and not cut.forbids(Selection(5, ()))
    # The whole layer needs no copy of the channels that it reads, and may take less.
    assert not cut.forbids(Selection(5, (whole,)))
    assert Cut(Selection(4, (whole,)), and_larger=True).forbids(Selection(5, (whole,)))
    alone = Cut(Selection(4, (half,)), and_larger=False)
    assert alone.forbids(Selection(4, (half,))) and not alone.forbids(Selection(5, (half,)))


def test_nothing_fits() -> None:
    costs, depths, choices, _ = planned(14)
    contributions = Contributions(dict.fromkeys(depths, 0.1), dict.fromkeys(choices, 0.1))
    least = costs.sram(HEAD_ONLY)
    with pytest.raises(MicrotuneError, match=f"{least:,} bytes of SRAM"):
        best_selection(contributions, costs, Limits(least - 1, 1 << 26))


def test_without_ortools_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    costs, depths, _, _ = planned(14)
    monkeypatch.setattr(select, "find_spec", lambda name: None)
    with pytest.raises(MicrotuneError, match="pip install ortools"):
        best_selection(Contributions({depths[0]: 0.1}, {}), costs, ANYTHING)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_plan_goes_below_the_bounds(seed: int) -> None:
    """Random graphs share saved inputs between layers, overwrite in place, group and add."""
    costs, depths, choices, selections = planned(seed)
    bounds = LowerBounds(costs, (0, *depths), choices)
    for selection in selections:
        assert sram_lower_bound(costs, selection) <= costs.sram(selection)
        at = bounds.depth_costs[selection.bias_layers]
        needs = {c: bounds.choice_costs[c] for c in selection.choices}
        arena = bounds.prefix_arena
        for step in at.live.by_step:
            alive, kept = at.live_in_step(step, needs)
            saved = {needs[c].saved_tensor: needs[c].saved_bytes for c in kept}
            arena = max(arena, alive + sum(saved.values()))
        resident = at.resident_bytes + sum(need.resident_bytes for need in needs.values())
        assert resident + arena <= costs.sram(selection)
        flash = at.flash_bytes + sum(need.flash_bytes for need in needs.values())
        assert flash <= costs.flash(selection) <= flash + 64
        count = at.instructions + sum(need.instructions for need in needs.values())
        assert abs(count - costs.instructions(selection)) <= 1 + len(needs)
