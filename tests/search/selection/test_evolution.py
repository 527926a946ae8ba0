"""Evolution and random search: fronts within limits, traces, and the same with the same seed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest

from microtune.errors import MicrotuneError
from microtune.search.costs.lower_bounds import LowerBounds
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.problem import HEAD_ONLY, Contributions, Selection
from microtune.search.selection import evolution as module
from microtune.search.selection.evolution import (
    Exploration,
    ScoredSelection,
    SearchSpace,
    evolve,
    exact_trace,
    random_search,
)
from tests.search.small import Remembered, all_selections, random_costs, some_space

PLANS = 20


@pytest.fixture(scope="module")
def costs() -> SelectionCosts:
    return random_costs(3)


@pytest.fixture(scope="module")
def space(costs: SelectionCosts) -> SearchSpace:
    depths, choices = some_space(costs)
    return SearchSpace(tuple(depths), tuple(choices), len(costs.layers))


def bounds_within(costs: SelectionCosts, space: SearchSpace) -> LowerBounds:
    return LowerBounds(costs, {0, *space.depths}, space.choices)


@pytest.fixture(scope="module")
def bounds(costs: SelectionCosts, space: SearchSpace) -> LowerBounds:
    return bounds_within(costs, space)


@pytest.fixture(scope="module")
def gains(space: SearchSpace) -> Contributions:
    return Contributions(
        {k: 0.01 * k for k in space.depths},
        {c: 0.02 * float(c.ratio) + 0.001 * c.layer for c in space.choices},
    )


@pytest.fixture(scope="module")
def limits(costs: SelectionCosts, space: SearchSpace) -> Limits:
    """Half of all selections fit."""
    selections = all_selections(costs, list(space.depths), list(space.choices))
    bytes_ = sorted(map(costs.sram, selections))
    return Limits(bytes_[len(bytes_) // 2], 1 << 26)


def check(found: Exploration, costs: SelectionCosts, limits: Limits) -> None:
    assert 0 < len(found.trace) <= PLANS
    scores = [score for score in found.trace if score is not None]
    assert scores == sorted(scores) and scores[-1] == max(p.score for p in found.points)
    assert all(costs.fits(p.selection, limits) for p in found.points)
    front = found.pareto()
    assert front and not any(a.dominates(b) for a, b in permutations(front, 2))
    assert all(any(f == p or f.dominates(p) for f in front) for p in found.points)


@pytest.mark.parametrize("search", [evolve, random_search])
def test_a_search_keeps_limits_and_repeats_itself(
    search: Callable[..., Exploration],
    space: SearchSpace,
    bounds: LowerBounds,
    gains: Contributions,
    limits: Limits,
) -> None:
    found = search(gains.objective, space, bounds, limits, PLANS, seed=4)
    check(found, bounds.costs, limits)
    assert search(gains.objective, space, bounds, limits, PLANS, seed=4) == found
    assert search(gains.objective, space, bounds, limits, PLANS, seed=5) != found


@pytest.mark.parametrize("search", [evolve, random_search])
def test_what_bounds_rule_out_is_no_plan(
    search: Callable[..., Exploration],
    costs: SelectionCosts,
    space: SearchSpace,
    gains: Contributions,
) -> None:
    """Only few selections fit here; every plan is of one that may."""
    own = SelectionCosts(costs.model, costs.request)
    bounds = bounds_within(own, space)
    selections = all_selections(costs, list(space.depths), list(space.choices))
    limits = Limits(sorted(map(costs.sram, selections))[len(selections) // 8], 1 << 26)
    may = {s for s in selections if bounds.lower_bound(s).sram_bytes <= limits.sram_bytes}
    scored: list[Selection] = []

    def score(selection: Selection) -> float:
        scored.append(selection)
        return gains.objective(selection)

    found = search(score, space, bounds, limits, len(selections))
    assert len(may) < len(selections) and set(scored) <= may
    assert len(found.trace) == len(scored) >= own.plans - 1  # the bounds know the head


def test_evolution_begins_with_what_may_fit(
    space: SearchSpace, bounds: LowerBounds, gains: Contributions, limits: Limits
) -> None:
    first = evolve(gains.objective, space, bounds, limits, 3, seed=2)
    drawn = random_search(gains.objective, space, bounds, limits, 3, seed=2)
    later = {p.selection for p in first.points} - {HEAD_ONLY}
    assert later <= {p.selection for p in drawn.points}


def test_no_search_finds_more_than_the_exact_one(
    costs: SelectionCosts,
    space: SearchSpace,
    bounds: LowerBounds,
    gains: Contributions,
    limits: Limits,
) -> None:
    exact = exact_trace(gains, costs, limits)
    assert exact[:-1] == [None] * (len(exact) - 1) and exact[-1] is not None
    for search in (evolve, random_search):
        best = search(gains.objective, space, bounds, limits, PLANS, seed=1).trace[-1]
        assert best is not None and best <= exact[-1] + 1e-7


def test_an_interrupted_search_goes_on_from_its_store(
    costs: SelectionCosts,
    space: SearchSpace,
    bounds: LowerBounds,
    gains: Contributions,
    limits: Limits,
) -> None:
    store, scored = Remembered(), 0

    def interrupted(selection: Selection) -> float:
        nonlocal scored
        scored += 1
        if scored > PLANS // 2:
            raise KeyboardInterrupt
        return gains.objective(selection)

    first = SelectionCosts(costs.model, costs.request, store)
    with pytest.raises(KeyboardInterrupt):
        evolve(interrupted, space, bounds_within(first, space), limits, PLANS, seed=4)
    again = SelectionCosts(costs.model, costs.request, store)
    found = evolve(gains.objective, space, bounds_within(again, space), limits, PLANS, seed=4)
    assert found == evolve(gains.objective, space, bounds, limits, PLANS, seed=4)
    assert again.plans == len(found.trace) - first.plans


def test_evolution_starts_where_it_is_told(
    costs: SelectionCosts,
    space: SearchSpace,
    bounds: LowerBounds,
    gains: Contributions,
    limits: Limits,
) -> None:
    start = Selection(space.depths[-1], (space.choices[-1],))
    found = evolve(gains.objective, space, bounds, limits, 2, start=(HEAD_ONLY, start))
    assert len(found.trace) == 2 and found.points[0].selection == HEAD_ONLY
    assert costs.fits(start, limits) == (start in [p.selection for p in found.points])


def test_any_score_will_do(space: SearchSpace, bounds: LowerBounds, limits: Limits) -> None:
    """Fewer layers are better here: the head alone wins, and stands alone on the front."""
    found = evolve(lambda s: -len(s.choices) - s.bias_layers, space, bounds, limits, PLANS)
    assert [p.selection for p in found.pareto()] == [HEAD_ONLY]


def test_domination() -> None:
    point = ScoredSelection(HEAD_ONLY, 1.0, 100, 10)
    assert ScoredSelection(HEAD_ONLY, 1.0, 99, 10).dominates(point)
    assert not ScoredSelection(HEAD_ONLY, 1.0, 99, 11).dominates(point) and not point.dominates(
        point
    )


def test_layers_out_of_reach_are_left_out(space: SearchSpace) -> None:
    every = {layer: 1 for layer in space.ratios()}
    assert space.selection(0, every) == HEAD_ONLY
    assert all(c.layer == space.layer_count - 1 for c in space.selection(1, every).choices)


def test_without_optuna_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, space: SearchSpace, bounds: LowerBounds, limits: Limits
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MicrotuneError, match=r"microtune\[search\]"):
        evolve(lambda s: 0.0, space, bounds, limits, 1)
