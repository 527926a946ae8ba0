"""Evolution and random search: for objectives that are no sum, and as a measure of the exact one.

Both plan the selections they look at, and stop when a number of them was planned; those that break
a limit by their lower bounds (`bounds.py`) are neither planned nor counted. What was planned stays
in the store of the costs, so that an interrupted search with the same seed, started again, soon is
where it was.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from itertools import islice

from microtune.errors import MicrotuneError
from microtune.search.costs.lower_bounds import Bounds
from microtune.search.costs.planned import Costs, Limits
from microtune.search.problem import HEAD_ONLY, Choice, Contributions, Selection
from microtune.search.selection.exact import best_selection

Score = Callable[[Selection], float]
# After each plan the best score within the limits, None while there is none.
Trace = list[float | None]
POPULATION = 12
# Selections that were looked at before or that bounds rule out cost nothing; so many for each plan
# end the search.
_TRIALS_PER_PLAN = 50


@dataclass(frozen=True)
class Point:
    """A selection: what it is worth (more is better), planned bytes, instructions of a step."""

    selection: Selection
    score: float
    sram_bytes: int
    instructions: int

    def dominates(self, other: Point) -> bool:
        """At least as good in all three, and better in one."""
        mine = (-self.score, self.sram_bytes, self.instructions)
        theirs = (-other.score, other.sram_bytes, other.instructions)
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


@dataclass(frozen=True)
class Space:
    """What may be chosen: bias depths besides 0, and choices at layers whose biases are trained."""

    depths: tuple[int, ...]
    choices: tuple[Choice, ...]
    layer_count: int

    def ratios(self) -> dict[int, list[Fraction]]:
        """The ratios of each layer, ascending."""
        found: dict[int, list[Fraction]] = {}
        for choice in sorted(self.choices):
            found.setdefault(choice.layer, []).append(choice.ratio)
        return found

    def selection(self, depth: int, genes: dict[int, int]) -> Selection:
        """`genes`: layer -> number of its ratio from 1 on, 0: not trained. Layers that the biases
        do not reach are left out."""
        ratios = self.ratios()
        chosen = (Choice(n, ratios[n][gene - 1]) for n, gene in sorted(genes.items()) if gene)
        reached = (c for c in chosen if c.layer >= self.layer_count - depth)
        return Selection(depth, tuple(reached))

    def draw(self, dice: random.Random) -> Selection:
        """A depth, how many of its layers are trained, which, and their ratios, each uniformly."""
        ratios, depth = self.ratios(), dice.choice((0, *self.depths))
        reached = [n for n in ratios if n >= self.layer_count - depth]
        layers = dice.sample(reached, dice.randint(0, len(reached)))
        return self.selection(depth, {n: dice.randint(1, len(ratios[n])) for n in layers})


@dataclass
class Found:
    """What a search has found so far: all selections within the limits, and its trace."""

    points: list[Point] = field(default_factory=list)
    trace: Trace = field(default_factory=list)

    def pareto(self) -> list[Point]:
        """The selections that no other dominates, smallest first."""
        best = [p for p in self.points if not any(q.dominates(p) for q in self.points)]
        return sorted(best, key=lambda p: (p.sram_bytes, p.instructions, -p.score))


class _Judge:
    """Scores and plans selections, each once, and counts."""

    def __init__(self, score: Score, bounds: Bounds, limits: Limits) -> None:
        self._score, self._bounds, self._limits = score, bounds, limits
        self._seen: dict[Selection, tuple[Point, float]] = {}
        self.found = Found()

    @property
    def plans(self) -> int:
        return len(self.found.trace)

    def point(self, selection: Selection) -> tuple[Point, float]:
        """(the point, by which part of a limit it breaks it; at most 0: it fits). What the bounds
        rule out has them as its costs, and no score."""
        if selection not in self._seen:
            point, over = self._least(selection)
            self._seen[selection] = (point, over) if over > 0 else self._planned(selection)
        return self._seen[selection]

    def possible(self, selection: Selection) -> bool:
        """Whether the bounds do not rule it out."""
        return self._least(selection)[1] <= 0

    def _least(self, selection: Selection) -> tuple[Point, float]:
        least = self._bounds.least(selection)
        over = self._over(least.sram_bytes, least.flash_bytes, least.instructions)
        return Point(selection, 0.0, least.sram_bytes, least.instructions), over

    def _planned(self, selection: Selection) -> tuple[Point, float]:
        costs = self._bounds.costs
        point = Point(
            selection, self._score(selection), costs.sram(selection), costs.instructions(selection)
        )
        over = self._over(point.sram_bytes, costs.flash(selection), point.instructions)
        self._note(point, over <= 0)
        return point, over

    def _over(self, sram: int, flash: int, instructions: int) -> float:
        limits = self._limits
        most = limits.step_instructions or instructions
        parts = sram / limits.sram_bytes, flash / limits.flash_bytes, instructions / most
        return max(parts) - 1

    def _note(self, point: Point, fits: bool) -> None:
        before = self.found.trace[-1] if self.found.trace else None
        if fits:
            self.found.points.append(point)
            before = point.score if before is None else max(before, point.score)
        self.found.trace.append(before)


def evolve(
    score: Score, space: Space, bounds: Bounds, limits: Limits, plans: int, *, seed: int = 0,
    start: Sequence[Selection] = (HEAD_ONLY,),
) -> Found:  # fmt: skip
    """NSGA-II for the three objectives score, SRAM and instructions, until so many selections are
    planned. The first generation is `start` and random selections (`Space.draw`) that the bounds,
    those of the space, do not rule out. Equal seeds find the same.

    Raises MicrotuneError without optuna.
    """
    if find_spec("optuna") is None:
        raise MicrotuneError("evolution needs optuna: pip install 'microtune[search]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"], sampler=sampler)
    judge, ratios, dice = _Judge(score, bounds, limits), space.ratios(), random.Random(seed)
    drawn = (space.draw(dice) for _ in range(POPULATION * _TRIALS_PER_PLAN))
    more = islice(filter(judge.possible, drawn), max(0, POPULATION - len(start)))
    for selection in (*start, *more):
        study.enqueue_trial(_genome(space, selection))
    for _ in range(plans * _TRIALS_PER_PLAN):
        if judge.plans >= plans:
            break
        trial = study.ask()
        place = trial.suggest_int("depth", 0, len(space.depths))
        genes = {n: trial.suggest_int(str(n), 0, len(r)) for n, r in ratios.items()}
        point, over = judge.point(space.selection((0, *space.depths)[place], genes))
        trial.set_constraint("limits", over)
        study.tell(trial, [point.score, point.sram_bytes, point.instructions])
    return judge.found


def _genome(space: Space, selection: Selection) -> dict[str, int]:
    ratios = space.ratios()
    genes = {str(n): 0 for n in ratios}
    genes |= {str(c.layer): ratios[c.layer].index(c.ratio) + 1 for c in selection.choices}
    return {"depth": (0, *space.depths).index(selection.bias_layers), **genes}


def random_search(
    score: Score, space: Space, bounds: Bounds, limits: Limits, plans: int, *, seed: int = 0
) -> Found:
    """Random selections (`Space.draw`), until so many different ones are planned."""
    judge, dice = _Judge(score, bounds, limits), random.Random(seed)
    for _ in range(plans * _TRIALS_PER_PLAN):
        if judge.plans >= plans:
            break
        judge.point(space.draw(dice))
    return judge.found


def exact_trace(contributions: Contributions, costs: Costs, limits: Limits) -> Trace:
    """The trace of `best_selection`: nothing until its last check, then the best there is."""
    trace: Trace = []

    def check(_: int, selection: Selection, fits: bool) -> None:
        trace.append(contributions.objective(selection) if fits else None)

    best_selection(contributions, costs, limits, check)
    return trace
