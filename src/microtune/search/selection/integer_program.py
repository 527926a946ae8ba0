"""The best selection at one bias depth as an integer program, solved by CP-SAT (ortools)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from microtune.errors import MicrotuneError
from microtune.memory.cpsat import solve
from microtune.search.costs.lower_bounds import LowerBounds
from microtune.search.costs.planned import Limits
from microtune.search.problem import Choice, Selection

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

IntArray = npt.NDArray[np.int64]
# The solver takes integers: gains are multiples of this many nats. Rounding changes an objective by
# at most half of it for each choice and depth.
GAIN_UNIT = 1e-9
DETERMINISTIC_SECONDS = 60.0


@dataclass(frozen=True)
class Cut:
    """A constraint that excludes a selection which did not fit when it was planned.

    With `and_larger` it also excludes all that need no less memory in every part: biases at least
    as deep, and for each of its choices one by `needs_no_less_memory`.
    """

    selection: Selection
    and_larger: bool

    def forbids(self, other: Selection) -> bool:
        """Whether the cut excludes the other selection."""
        if not self.and_larger:
            return other == self.selection
        return other.bias_layers >= self.selection.bias_layers and all(
            any(needs_no_less_memory(c, ours) for c in other.choices)
            for ours in self.selection.choices
        )

    def constraints(
        self, depth: int, chosen: Mapping[Choice, cp_model.IntVar]
    ) -> Iterator[tuple[list[cp_model.LinearExprT], int]]:
        """(literals, how many of them may be true), if the cut matters at this bias depth.

        `chosen` maps each choice to the solver's variable for it.
        """
        ours = self.selection.choices
        if self.and_larger and depth >= self.selection.bias_layers:
            as_much: list[cp_model.LinearExprT] = [
                v for c, v in chosen.items() if any(needs_no_less_memory(c, o) for o in ours)
            ]
            yield as_much, len(ours) - 1
        elif not self.and_larger and depth == self.selection.bias_layers:
            others = [1 - v for c, v in chosen.items() if c not in ours]
            yield [*(chosen[c] for c in ours), *others], len(chosen) - 1


def needs_no_less_memory(choice: Choice, other: Choice) -> bool:
    """Whether a choice surely needs at least as much memory as another one of the same layer.

    That holds for the same choice and for a larger ratio below 1. A part of a layer needs a copy of
    the channels that it reads, the whole layer needs none. Where the layer's input is live anyway,
    the whole layer needs less memory than its half (MCUNet's layer 6 by 8 KB).
    """
    same = choice.layer == other.layer
    return same and (choice == other or other.ratio <= choice.ratio < 1)


@dataclass(frozen=True)
class IntegerProgram:
    """Maximise `gain + gains @ x` over x in {0, 1} with `rows @ x <= limits`.

    x says which of the C `choices` are made, at most one for each layer; they lie at layers whose
    biases are trained. `gain` is that of the biases, `gains`, int64 (C,), those of the choices,
    both in GAIN_UNIT. `rows`, int64 (R, C), and `limits`, int64 (R,), are bytes or instructions.
    """

    depth: int
    choices: tuple[Choice, ...]
    gain: int
    gains: IntArray
    rows: IntArray
    limits: IntArray

    def upper_bound(self) -> int:
        """An upper bound of the objective in GAIN_UNIT, from the relaxed (linear) program.

        INFEASIBLE if not even the biases alone fit.
        """
        from scipy.optimize import linprog

        if (self.limits < 0).any():
            return INFEASIBLE
        if not self.choices:
            return self.gain
        layers = sorted({c.layer for c in self.choices})
        once = np.array([[c.layer == layer for c in self.choices] for layer in layers], float)
        # Rows in units of their limit: the solver's tolerance is absolute.
        scale = np.maximum(self.limits, 1)[:, None].astype(float)
        matrix = np.vstack([self.rows / scale, once])
        right = np.concatenate([self.limits / scale[:, 0], np.ones(len(layers))])
        found = linprog(-self.gains * GAIN_UNIT, A_ub=matrix, b_ub=right, bounds=(0, 1))
        if found.status != 0:
            return self.gain + int(self.gains.sum())
        return self.gain + int(np.ceil((-found.fun * (1 + 1e-6) + 1e-6) / GAIN_UNIT))

    def solve(self, cuts: Iterable[Cut]) -> tuple[Selection | None, int, bool]:
        """(best selection that no cut excludes, upper bound in GAIN_UNIT, whether it is optimal).

        The selection is None if there is none. Raises MicrotuneError if the solver finds nothing
        within DETERMINISTIC_SECONDS.
        """
        from ortools.sat.python import cp_model

        model = cp_model.CpModel()
        chosen = {c: model.new_bool_var(f"{c.layer}:{c.ratio}") for c in self.choices}
        columns = list(chosen.values())
        for layer in sorted({c.layer for c in self.choices}):
            model.add_at_most_one(v for c, v in chosen.items() if c.layer == layer)
        for row, limit in zip(self.rows.tolist(), self.limits.tolist(), strict=True):
            model.add(cp_model.LinearExpr.weighted_sum(columns, row) <= limit)
        for cut in cuts:
            for literals, most in cut.constraints(self.depth, chosen):
                model.add(cp_model.LinearExpr.sum(literals) <= most)
        model.maximize(cp_model.LinearExpr.weighted_sum(columns, self.gains.tolist()))
        solver, status = solve(model, DETERMINISTIC_SECONDS)
        if status == cp_model.INFEASIBLE:
            return None, INFEASIBLE, True
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            raise MicrotuneError(
                f"the solver found no selection at bias depth {self.depth} in its time; "
                "measure fewer layers or ratios"
            )
        best = tuple(c for c, v in chosen.items() if solver.boolean_value(v))
        bound = self.gain + round(solver.best_objective_bound)
        return Selection(self.depth, best), bound, status == cp_model.OPTIMAL


INFEASIBLE = -(1 << 60)


def integer_program(
    bounds: LowerBounds, limits: Limits, depth: int, gain: float, gains: Mapping[Choice, float]
) -> IntegerProgram:
    """The integer program of the selections at one bias depth.

    `gain` is the predicted gain of the biases, `gains` has those of choices, in nats; only these
    choices can be made. Choices at layers whose biases are not trained are left out.
    """
    at = bounds.depth_costs[depth]
    first = len(bounds.costs.layers) - depth
    choices = tuple(sorted(c for c in gains if c.layer >= first))
    needs = {c: bounds.choice_costs[c] for c in choices}
    resident = np.array([need.resident_bytes for need in needs.values()], np.int64)
    rows = [(limits.sram_bytes - at.resident_bytes - bounds.prefix_arena, resident)]
    for alive, saved in _steps(bounds, depth, choices):
        rows.append((limits.sram_bytes - at.resident_bytes - alive, resident + saved))
    rows = _without_implied_rows(rows, choices)
    flash = np.array([need.flash_bytes for need in needs.values()], np.int64)
    rows.append((limits.flash_bytes - at.flash_bytes, flash))
    if limits.step_instructions is not None:
        count = np.array([need.instructions for need in needs.values()], np.int64)
        rounding = 1 + len(choices)
        rows.append((limits.step_instructions + rounding - at.instructions, count))
    return IntegerProgram(
        depth, choices, round(gain / GAIN_UNIT),
        np.array([round(gains[c] / GAIN_UNIT) for c in choices], np.int64),
        np.array([row for _, row in rows], np.int64).reshape(len(rows), len(choices)),
        np.array([limit for limit, _ in rows], np.int64),
    )  # fmt: skip


def _steps(
    bounds: LowerBounds, depth: int, choices: tuple[Choice, ...]
) -> Iterable[tuple[int, IntArray]]:
    """(bytes live with biases alone, bytes that each choice adds, int64 (C,)) of each step."""
    needs = {c: bounds.choice_costs[c] for c in choices}
    sharers: dict[str, set[int]] = {}
    for choice, need in needs.items():
        sharers.setdefault(need.saved_tensor, set()).add(choice.layer)
    for step in bounds.depth_costs[depth].live.by_step:
        alive, kept = bounds.depth_costs[depth].live_in_step(step, needs)
        saved = [
            # An input that several layers read is saved once: each is charged a part.
            need.saved_bytes // len(sharers[need.saved_tensor]) if choice in kept else 0
            for choice, need in needs.items()
        ]
        yield alive, np.array(saved, np.int64)


def _without_implied_rows(
    rows: list[tuple[int, IntArray]], choices: tuple[Choice, ...]
) -> list[tuple[int, IntArray]]:
    """(limit, row) pairs, without those that cannot be violated or that another one implies."""
    layers: dict[int, list[int]] = {}
    for i, choice in enumerate(choices):
        layers.setdefault(choice.layer, []).append(i)
    kept: list[tuple[int, IntArray]] = []
    for limit, row in sorted(rows, key=lambda r: (r[0], -int(r[1].sum()))):
        most = sum(int(row[columns].max()) for columns in layers.values())
        implied = any(other <= limit and (more >= row).all() for other, more in kept)
        if most > limit and not implied:
            kept.append((limit, row))
    return kept
