"""Evolutionary and random search of selections.

They serve objectives that are not a sum over parts, and show how far the exact search is ahead.
Both plan the selections that they try, and stop after a given number of plans. Selections whose
lower bounds (`costs/lower_bounds.py`) exceed a limit are neither planned nor counted. Plans are
stored with the costs, so that an interrupted search with the same seed soon is where it was.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from itertools import islice

from microtune.errors import MicrotuneError
from microtune.search.costs.lower_bounds import LowerBounds
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.problem import HEAD_ONLY, Choice, Contributions, Selection
from microtune.search.selection.exact import best_selection

Score = Callable[[Selection], float]
# The best score within the limits after each plan, None while nothing fits.
Trace = list[float | None]
POPULATION = 12
# Selections that were tried before or whose lower bounds exceed a limit need no plan. The search
# ends after so many selections for each plan that it may make.
_TRIALS_PER_PLAN = 50


@dataclass(frozen=True)
class ScoredSelection:
    """A selection with its three objectives.

    `score` is to be maximised, bytes of SRAM and instructions of one step are to be minimised.
    """

    selection: Selection
    score: float
    sram_bytes: int
    instructions: int

    def dominates(self, other: ScoredSelection) -> bool:
        """Whether it is at least as good in all three objectives, and better in one."""
        mine = (-self.score, self.sram_bytes, self.instructions)
        theirs = (-other.score, other.sram_bytes, other.instructions)
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


@dataclass(frozen=True)
class SearchSpace:
    """The selections that are searched.

    `depths` are bias depths besides 0. `choices` can be made at layers whose biases are trained.
    The backbone has `layer_count` layers.
    """

    depths: tuple[int, ...]
    choices: tuple[Choice, ...]
    layer_count: int

    def ratios(self) -> dict[int, list[Fraction]]:
        """Layer -> the ratios of its choices, both ascending."""
        found: dict[int, list[Fraction]] = {}
        for choice in sorted(self.choices):
            found.setdefault(choice.layer, []).append(choice.ratio)
        return found

    def selection(self, depth: int, genes: dict[int, int]) -> Selection:
        """The selection of a bias depth and of genes.

        `genes` maps a layer to the position of its ratio in `ratios`, counted from 1; 0 means that
        its weights are not trained. Layers that the biases do not reach are left out.
        """
        ratios = self.ratios()
        chosen = (Choice(n, ratios[n][gene - 1]) for n, gene in sorted(genes.items()) if gene)
        reached = (c for c in chosen if c.layer >= self.layer_count - depth)
        return Selection(depth, tuple(reached))

    def random_selection(self, rng: random.Random) -> Selection:
        """A selection whose depth, number of layers, layers and ratios are drawn uniformly."""
        ratios, depth = self.ratios(), rng.choice((0, *self.depths))
        reached = [n for n in ratios if n >= self.layer_count - depth]
        layers = rng.sample(reached, rng.randint(0, len(reached)))
        return self.selection(depth, {n: rng.randint(1, len(ratios[n])) for n in layers})


@dataclass
class Exploration:
    """What a search has tried so far: all planned selections within the limits, and the trace."""

    points: list[ScoredSelection] = field(default_factory=list)
    trace: Trace = field(default_factory=list)

    def pareto(self) -> list[ScoredSelection]:
        """The selections that no other one dominates, by ascending SRAM."""
        best = [p for p in self.points if not any(q.dominates(p) for q in self.points)]
        return sorted(best, key=lambda p: (p.sram_bytes, p.instructions, -p.score))


class _Evaluator:
    """Scores and plans selections, each once, and records them."""

    def __init__(self, score: Score, bounds: LowerBounds, limits: Limits) -> None:
        self._score, self._bounds, self._limits = score, bounds, limits
        self._seen: dict[Selection, tuple[ScoredSelection, float]] = {}
        self.found = Exploration()

    @property
    def plans(self) -> int:
        """The number of selections that were planned so far."""
        return len(self.found.trace)

    def evaluate(self, selection: Selection) -> tuple[ScoredSelection, float]:
        """(scored selection, constraint violation): it fits if the violation is at most 0.

        A selection whose lower bounds exceed a limit is not planned: the bounds stand for its
        costs, and its score is 0.
        """
        if selection not in self._seen:
            point, over = self._bounded(selection)
            self._seen[selection] = (point, over) if over > 0 else self._planned(selection)
        return self._seen[selection]

    def may_fit(self, selection: Selection) -> bool:
        """Whether the lower bounds are within all limits."""
        return self._bounded(selection)[1] <= 0

    def _bounded(self, selection: Selection) -> tuple[ScoredSelection, float]:
        """The selection with its lower bounds as costs, and the violation by them."""
        least = self._bounds.lower_bound(selection)
        over = self._violation(least.sram_bytes, least.flash_bytes, least.instructions)
        return ScoredSelection(selection, 0.0, least.sram_bytes, least.instructions), over

    def _planned(self, selection: Selection) -> tuple[ScoredSelection, float]:
        """The selection with its planned costs and its score, and the violation by them."""
        costs = self._bounds.costs
        point = ScoredSelection(
            selection, self._score(selection), costs.sram(selection), costs.instructions(selection)
        )
        over = self._violation(point.sram_bytes, costs.flash(selection), point.instructions)
        self._record(point, over <= 0)
        return point, over

    def _violation(self, sram: int, flash: int, instructions: int) -> float:
        """By which fraction of a limit the costs exceed it, the largest of all limits."""
        limits = self._limits
        most = limits.step_instructions or instructions
        parts = sram / limits.sram_bytes, flash / limits.flash_bytes, instructions / most
        return max(parts) - 1

    def _record(self, point: ScoredSelection, fits: bool) -> None:
        """Add a planned selection to the trace and, if it fits, to the result."""
        before = self.found.trace[-1] if self.found.trace else None
        if fits:
            self.found.points.append(point)
            before = point.score if before is None else max(before, point.score)
        self.found.trace.append(before)


def evolve(
    score: Score, space: SearchSpace, bounds: LowerBounds, limits: Limits, plans: int, *,
    seed: int = 0, start: Sequence[Selection] = (HEAD_ONLY,),
) -> Exploration:  # fmt: skip
    """Search by NSGA-II for score, SRAM and instructions, until `plans` selections are planned.

    The first generation is `start` and random selections that may fit by `bounds`, which must be
    made for all of `space`. Equal seeds give equal answers. Raises MicrotuneError without optuna.
    """
    if find_spec("optuna") is None:
        raise MicrotuneError("evolution needs optuna: pip install 'microtune[search]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"], sampler=sampler)
    evaluator, ratios, rng = _Evaluator(score, bounds, limits), space.ratios(), random.Random(seed)
    drawn = (space.random_selection(rng) for _ in range(POPULATION * _TRIALS_PER_PLAN))
    more = islice(filter(evaluator.may_fit, drawn), max(0, POPULATION - len(start)))
    for selection in (*start, *more):
        study.enqueue_trial(_genome(space, selection))
    for _ in range(plans * _TRIALS_PER_PLAN):
        if evaluator.plans >= plans:
            break
        trial = study.ask()
        place = trial.suggest_int("depth", 0, len(space.depths))
        genes = {n: trial.suggest_int(str(n), 0, len(r)) for n, r in ratios.items()}
        point, over = evaluator.evaluate(space.selection((0, *space.depths)[place], genes))
        trial.set_constraint("limits", over)
        study.tell(trial, [point.score, point.sram_bytes, point.instructions])
    return evaluator.found


def _genome(space: SearchSpace, selection: Selection) -> dict[str, int]:
    """The genes of a selection, by the names that optuna's parameters have."""
    ratios = space.ratios()
    genes = {str(n): 0 for n in ratios}
    genes |= {str(c.layer): ratios[c.layer].index(c.ratio) + 1 for c in selection.choices}
    return {"depth": (0, *space.depths).index(selection.bias_layers), **genes}


def random_search(
    score: Score,
    space: SearchSpace,
    bounds: LowerBounds,
    limits: Limits,
    plans: int,
    *,
    seed: int = 0,
) -> Exploration:
    """Try random selections until `plans` different ones are planned.

    `bounds` must be made for all of `space`. Equal seeds give equal answers.
    """
    evaluator, rng = _Evaluator(score, bounds, limits), random.Random(seed)
    for _ in range(plans * _TRIALS_PER_PLAN):
        if evaluator.plans >= plans:
            break
        evaluator.evaluate(space.random_selection(rng))
    return evaluator.found


def exact_trace(contributions: Contributions, costs: SelectionCosts, limits: Limits) -> Trace:
    """The trace of `best_selection`: None for each check but the last, then the best objective."""
    trace: Trace = []

    def check(_: int, selection: Selection, fits: bool) -> None:
        trace.append(contributions.objective(selection) if fits else None)

    best_selection(contributions, costs, limits, check)
    return trace
