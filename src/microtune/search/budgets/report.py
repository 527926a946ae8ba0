"""The report of `search --pareto` as data; `report/search_files.py` writes it.

It has the fronts over SRAM and instructions, known schemes beside them, and how fast NSGA-II and
random search approach the exact search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from microtune.search.budgets.fronts import (
    CostedScheme,
    costed_known_schemes,
    costed_scheme,
    geometric_budgets,
    instruction_front,
    sram_front,
)
from microtune.search.contributions.ablation import ContributionAnalysis
from microtune.search.costs.lower_bounds import LowerBounds
from microtune.search.costs.planned import UNPLACEABLE, Limits
from microtune.search.problem import HEAD_ONLY, Contributions, Selection
from microtune.search.search import SearchResult
from microtune.search.selection.evolution import (
    Score,
    SearchSpace,
    Trace,
    evolve,
    exact_trace,
    random_search,
)
from microtune.search.verification import VerifiedScheme
from microtune.train.trainer import Progress

# Budgets on each front.
BUDGETS = 8
EXACT, EVOLUTION, RANDOM = "CP-SAT", "NSGA-II", "random"
# Runs of NSGA-II and of random search, whose results differ from run to run.
SEEDS = 3


@dataclass(frozen=True)
class BudgetReport:
    """The result of a search beside what other budgets, schemes and methods give.

    `layers` are the names of the backbone's layers. `all_contributions` also has those of parts
    that exceed the limits; `analysis` is None if they were estimated. `chosen` is the scheme that
    the search wrote, named "found" or, if the verification preferred another one, "written".
    `others` are known schemes, and what else the verification trained. `verified` has the schemes
    that were trained, with one entry for each split. `traces` has, for each method and seed, the
    best objective in nats after each plan.
    """

    model: str
    target: str
    input: str
    limits: Limits
    layers: tuple[str, ...]
    all_contributions: Contributions
    analysis: ContributionAnalysis | None
    chosen: CostedScheme
    sram_front: list[CostedScheme]
    instruction_front: list[CostedScheme]
    others: list[CostedScheme]
    verified: Mapping[Selection, list[VerifiedScheme]]
    traces: Mapping[str, list[Trace]]

    @property
    def schemes(self) -> list[CostedScheme]:
        """All schemes: those of both fronts, each once, then the others and the chosen one."""
        front = {m.selection: m for m in (*self.sram_front, *self.instruction_front)}
        return [*front.values(), *self.others, self.chosen]

    def accuracy(self, selection: Selection) -> VerifiedScheme | None:
        """The accuracy of a selection on the test split if there is one, else on val.

        None if the selection was not trained.
        """
        return next(reversed(self.verified.get(selection, [])), None)


def budget_report(result: SearchResult, progress: Progress, plans: int) -> BudgetReport:
    """Find the fronts within the limits of a search, and compare schemes and methods.

    NSGA-II and random search make `plans` plans for each of SEEDS seeds. Cached plans are not made
    again. Raises MicrotuneError without ortools or optuna.
    """
    costs, gains, limits = result.costs, result.contributions, result.limits
    known, chosen = result.all_contributions, result.chosen
    steps = _StepProgress(progress, 2 * BUDGETS + 2 + 2 * SEEDS * plans)
    by_sram = sram_front(
        gains, costs, limits, geometric_budgets(costs.sram(HEAD_ONLY), limits.sram_bytes, BUDGETS),
        steps.count_points("front of SRAM"),
    )  # fmt: skip
    steps.report(BUDGETS, "front of instructions")
    most = max(costs.instructions(m.selection) for m in by_sram)
    by_instructions = instruction_front(
        gains, costs, limits, geometric_budgets(costs.instructions(HEAD_ONLY), most, BUDGETS),
        steps.count_points("front of instructions"),
    )  # fmt: skip
    steps.report(2 * BUDGETS, "known schemes")
    others, verified = costed_known_schemes(known, costs), _verified(result)
    others += [
        costed_scheme(_long_name(rows[0]), selection, costs, known)
        for selection, rows in verified.items()
        if selection not in {chosen, *(m.selection for m in others)}
    ]
    traces = _method_traces(result, steps, plans)
    name = "found" if chosen == result.solution.selection else "written"
    found = replace(costed_scheme(name, chosen, costs, known), proven=result.proven)
    return BudgetReport(
        result.model, result.target, result.input, limits, tuple(costs.layers), known,
        result.analysis, found, by_sram, by_instructions, others, verified, traces,
    )  # fmt: skip


def _method_traces(
    result: SearchResult, steps: _StepProgress, plans: int
) -> dict[str, list[Trace]]:
    """The traces of CP-SAT, NSGA-II and random search, one for each seed."""
    costs, gains, limits, known = result.costs, result.contributions, result.limits, 2 * BUDGETS
    steps.report(known + 1, EXACT)
    traces = {EXACT: [exact_trace(gains, costs, limits)]}
    space = SearchSpace(tuple(gains.biases), tuple(gains.weights), len(costs.layers))
    bounds = LowerBounds(costs, {0, *gains.biases}, gains.weights)
    for number, (name, method) in enumerate(((EVOLUTION, evolve), (RANDOM, random_search))):
        traces[name] = []
        for seed in range(SEEDS):
            steps.report(known + 2 + plans * (number * SEEDS + seed), name)
            score = steps.count_scores(gains.objective, name)
            found = method(score, space, bounds, limits, plans, seed=seed)
            traces[name].append(found.trace)
    return traces


def _long_name(row: VerifiedScheme) -> str:
    """The name of a trained scheme, with its depth if it is bias-only."""
    return f"bias-only-{row.selection.bias_layers}" if row.name == "bias-only" else row.name


def _verified(result: SearchResult) -> dict[Selection, list[VerifiedScheme]]:
    """The trained schemes by selection; for each of them val first."""
    rows: dict[Selection, list[VerifiedScheme]] = {}
    for row in result.verified:
        rows.setdefault(row.selection, []).append(row)
    return rows


class _StepProgress:
    """Progress over a known number of steps."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def report(self, done: int, note: str) -> None:
        """Report that so many steps are done, with a note on the next one."""
        self._done = done
        self._progress(done, self._total, note)

    def count_points(self, note: str) -> Callable[[CostedScheme], None]:
        """A callback for fronts: one step for each point found."""
        return lambda _: self.report(self._done + 1, note)

    def count_scores(self, score: Score, note: str) -> Score:
        """The same score, with one step for each selection that is scored."""

        def counting(selection: Selection) -> float:
            self.report(self._done + 1, note)
            return score(selection)

        return counting


# -- as JSON --------------------------------------------------------------------------------------


def report_json(report: BudgetReport) -> dict[str, Any]:
    """The content of `pareto.json`: bytes, instructions, nats and percent, as names say."""
    return {
        "model": report.model, "target": report.target, "input": report.input,
        "limits": {name: value for name, value in vars(report.limits).items() if value},
        "contributions": "estimated" if report.analysis is None else "measured",
        "layers": list(report.layers),
        "chosen": _scheme_json(report, report.chosen),
        "sram_front": [_scheme_json(report, m) for m in report.sram_front],
        "instruction_front": [_scheme_json(report, m) for m in report.instruction_front],
        "others": [_scheme_json(report, m) for m in report.others],
        "comparison": dict(report.traces),
    }  # fmt: skip


def _scheme_json(report: BudgetReport, scheme: CostedScheme) -> dict[str, Any]:
    """A scheme with its costs, predicted gain and accuracy, as `pareto.json` has it."""
    row = report.accuracy(scheme.selection)
    accuracy = None if row is None else {
        "percent": row.accuracy, "deviation": row.deviation, "split": row.split, "seeds": row.seeds,
    }  # fmt: skip
    return {
        **scheme.selection.table(scheme.name, report.model),
        "sram_bytes": scheme.sram_bytes if is_placed(scheme) else None,
        "flash_bytes": scheme.flash_bytes, "step_instructions": scheme.instructions,
        "predicted_gain_nats": scheme.predicted, "proven": scheme.proven, "accuracy": accuracy,
    }  # fmt: skip


def is_placed(scheme: CostedScheme) -> bool:
    """Whether every buffer of the scheme fits into one of the target's memories."""
    return scheme.sram_bytes < UNPLACEABLE
