"""The selection of largest predicted gain within the limits, with a proof.

For each bias depth an integer program (`integer_program.py`) has all selections whose lower bounds
(`costs/lower_bounds.py`) are within the limits. No selection that fits is missing. The programs are
solved in the order of the upper bounds from their linear programs; one whose bound is below the
best selection is never solved. The best selection of all is planned. If it fits, no better one
does. If it does not, a cut excludes it and the programs are solved again. The cut also excludes all
larger selections if the plan exceeds the limit by more than NOISE_BYTES.

A choice needs the biases down to its layer: gains of weights are measured over biases, and the
gradient passes through those layers anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from microtune.errors import MicrotuneError
from microtune.search.costs.lower_bounds import LowerBounds
from microtune.search.costs.planned import Limits, SelectionCosts, require_head_fits
from microtune.search.problem import HEAD_ONLY, Choice, Contributions, Selection
from microtune.search.selection.integer_program import (
    GAIN_UNIT,
    Cut,
    IntegerProgram,
    integer_program,
)

# The planner stops at limits of time, so that the plan of a larger selection is sometimes smaller:
# by up to 40 bytes in 2 of 3,218 pairs of selections of random graphs.
NOISE_BYTES = 64

OnCheck = Callable[[int, Selection, bool], None]


@dataclass(frozen=True)
class Solution:
    """The best selection, with what is known of better ones.

    `objective` is its predicted gain and `bound` an upper bound of that of every selection that
    fits, both in nats. `proven` says that they are equal, up to GAIN_UNIT for each choice.
    `evaluations` counts the selections that were checked against the planner, cached plans too.
    `seconds` is wall-clock time.
    """

    selection: Selection
    objective: float
    bound: float
    proven: bool
    evaluations: int
    seconds: float


def best_selection(
    contributions: Contributions,
    costs: SelectionCosts,
    limits: Limits,
    on_check: OnCheck | None = None,
    bounds: LowerBounds | None = None,
) -> Solution:
    """The selection of largest predicted gain whose costs are within all limits.

    Depths and choices are those of `contributions`; choices without a positive gain are left out.
    `on_check` is called for every selection that is checked, with the number of checks so far, the
    selection, and whether it fits. `bounds` (of `lower_bounds_of`) saves time if the same costs are
    searched within several limits. Equal input gives an equal answer. Raises MicrotuneError without
    ortools, and if not even the head alone fits.
    """
    require_ortools()
    require_head_fits(costs, limits)
    begin = time.monotonic()
    depths = _DepthPrograms(contributions, bounds or lower_bounds_of(contributions, costs), limits)
    checks = 0
    while True:
        selection, bound, reached = depths.best()
        checks += 1
        fits = costs.fits(selection, limits)
        if on_check is not None:
            on_check(checks, selection, fits)
        if fits:
            objective, seconds = contributions.objective(selection), time.monotonic() - begin
            return Solution(selection, objective, bound, reached, checks, seconds)
        over = costs.sram(selection) - limits.sram_bytes
        depths.add(Cut(selection, and_larger=over > NOISE_BYTES))


def nearly_best_selection(
    contributions: Contributions, costs: SelectionCosts, limits: Limits
) -> Selection:
    """A selection of large predicted gain whose costs are within all limits, with few plans.

    The best selection by the lower bounds is planned. Where its costs exceed a limit, as much is
    taken from that limit of the bounds, and the best selection within is planned. Raises
    MicrotuneError without ortools, and if not even the head alone fits.
    """
    require_ortools()
    require_head_fits(costs, limits)
    bounds, within = lower_bounds_of(contributions, costs), limits
    while costs.fits(HEAD_ONLY, within):
        selection = _DepthPrograms(contributions, bounds, within).best()[0]
        if costs.fits(selection, limits):
            return selection
        within = _tightened(within, limits, costs, selection)
    return HEAD_ONLY


def _tightened(
    within: Limits, limits: Limits, costs: SelectionCosts, selection: Selection
) -> Limits:
    """Limits of the bounds, less what the costs of a selection exceed the real limits by."""
    most, steps = limits.step_instructions, within.step_instructions
    if most is not None and steps is not None:
        steps -= max(costs.instructions(selection) - most, 0)
    sram = costs.sram(selection) - limits.sram_bytes
    return Limits(
        within.sram_bytes - (max(sram, NOISE_BYTES) if sram > 0 else 0),
        within.flash_bytes - max(costs.flash(selection) - limits.flash_bytes, 0),
        steps,
    )


def require_ortools() -> None:
    """Raise MicrotuneError, which says how to install it, if ortools is missing."""
    if find_spec("ortools") is None:
        raise MicrotuneError("the selection needs ortools: pip install ortools")


def lower_bounds_of(contributions: Contributions, costs: SelectionCosts) -> LowerBounds:
    """Lower bounds of all selections of these depths and of the choices with a positive gain."""
    return LowerBounds(costs, {0, *contributions.biases}, _positive_gains(contributions))


def _positive_gains(contributions: Contributions) -> dict[Choice, float]:
    """The choices with a positive predicted gain, with their gains in nats."""
    return {c: gain for c, gain in contributions.weights.items() if gain > 0}


@dataclass
class _DepthProgram:
    """The program of one depth, its upper bound, and its best selection once it is solved."""

    program: IntegerProgram
    bound: int
    solved: bool = False
    reached: bool = True
    selection: Selection | None = None


class _DepthPrograms:
    """The integer programs of all depths, and the cuts that apply to them."""

    def __init__(self, contributions: Contributions, bounds: LowerBounds, limits: Limits) -> None:
        gains = _positive_gains(contributions)
        programs = [
            integer_program(bounds, limits, k, contributions.biases[k] if k else 0.0, gains)
            for k in bounds.depth_costs
        ]
        self._depths = [_DepthProgram(each, each.upper_bound()) for each in programs]
        self._cuts: list[Cut] = []

    def best(self) -> tuple[Selection, float, bool]:
        """(best selection by the lower bounds, upper bound in nats, whether it is optimal).

        There always is one: the head alone fits.
        """
        while True:
            first = max(self._depths, key=lambda d: (d.bound, d.solved, -d.program.depth))
            if first.selection is not None:
                return first.selection, first.bound * GAIN_UNIT, first.reached
            found = first.program.solve(self._cuts)
            first.selection, first.bound, first.reached = found
            first.solved = True

    def add(self, cut: Cut) -> None:
        """Apply a cut; programs whose best selection it excludes must be solved again."""
        self._cuts.append(cut)
        for depth in self._depths:
            if depth.selection is not None and cut.forbids(depth.selection):
                depth.solved, depth.selection = False, None
