"""Pareto fronts of predicted gain against SRAM and against instructions of one step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from microtune.search.costs.lower_bounds import LowerBounds
from microtune.search.costs.planned import Limits, SelectionCosts, require_head_fits
from microtune.search.known_schemes import LAST_LAYERS, known_schemes
from microtune.search.problem import HEAD_ONLY, Contributions, Selection
from microtune.search.selection.exact import best_selection, lower_bounds_of


@dataclass(frozen=True)
class CostedScheme:
    """A scheme with its costs and predicted gain.

    Bytes of SRAM and flash are planned, instructions of one training step estimated. `predicted` is
    the gain over the head alone in nats, None if a part of it was not measured. `proven` says that
    no better scheme fits the budget that this one was found for.
    """

    name: str
    selection: Selection
    sram_bytes: int
    flash_bytes: int
    instructions: int
    predicted: float | None
    proven: bool = False


def geometric_budgets(low: int, high: int, count: int) -> list[int]:
    """At most `count` budgets from `low` to `high`, ascending by a constant factor."""
    factor = (high / low) ** (1 / max(count - 1, 1))
    return sorted({low, high, *(round(low * factor**i) for i in range(1, count - 1))})


def sram_front(
    contributions: Contributions, costs: SelectionCosts, limits: Limits, budgets: Iterable[int],
    on_point: Callable[[CostedScheme], None] | None = None,
) -> list[CostedScheme]:  # fmt: skip
    """The best selection at each SRAM budget in bytes, within the other limits.

    In the order of budgets; a selection that is best at several budgets comes once. Budgets at
    which the head alone does not fit are left out. On a target with several memories each budget
    has plans of its own, as `compile` would make them. `on_point` is called for each point of the
    front. Raises MicrotuneError without ortools, and if the head alone fits no budget.
    """
    steps = [(costs.within(b), replace(limits, sram_bytes=b)) for b in sorted(budgets)]
    return _front(contributions, steps, on_point)


def instruction_front(
    contributions: Contributions, costs: SelectionCosts, limits: Limits, budgets: Iterable[int],
    on_point: Callable[[CostedScheme], None] | None = None,
) -> list[CostedScheme]:  # fmt: skip
    """The best selection at each budget of instructions of one step; otherwise as `sram_front`."""
    steps = [(costs, replace(limits, step_instructions=budget)) for budget in sorted(budgets)]
    return _front(contributions, steps, on_point)


def _front(
    contributions: Contributions, steps: Sequence[tuple[SelectionCosts, Limits]],
    on_point: Callable[[CostedScheme], None] | None,
) -> list[CostedScheme]:  # fmt: skip
    """The best selection for each pair of costs and limits, without repetition."""
    if steps:
        require_head_fits(*steps[-1])
    bounds: LowerBounds | None = None
    front: list[CostedScheme] = []
    for costs, limits in steps:
        if not costs.fits(HEAD_ONLY, limits):
            continue
        if bounds is None or bounds.costs is not costs:
            bounds = lower_bounds_of(contributions, costs)
        solution = best_selection(contributions, costs, limits, bounds=bounds)
        found = costed_scheme("search", solution.selection, costs, contributions)
        if not front or found.selection != front[-1].selection:
            front.append(replace(found, proven=solution.proven))
            if on_point is not None:
                on_point(front[-1])
    return front


def costed_scheme(
    name: str, selection: Selection, costs: SelectionCosts, contributions: Contributions
) -> CostedScheme:
    """A selection with its costs and, if all of its parts are known, its predicted gain."""
    known = contributions.covers(selection)
    return CostedScheme(
        name, selection, costs.sram(selection), costs.flash(selection),
        costs.instructions(selection), contributions.objective(selection) if known else None,
    )  # fmt: skip


def costed_known_schemes(
    contributions: Contributions, costs: SelectionCosts, last: Sequence[int] = LAST_LAYERS
) -> list[CostedScheme]:
    """The schemes of `known_schemes` with their costs and predicted gains."""
    return [
        costed_scheme(name, selection, costs, contributions)
        for name, selection in known_schemes(costs, last).items()
    ]
