"""The best selection under the limits, proven: CP-SAT on lower bounds, cuts from real plans.

For each bias depth a program (`program.py`) has all selections whose lower bounds (`bounds.py`)
keep the limits: none that really fits is missing. Depths whose linear program promises less than
what was found are never solved. The best selection of all is planned. If it fits, nothing better
does; if not, it is cut off, with all that train at least as much if it misses by more than
NOISE_BYTES, and the solver goes on.

A choice needs the biases down to its layer: contributions of weights are measured over biases, and
the gradient passes through those layers anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from microtune.errors import MicrotuneError
from microtune.search.costs.lower_bounds import Bounds
from microtune.search.costs.planned import Costs, Limits, require_head
from microtune.search.problem import Choice, Contributions, Selection
from microtune.search.selection.integer_program import GAIN_UNIT, Cut, Program, program

# Packing and ordering stop at limits of time, so that training more sometimes takes a little less:
# by up to 40 bytes in 2 of 3,218 pairs of selections of random graphs.
NOISE_BYTES = 64

OnCheck = Callable[[int, Selection, bool], None]


@dataclass(frozen=True)
class Solution:
    """What was found: `objective` is the predicted gain in nats, no selection that fits has more
    than `bound`; `proven`: they are the same up to GAIN_UNIT for each choice. `evaluations` counts
    the selections that were checked against the planner, also those whose plan was known."""

    selection: Selection
    objective: float
    bound: float
    proven: bool
    evaluations: int
    seconds: float


def best_selection(
    contributions: Contributions,
    costs: Costs,
    limits: Limits,
    on_check: OnCheck | None = None,
    bounds: Bounds | None = None,
) -> Solution:
    """The selection of the largest objective that keeps all limits; equal input, equal answer.

    Depths and choices are those that `contributions` has; what harms is left out. `on_check` hears
    of every selection checked: the number of checks, the selection, whether it fits. `bounds` (of
    `bounds_of`) saves time where several limits are asked for. Raises MicrotuneError without
    ortools, and if not even the head can be trained.
    """
    require_ortools()
    require_head(costs, limits)
    begin = time.monotonic()
    depths = _Depths(contributions, bounds or bounds_of(contributions, costs), limits)
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
        depths.add(Cut(selection, more=over > NOISE_BYTES))


def require_ortools() -> None:
    """Raise MicrotuneError naming the extra if ortools is missing."""
    if find_spec("ortools") is None:
        raise MicrotuneError("the selection needs ortools: pip install 'microtune[search]'")


def bounds_of(contributions: Contributions, costs: Costs) -> Bounds:
    """The lower bounds of all selections of what helps."""
    return Bounds(costs, {0, *contributions.biases}, _helpful(contributions))


def _helpful(contributions: Contributions) -> dict[Choice, float]:
    return {c: gain for c, gain in contributions.weights.items() if gain > 0}


@dataclass
class _Depth:
    """A program, a bound of its objective, and its best selection once it was solved."""

    program: Program
    bound: int
    solved: bool = False
    reached: bool = True
    selection: Selection | None = None


class _Depths:
    """The programs of all depths and what was cut off them."""

    def __init__(self, contributions: Contributions, bounds: Bounds, limits: Limits) -> None:
        gains = _helpful(contributions)
        programs = [
            program(bounds, limits, k, contributions.biases[k] if k else 0.0, gains)
            for k in bounds.depths
        ]
        self._depths = [_Depth(each, each.upper()) for each in programs]
        self._cuts: list[Cut] = []

    def best(self) -> tuple[Selection, float, bool]:
        """(the best selection by the bounds, a bound in nats, whether it is proven the best).

        The head alone is always among them: it fits.
        """
        while True:
            first = max(self._depths, key=lambda d: (d.bound, d.solved, -d.program.depth))
            if first.selection is not None:
                return first.selection, first.bound * GAIN_UNIT, first.reached
            found = first.program.solve(self._cuts)
            first.selection, first.bound, first.reached = found
            first.solved = True

    def add(self, cut: Cut) -> None:
        """Go on without what the cut forbids."""
        self._cuts.append(cut)
        for depth in self._depths:
            if depth.selection is not None and cut.forbids(depth.selection):
                depth.solved, depth.selection = False, None
