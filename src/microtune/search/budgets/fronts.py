"""The front of the additive model: predicted gain against SRAM and against instructions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from microtune.search.costs.lower_bounds import Bounds
from microtune.search.costs.planned import Costs, Limits, require_head
from microtune.search.known_schemes import LAST, known_selections
from microtune.search.problem import HEAD_ONLY, Contributions, Selection
from microtune.search.selection.exact import best_selection, bounds_of


@dataclass(frozen=True)
class Mark:
    """A scheme in the picture: its costs, and the predicted decrease of the log-loss over the head
    alone in nats, None where some part of it was not measured. `proven`: nothing better fits the
    budget it was found for."""

    name: str
    selection: Selection
    sram_bytes: int
    flash_bytes: int
    instructions: int
    predicted: float | None
    proven: bool = False


def budget_ladder(low: int, high: int, count: int) -> list[int]:
    """Budgets from low to high, each larger by the same factor; ascending, without repetition."""
    factor = (high / low) ** (1 / max(count - 1, 1))
    return sorted({low, high, *(round(low * factor**i) for i in range(1, count - 1))})


def sram_front(
    contributions: Contributions, costs: Costs, limits: Limits, budgets: Iterable[int],
    on_point: Callable[[Mark], None] | None = None,
) -> list[Mark]:  # fmt: skip
    """The best selection at each SRAM budget in bytes, the other limits kept; ascending, each once.

    On a target of several memories plans aim at each budget as `compile` would. Budgets below that
    of the head alone are left out. Raises what `best_selection` raises.
    """
    steps = [(costs.within(b), replace(limits, sram_bytes=b)) for b in sorted(budgets)]
    return _front(contributions, steps, on_point)


def instruction_front(
    contributions: Contributions, costs: Costs, limits: Limits, budgets: Iterable[int],
    on_point: Callable[[Mark], None] | None = None,
) -> list[Mark]:  # fmt: skip
    """The best selection at each budget of instructions of a step; as `sram_front`."""
    steps = [(costs, replace(limits, step_instructions=budget)) for budget in sorted(budgets)]
    return _front(contributions, steps, on_point)


def _front(
    contributions: Contributions, steps: Sequence[tuple[Costs, Limits]],
    on_point: Callable[[Mark], None] | None,
) -> list[Mark]:  # fmt: skip
    if steps:
        require_head(*steps[-1])
    bounds: Bounds | None = None
    front: list[Mark] = []
    for costs, limits in steps:
        if not costs.fits(HEAD_ONLY, limits):
            continue
        if bounds is None or bounds.costs is not costs:
            bounds = bounds_of(contributions, costs)
        solution = best_selection(contributions, costs, limits, bounds=bounds)
        found = mark("search", solution.selection, costs, contributions)
        if not front or found.selection != front[-1].selection:
            front.append(replace(found, proven=solution.proven))
            if on_point is not None:
                on_point(front[-1])
    return front


def mark(name: str, selection: Selection, costs: Costs, contributions: Contributions) -> Mark:
    """A selection with its costs and, where its parts were measured, its predicted gain."""
    known = contributions.cover(selection)
    return Mark(
        name, selection, costs.sram(selection), costs.flash(selection),
        costs.instructions(selection), contributions.objective(selection) if known else None,
    )  # fmt: skip


def other_marks(
    contributions: Contributions, costs: Costs, last: Sequence[int] = LAST
) -> list[Mark]:
    """The published schemes of the model, last-K, bias-only and head-only."""
    return [
        mark(name, selection, costs, contributions)
        for name, selection in known_selections(costs, last).items()
    ]
