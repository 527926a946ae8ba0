"""What a found scheme is compared with."""

from __future__ import annotations

from fractions import Fraction

import pytest

from microtune.search import verification
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.known_schemes import last_layers
from microtune.search.problem import HEAD_ONLY, Choice, Selection
from microtune.search.verification import FOUND, schemes_to_verify
from tests.search.small import ANYTHING, random_costs


@pytest.fixture(scope="module")
def costs() -> SelectionCosts:
    return random_costs(3)


def test_known_schemes_that_fill_the_budget_compete(
    costs: SelectionCosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(costs.layers)
    published = {"1KB": Selection(1, ()), "9KB": Selection(2, ()), "all": Selection(count, ())}
    monkeypatch.setattr(verification, "published_selections", lambda _: published)
    found = Selection(3, (Choice(count - 1, Fraction(1)),))
    limits = Limits(costs.sram(Selection(2, ())), ANYTHING.flash_bytes)
    named = schemes_to_verify(found, costs, limits)
    depth = max(k for k in range(count + 1) if costs.fits(last_layers(costs, k), limits))
    others = {"head-only": HEAD_ONLY, "bias-only": Selection(3, ()), FOUND: found}
    last = {f"last-{depth}": last_layers(costs, depth)} if depth else {}
    assert named == others | last | {"published 9KB": published["9KB"]}
    assert list(named)[:2] == ["head-only", "bias-only"] and list(named)[-1] == FOUND


def test_each_selection_is_trained_once(costs: SelectionCosts) -> None:
    """What was found may be a known scheme."""
    everything = last_layers(costs, len(costs.layers))
    named = schemes_to_verify(everything, costs, ANYTHING)
    assert list(named.values()).count(everything) == 1 and named[FOUND] == everything
    assert schemes_to_verify(HEAD_ONLY, costs, ANYTHING)[FOUND] == HEAD_ONLY
    assert list(schemes_to_verify(HEAD_ONLY, costs, ANYTHING)) == [
        f"last-{len(costs.layers)}",
        FOUND,
    ]
