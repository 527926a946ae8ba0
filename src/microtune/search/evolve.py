"""Evolution and random search: for objectives that are no sum, and as a measure of the exact one.

Both plan every selection they look at, and stop when a number of them was planned. What was planned
stays in the store of the costs, so that an interrupted search with the same seed, started again,
soon is where it was.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec

from microtune.errors import MicrotuneError
from microtune.search.costs import Costs, Limits
from microtune.search.problem import HEAD_ONLY, Choice, Contributions, Selection
from microtune.search.select import best_selection

Score = Callable[[Selection], float]
POPULATION = 32
_TRIALS_PER_PLAN = 20  # a population that only repeats itself ends the search


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


@dataclass
class Found:
    """What a search has found so far: all selections within the limits, and `trace`: after each
    plan the best score within the limits, None while there is none."""

    points: list[Point] = field(default_factory=list)
    trace: list[float | None] = field(default_factory=list)

    def pareto(self) -> list[Point]:
        """The selections that no other dominates, smallest first."""
        best = [p for p in self.points if not any(q.dominates(p) for q in self.points)]
        return sorted(best, key=lambda p: (p.sram_bytes, p.instructions, -p.score))


class _Judge:
    """Scores and plans selections, each once, and counts."""

    def __init__(self, score: Score, costs: Costs, limits: Limits) -> None:
        self._score, self._costs, self._limits = score, costs, limits
        self._seen: dict[Selection, tuple[Point, float]] = {}
        self.found = Found()

    @property
    def plans(self) -> int:
        return len(self._seen)

    def point(self, selection: Selection) -> tuple[Point, float]:
        """(the point, by which part of a limit it breaks it; at most 0: it fits)."""
        if selection not in self._seen:
            costs, limits = self._costs, self._limits
            point = Point(
                selection, self._score(selection), costs.sram(selection),
                costs.instructions(selection),
            )  # fmt: skip
            over = max(
                point.sram_bytes / limits.sram_bytes, costs.flash(selection) / limits.flash_bytes,
                point.instructions / (limits.step_instructions or point.instructions),
            )  # fmt: skip
            self._seen[selection] = point, over - 1
            self._note(point, over <= 1)
        return self._seen[selection]

    def _note(self, point: Point, fits: bool) -> None:
        before = self.found.trace[-1] if self.found.trace else None
        if fits:
            self.found.points.append(point)
            before = point.score if before is None else max(before, point.score)
        self.found.trace.append(before)


def evolve(
    score: Score, space: Space, costs: Costs, limits: Limits, plans: int, *, seed: int = 0,
    start: Sequence[Selection] = (HEAD_ONLY,),
) -> Found:  # fmt: skip
    """NSGA-II for the three objectives score, SRAM and instructions, until so many selections are
    planned. `start` are members of the first generation. Equal seeds find the same.

    Raises MicrotuneError without optuna.
    """
    if find_spec("optuna") is None:
        raise MicrotuneError("evolution needs optuna: pip install 'microtune[search]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"], sampler=sampler)
    for selection in start:
        study.enqueue_trial(_genome(space, selection))
    judge, ratios = _Judge(score, costs, limits), space.ratios()
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
    score: Score, space: Space, costs: Costs, limits: Limits, plans: int, *, seed: int = 0
) -> Found:
    """Random selections: a depth, how many of its layers are trained, which, and their ratios, each
    uniformly; until so many different ones are planned."""
    judge, dice, ratios = _Judge(score, costs, limits), random.Random(seed), space.ratios()
    for _ in range(plans * _TRIALS_PER_PLAN):
        if judge.plans >= plans:
            break
        depth = dice.choice((0, *space.depths))
        reached = [n for n in ratios if n >= space.layer_count - depth]
        layers = dice.sample(reached, dice.randint(0, len(reached)))
        judge.point(space.selection(depth, {n: dice.randint(1, len(ratios[n])) for n in layers}))
    return judge.found


def exact_trace(contributions: Contributions, costs: Costs, limits: Limits) -> list[float | None]:
    """The trace of `best_selection`: nothing until its last check, then the best there is."""
    trace: list[float | None] = []

    def check(_: int, selection: Selection, fits: bool) -> None:
        trace.append(contributions.objective(selection) if fits else None)

    best_selection(contributions, costs, limits, check)
    return trace
