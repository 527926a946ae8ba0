"""The selection at one bias depth as an integer program: rows of bytes and instructions, gains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from microtune.errors import MicrotuneError
from microtune.memory.cpsat import solve
from microtune.search.costs.lower_bounds import Bounds
from microtune.search.costs.planned import Limits
from microtune.search.problem import Choice, Selection

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

Whole = npt.NDArray[np.int64]
# The solver's numbers are whole: gains are multiples of this part of a nat. Rounding moves an
# objective by at most half of it for each choice and depth.
GAIN_UNIT = 1e-9
DETERMINISTIC_SECONDS = 60.0


@dataclass(frozen=True)
class Cut:
    """What does not fit: this selection or, with `more`, all that train at least as much in every
    part of it (`takes_no_less`)."""

    selection: Selection
    more: bool

    def forbids(self, other: Selection) -> bool:
        """Whether the other selection is cut off."""
        if not self.more:
            return other == self.selection
        return other.bias_layers >= self.selection.bias_layers and all(
            any(takes_no_less(c, ours) for c in other.choices) for ours in self.selection.choices
        )

    def limits(
        self, depth: int, chosen: Mapping[Choice, cp_model.IntVar]
    ) -> Iterator[tuple[list[cp_model.LinearExprT], int]]:
        """(literals, how many may be true) of the constraint at this depth, if there is one."""
        ours = self.selection.choices
        if self.more and depth >= self.selection.bias_layers:
            as_much: list[cp_model.LinearExprT] = [
                v for c, v in chosen.items() if any(takes_no_less(c, o) for o in ours)
            ]
            yield as_much, len(ours) - 1
        elif not self.more and depth == self.selection.bias_layers:
            others = [1 - v for c, v in chosen.items() if c not in ours]
            yield [*(chosen[c] for c in ours), *others], len(chosen) - 1


def takes_no_less(choice: Choice, other: Choice) -> bool:
    """Whether a choice of the same layer surely takes no less memory: the same, or a larger part.

    A part needs a copy of the channels that it reads, the whole layer none: where the layer's input
    is alive anyway, the whole takes less memory than a half (MCUNet's layer 6 by 8 KB).
    """
    same = choice.layer == other.layer
    return same and (choice == other or other.ratio <= choice.ratio < 1)


@dataclass(frozen=True)
class Program:
    """Maximise `gain + gains @ x` over x in {0, 1}, `rows @ x <= limits`, one choice a layer.

    `choices` are those at layers whose biases are trained; gains in GAIN_UNIT.
    """

    depth: int
    choices: tuple[Choice, ...]
    gain: int
    gains: Whole
    rows: Whole
    limits: Whole

    def upper(self) -> int:
        """A bound of the objective: that of the linear program. Below any gain if nothing fits."""
        from scipy.optimize import linprog

        if (self.limits < 0).any():
            return NOTHING
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
        """(the best selection that no cut forbids, a bound of the objective, whether it is
        reached); None if there is none."""
        from ortools.sat.python import cp_model

        model = cp_model.CpModel()
        chosen = {c: model.new_bool_var(f"{c.layer}:{c.ratio}") for c in self.choices}
        columns = list(chosen.values())
        for layer in sorted({c.layer for c in self.choices}):
            model.add_at_most_one(v for c, v in chosen.items() if c.layer == layer)
        for row, limit in zip(self.rows.tolist(), self.limits.tolist(), strict=True):
            model.add(cp_model.LinearExpr.weighted_sum(columns, row) <= limit)
        for cut in cuts:
            for literals, most in cut.limits(self.depth, chosen):
                model.add(cp_model.LinearExpr.sum(literals) <= most)
        model.maximize(cp_model.LinearExpr.weighted_sum(columns, self.gains.tolist()))
        solver, status = solve(model, DETERMINISTIC_SECONDS)
        if status == cp_model.INFEASIBLE:
            return None, NOTHING, True
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            raise MicrotuneError(
                f"the solver found no selection at bias depth {self.depth} in its time; "
                "measure fewer layers or ratios"
            )
        best = tuple(c for c, v in chosen.items() if solver.boolean_value(v))
        bound = self.gain + round(solver.best_objective_bound)
        return Selection(self.depth, best), bound, status == cp_model.OPTIMAL


NOTHING = -(1 << 60)


def program(
    bounds: Bounds, limits: Limits, depth: int, gain: float, gains: Mapping[Choice, float]
) -> Program:
    """The program of one depth; `gains` are those of the choices that help."""
    at = bounds.depths[depth]
    first = len(bounds.costs.layers) - depth
    choices = tuple(sorted(c for c in gains if c.layer >= first))
    needs = {c: bounds.needs[c] for c in choices}
    resident = np.array([need.resident for need in needs.values()], np.int64)
    rows = [(limits.sram_bytes - at.resident - bounds.arena, resident)]
    for alive, saved in _steps(bounds, depth, choices):
        rows.append((limits.sram_bytes - at.resident - alive, resident + saved))
    rows = _not_implied(rows, choices)
    flash = np.array([need.flash for need in needs.values()], np.int64)
    rows.append((limits.flash_bytes - at.flash, flash))
    if limits.step_instructions is not None:
        count = np.array([need.instructions for need in needs.values()], np.int64)
        rounding = 1 + len(choices)
        rows.append((limits.step_instructions + rounding - at.instructions, count))
    return Program(
        depth, choices, round(gain / GAIN_UNIT),
        np.array([round(gains[c] / GAIN_UNIT) for c in choices], np.int64),
        np.array([row for _, row in rows], np.int64).reshape(len(rows), len(choices)),
        np.array([limit for limit, _ in rows], np.int64),
    )  # fmt: skip


def _steps(bounds: Bounds, depth: int, choices: tuple[Choice, ...]) -> Iterable[tuple[int, Whole]]:
    """(bytes alive with biases alone, bytes of each choice's saved input) of each step."""
    needs = {c: bounds.needs[c] for c in choices}
    sharers: dict[str, set[int]] = {}
    for choice, need in needs.items():
        sharers.setdefault(need.tensor, set()).add(choice.layer)
    for step in bounds.depths[depth].steps.alive:
        alive, kept = bounds.depths[depth].row(step, needs)
        saved = [
            # What several layers read is kept once: each takes a part.
            need.saved // len(sharers[need.tensor]) if choice in kept else 0
            for choice, need in needs.items()
        ]
        yield alive, np.array(saved, np.int64)


def _not_implied(
    rows: list[tuple[int, Whole]], choices: tuple[Choice, ...]
) -> list[tuple[int, Whole]]:
    """The rows that can be broken, without those that another row implies."""
    layers: dict[int, list[int]] = {}
    for i, choice in enumerate(choices):
        layers.setdefault(choice.layer, []).append(i)
    kept: list[tuple[int, Whole]] = []
    for limit, row in sorted(rows, key=lambda r: (r[0], -int(r[1].sum()))):
        most = sum(int(row[columns].max()) for columns in layers.values())
        implied = any(other <= limit and (more >= row).all() for other, more in kept)
        if most > limit and not implied:
            kept.append((limit, row))
    return kept
