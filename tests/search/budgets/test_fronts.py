"""Fronts of the additive model, and where known schemes lie beside them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile
from microtune.search.budgets.fronts import (
    CostedScheme,
    costed_known_schemes,
    geometric_budgets,
    instruction_front,
    sram_front,
)
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.known_schemes import known_schemes
from microtune.search.problem import HEAD_ONLY, Contributions, Selection
from microtune.search.selection.exact import best_selection
from microtune.targets import load_target
from microtune.targets.target import MemoryBank
from microtune.training.scheme import resolve_scheme
from tests.search.small import ANYTHING, FREE, all_selections, random_costs, request, some_space


@pytest.fixture(scope="module")
def costs() -> SelectionCosts:
    return random_costs(3)


@pytest.fixture(scope="module")
def gains(costs: SelectionCosts) -> Contributions:
    depths, choices = some_space(costs)
    return Contributions({k: 0.01 * k for k in depths}, {c: 0.02 * float(c.ratio) for c in choices})


def test_the_sram_front_is_the_best_of_each_budget(
    costs: SelectionCosts, gains: Contributions
) -> None:
    selections = all_selections(costs, list(gains.biases), list(gains.weights))
    sizes = sorted(map(costs.sram, selections))
    budgets = [sizes[0] - 8, *geometric_budgets(sizes[0], sizes[-1], 6)]
    heard: list[CostedScheme] = []
    front = sram_front(gains, costs, ANYTHING, budgets, heard.append)
    assert heard == front and front[0].selection == HEAD_ONLY and len(front) > 2
    for mark in front:
        better = [s for s in selections if costs.sram(s) <= mark.sram_bytes]
        best = max(map(gains.objective, better))
        assert mark.proven and mark.predicted == pytest.approx(best, abs=1e-7)
        assert mark.sram_bytes == costs.sram(mark.selection)
    predicted = [mark.predicted or 0.0 for mark in front]
    assert predicted == sorted(predicted) and len(set(predicted)) == len(predicted)


def test_plans_over_banks_aim_at_the_budget_of_a_mark() -> None:
    """What `compile --sram` with that budget would place, and the command's would not."""
    one = random_costs(14)
    depths, choices = some_space(one)
    gains = Contributions(
        {k: 0.01 * k for k in depths}, {c: 0.02 * float(c.ratio) for c in choices}
    )
    banks = MemoryBank("fast", 0, 1008, 1), MemoryBank("slow", 1 << 20, 4032, 2)
    target = replace(load_target("stm32f746"), memories=banks)
    wide = SelectionCosts(one.model, replace(one.request, target=target, sram_bytes=6048))
    budget = 3817
    own = wide.within(budget)
    front = sram_front(gains, wide, Limits(6048, FREE), [budget])
    selections = all_selections(one, depths, choices)
    best, less = (
        max(gains.objective(s) for s in selections if costs.sram(s) <= budget)
        for costs in (own, wide)
    )
    assert front[-1].predicted == pytest.approx(best, abs=1e-7) and best > less
    assert front[-1].sram_bytes == own.sram(front[-1].selection) <= budget
    assert wide.within(6048) is wide and one.within(budget) is one


def test_the_instruction_front_keeps_its_budgets(
    costs: SelectionCosts, gains: Contributions
) -> None:
    counts = [costs.instructions(HEAD_ONLY), costs.instructions(Selection(1, ()))]
    front = instruction_front(gains, costs, ANYTHING, [*counts, 1 << 30])
    assert front[0].selection == HEAD_ONLY
    best = best_selection(gains, costs, ANYTHING)
    assert front[-1].selection == best.selection
    assert [mark.instructions for mark in front] == sorted(mark.instructions for mark in front)


def test_no_budget_for_the_head(costs: SelectionCosts, gains: Contributions) -> None:
    with pytest.raises(MicrotuneError, match="head alone takes"):
        sram_front(gains, costs, ANYTHING, [16])


def test_other_marks(costs: SelectionCosts, gains: Contributions) -> None:
    marks = {mark.name: mark for mark in costed_known_schemes(gains, costs, last=(1, 99))}
    assert list(marks) == ["last-1", "bias-only", "head-only"]
    count = len(costs.layers)
    assert marks["head-only"].predicted == 0.0
    assert marks["bias-only"].predicted == gains.biases[count]
    assert marks["last-1"].sram_bytes == costs.sram(marks["last-1"].selection)
    unknown = Contributions({}, {})
    assert {m.name: m.predicted for m in costed_known_schemes(unknown, costs, last=(1,))} == {
        "last-1": None, "bias-only": None, "head-only": 0.0,
    }  # fmt: skip


def test_known_selections_are_the_schemes_of_their_names(costs: SelectionCosts) -> None:
    graph = costs.model.graph
    for name, selection in known_schemes(costs, last=(1,)).items():
        assert costs.scheme(selection).sha256() == resolve_scheme(name, graph, "").sha256()


def test_published_schemes_are_known(costs: SelectionCosts) -> None:
    """As they are written: this graph has no such layers."""
    graph = costs.model.graph.copy()
    graph.name = "mcunet-5fps"
    named = SelectionCosts(ModelFile(graph, {}, ""), request(2))
    known = known_schemes(named, last=())
    assert list(known)[:2] == ["49KB", "74KB"] and known["49KB"].bias_layers == 20
    table = known["49KB"].table("49KB", graph.name)
    assert table["weights"] == {"24": "1/4", "27": "1/2", "30": "1/2"}


def test_a_ladder_has_equal_steps() -> None:
    rungs = geometric_budgets(1000, 8000, 4)
    assert rungs == [1000, 2000, 4000, 8000] and geometric_budgets(5, 5, 3) == [5]
