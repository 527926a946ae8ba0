"""What else there is: the fronts beside known schemes, and how fast other searches come near.

The report of `search --pareto` as data; `report/search_files.py` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from microtune.search.budgets.fronts import (
    Mark,
    budget_ladder,
    instruction_front,
    mark,
    other_marks,
    sram_front,
)
from microtune.search.contributions.ablation import Analysis
from microtune.search.costs.lower_bounds import Bounds
from microtune.search.costs.planned import NO_PLACE, Limits
from microtune.search.problem import HEAD_ONLY, Contributions, Selection
from microtune.search.search import Finding
from microtune.search.selection.evolution import (
    Score,
    Space,
    Trace,
    evolve,
    exact_trace,
    random_search,
)
from microtune.search.verification import Verified
from microtune.train.trainer import Progress

# Budgets of a front.
BUDGETS = 8
EXACT, EVOLUTION, RANDOM = "CP-SAT", "NSGA-II", "random"
# Of evolution and of random search: what one run of them finds is a matter of luck.
SEEDS = 3


@dataclass(frozen=True)
class Survey:
    """A search's surroundings. `chosen` is what it wrote, named "found" or, where the
    verification preferred another scheme, "written"; `others` are known schemes, and what else
    the verification trained; `verified` has what was trained. `known` are all contributions,
    also of what cannot be afforded; `traces`: by method, for each seed, the best objective in nats
    after each plan."""

    model: str
    target: str
    input: str
    limits: Limits
    layers: tuple[str, ...]
    known: Contributions
    analysis: Analysis | None
    chosen: Mark
    sram_front: list[Mark]
    instruction_front: list[Mark]
    others: list[Mark]
    verified: Mapping[Selection, list[Verified]]
    traces: Mapping[str, list[Trace]]

    @property
    def marks(self) -> list[Mark]:
        """Of both fronts, each scheme once, then the others and what was chosen."""
        front = {m.selection: m for m in (*self.sram_front, *self.instruction_front)}
        return [*front.values(), *self.others, self.chosen]

    def accuracy(self, selection: Selection) -> Verified | None:
        """On the images that chose nothing where there are any, else on val; None if the selection
        was not trained."""
        return next(reversed(self.verified.get(selection, [])), None)


def survey(finding: Finding, progress: Progress, plans: int) -> Survey:
    """Find the fronts within the limits of the search, place known schemes beside them, and give
    NSGA-II and random search so many plans for each seed, beside CP-SAT.

    Plans that the cache knows are not made again. Raises MicrotuneError without ortools or optuna.
    """
    costs, gains, limits = finding.costs, finding.contributions, finding.limits
    known, chosen = finding.known, finding.chosen
    steps = _Steps(progress, 2 * BUDGETS + 2 + 2 * SEEDS * plans)
    by_sram = sram_front(
        gains, costs, limits, budget_ladder(costs.sram(HEAD_ONLY), limits.sram_bytes, BUDGETS),
        steps.noted("front of SRAM"),
    )  # fmt: skip
    steps.reach(BUDGETS, "front of instructions")
    most = max(costs.instructions(m.selection) for m in by_sram)
    by_instructions = instruction_front(
        gains, costs, limits, budget_ladder(costs.instructions(HEAD_ONLY), most, BUDGETS),
        steps.noted("front of instructions"),
    )  # fmt: skip
    steps.reach(2 * BUDGETS, "known schemes")
    others, verified = other_marks(known, costs), _verified(finding)
    others += [
        mark(_long_name(rows[0]), selection, costs, known)
        for selection, rows in verified.items()
        if selection not in {chosen, *(m.selection for m in others)}
    ]
    traces = _comparison(finding, steps, plans)
    name = "found" if chosen == finding.solution.selection else "written"
    found = replace(mark(name, chosen, costs, known), proven=finding.proven)
    return Survey(
        finding.model, finding.target, finding.input, limits, tuple(costs.layers), known,
        finding.analysis, found, by_sram, by_instructions, others, verified, traces,
    )  # fmt: skip


def _comparison(finding: Finding, steps: _Steps, plans: int) -> dict[str, list[Trace]]:
    """The traces of all methods."""
    costs, gains, limits, known = finding.costs, finding.contributions, finding.limits, 2 * BUDGETS
    steps.reach(known + 1, EXACT)
    traces = {EXACT: [exact_trace(gains, costs, limits)]}
    space = Space(tuple(gains.biases), tuple(gains.weights), len(costs.layers))
    bounds = Bounds(costs, {0, *gains.biases}, gains.weights)
    for number, (name, method) in enumerate(((EVOLUTION, evolve), (RANDOM, random_search))):
        traces[name] = []
        for seed in range(SEEDS):
            steps.reach(known + 2 + plans * (number * SEEDS + seed), name)
            score = steps.counted(gains.objective, name)
            found = method(score, space, bounds, limits, plans, seed=seed)
            traces[name].append(found.trace)
    return traces


def _long_name(row: Verified) -> str:
    return f"bias-only-{row.selection.bias_layers}" if row.name == "bias-only" else row.name


def _verified(finding: Finding) -> dict[Selection, list[Verified]]:
    """The rows of each scheme, val first."""
    rows: dict[Selection, list[Verified]] = {}
    for row in finding.verified:
        rows.setdefault(row.selection, []).append(row)
    return rows


class _Steps:
    """Progress over parts of which the numbers of steps are known."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def reach(self, done: int, note: str) -> None:
        self._done = done
        self._progress(done, self._total, note)

    def noted(self, note: str) -> Callable[[Mark], None]:
        """One step for each mark that a front finds."""
        return lambda _: self.reach(self._done + 1, note)

    def counted(self, score: Score, note: str) -> Score:
        """One step for each selection that is scored, which then is planned."""

        def counting(selection: Selection) -> float:
            self.reach(self._done + 1, note)
            return score(selection)

        return counting


# -- as JSON --------------------------------------------------------------------------------------


def to_json(survey: Survey) -> dict[str, Any]:
    """All of it, as `pareto.json` has it; bytes, instructions, nats, percent."""
    return {
        "model": survey.model, "target": survey.target, "input": survey.input,
        "limits": {name: value for name, value in vars(survey.limits).items() if value},
        "contributions": "estimated" if survey.analysis is None else "measured",
        "layers": list(survey.layers),
        "chosen": _mark(survey, survey.chosen),
        "sram_front": [_mark(survey, m) for m in survey.sram_front],
        "instruction_front": [_mark(survey, m) for m in survey.instruction_front],
        "others": [_mark(survey, m) for m in survey.others],
        "comparison": dict(survey.traces),
    }  # fmt: skip


def _mark(survey: Survey, mark: Mark) -> dict[str, Any]:
    row = survey.accuracy(mark.selection)
    accuracy = None if row is None else {
        "percent": row.accuracy, "deviation": row.deviation, "split": row.split, "seeds": row.seeds,
    }  # fmt: skip
    return {
        **mark.selection.table(mark.name, survey.model),
        "sram_bytes": mark.sram_bytes if is_placed(mark) else None,
        "flash_bytes": mark.flash_bytes, "step_instructions": mark.instructions,
        "predicted_gain_nats": mark.predicted, "proven": mark.proven, "accuracy": accuracy,
    }  # fmt: skip


def is_placed(mark: Mark) -> bool:
    """Whether the target's memories have room for every buffer of the scheme."""
    return mark.sram_bytes < NO_PLACE
