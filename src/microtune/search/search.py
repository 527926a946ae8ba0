"""The search: contributions, the best selection under the limits, verification by training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from microtune import pipeline
from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile
from microtune.parallel.tasks import Backend, Session
from microtune.search.cache import Cache
from microtune.search.contribution import (
    Analysis,
    Training,
    analyse,
    level,
)
from microtune.search.costs import Costs, Limits, candidates, distinct_ratios
from microtune.search.estimate import estimate
from microtune.search.laboratory import Laboratory
from microtune.search.problem import Choice, Contributions, Selection
from microtune.search.select import Solution, best_selection
from microtune.search.trials import Materials, open_materials
from microtune.search.verification import FOUND, Verified, best_on_val, contenders, verify
from microtune.simulate.builds import code_version, digest
from microtune.simulate.trainer import Progress, check_learning_rate

LEAST_SEEDS = 3


@dataclass(frozen=True)
class Options:
    """What decides a search besides model and data. `request` holds target, budgets and input mode;
    its scheme and classes are not used. `epochs` are those of the verification; contributions are
    measured over a third of them. `verify`: None means unless `fast`."""

    request: pipeline.Request
    limits: Limits
    cache: Path
    fast: bool = False
    all_layers: bool = False
    epochs: int = 10
    seeds: int = LEAST_SEEDS
    lr: float = 0.002
    backend: Backend = field(default_factory=Backend)
    verify: bool | None = None

    @property
    def verifies(self) -> bool:
        """Whether the choice is trained."""
        return not self.fast if self.verify is None else self.verify


@dataclass(frozen=True)
class Planned:
    """Costs of the chosen scheme: bytes, and estimated instructions of a training step."""

    sram: int
    flash: int
    instructions: int


@dataclass(frozen=True)
class Finding:
    """What a search found. `solution` is best by the contributions, `chosen` what the verification
    left best, known schemes among it, under its name; `planned` is of the chosen one. `analysis` is
    None where contributions were estimated. `costs` has the plans that were made; `trials` counts
    those that were not in the cache."""

    model: str
    model_sha256: str
    data_sha256: str
    target: str
    input: str
    limits: Limits
    training: Training
    contributions: Contributions
    analysis: Analysis | None
    solution: Solution
    chosen: Selection
    chosen_name: str
    planned: Planned
    verified: list[Verified]
    rank_correlation: float | None
    trials: int
    costs: Costs


def search(
    model: ModelFile, data: Path, options: Options, progress: Progress,
    on_choice: Callable[[Finding], None] = lambda _: None,
) -> Finding:  # fmt: skip
    """The whole search. What is in the cache is not done again. `on_choice` gets what is chosen by
    the contributions before the verification begins, which takes longer with a warm cache than all
    before; the test split is opened only then. Raises MicrotuneError for what cannot be used or
    does not fit."""
    with Session(options.backend) as session:
        return _search(model, data, options, progress, on_choice, session)


def _search(
    model: ModelFile, data: Path, options: Options, progress: Progress,
    on_choice: Callable[[Finding], None], session: Session,
) -> Finding:  # fmt: skip
    _check(options)
    progress(0, 0, "reading images")
    cache = Cache(options.cache)
    materials = open_materials(model, data, options.cache, "val")
    costs = Costs(model, _request(options, materials), _CostStore(cache))
    laboratory = Laboratory(materials, cache, session, progress)
    finding = _choose(costs, laboratory, options)
    on_choice(finding)
    if not options.verifies:
        return finding
    schemes = contenders(finding.chosen, costs, options.limits)
    training = replace(finding.training, epochs=options.epochs)
    rows = verify(
        laboratory, lambda: open_materials(model, data, options.cache, "test"), schemes, training
    )
    best = best_on_val(rows)
    return replace(
        finding, verified=rows, chosen=best.selection, chosen_name=best.name,
        planned=_planned(costs, best.selection), trials=laboratory.ran,
    )  # fmt: skip


def _choose(costs: Costs, laboratory: Laboratory, options: Options) -> Finding:
    """Contributions, measured or estimated, and what is best by them."""
    materials, model = laboratory.materials, costs.model
    laboratory.progress(0, 0, "planning what can be afforded")
    depths, choices = candidates(costs, options.limits, options.all_layers)
    training = Training(options.lr, max(1, options.epochs // 3), options.seeds)
    analysis: Analysis | None = None
    estimated = _Estimates(materials, laboratory.cache, options.lr, laboratory.progress)
    if options.fast:
        contributions = estimated.contributions(depths, choices)
    else:
        depth, measured = scope(costs, depths)
        analysis = analyse(laboratory, depth, measured, training)
        contributions = affordable(analysis.contributions, depths, choices)
    known = laboratory.done
    laboratory.progress(known, max(laboratory.expected, known), "choosing the scheme")
    solution = best_selection(contributions, costs, options.limits)
    return Finding(
        model=model.graph.name, model_sha256=model.sha256(), data_sha256=materials.data_sha256,
        target=options.request.target.name, input=options.request.input, limits=options.limits,
        training=training, contributions=contributions, analysis=analysis, solution=solution,
        chosen=solution.selection, chosen_name=FOUND,
        planned=_planned(costs, solution.selection), verified=[],
        rank_correlation=estimated.correlation(analysis), trials=laboratory.ran, costs=costs,
    )  # fmt: skip


def scope(costs: Costs, depths: Sequence[int]) -> tuple[int, list[Choice]]:
    """What is measured where these depths can be afforded: (deepest biases, choices), all of a
    level, so that other budgets ask for the same trials."""
    layers = len(costs.layers)
    depth = level(layers, max(depths, default=1))
    choices = [
        Choice(layer, ratio)
        for layer in range(layers - depth, layers)
        for ratio in distinct_ratios(costs.model.graph, costs.layers[layer])
    ]
    return depth, choices


def affordable(
    contributions: Contributions, depths: Sequence[int], choices: Sequence[Choice]
) -> Contributions:
    """Those of these depths and choices."""
    return Contributions(
        {depth: contributions.biases[depth] for depth in depths},
        {choice: contributions.weights[choice] for choice in choices},
    )


def _check(options: Options) -> None:
    check_learning_rate(options.lr)
    if options.verifies and options.seeds < LEAST_SEEDS:
        raise MicrotuneError(
            f"--seeds {options.seeds}: a verification needs {LEAST_SEEDS} at least"
        )


def _request(options: Options, materials: Materials) -> pipeline.Request:
    return pipeline.Request(
        materials.classes, "head-only", options.request.target, options.limits.sram_bytes,
        options.limits.flash_bytes, materials.formats, options.request.input,
    )  # fmt: skip


def _planned(costs: Costs, selection: Selection) -> Planned:
    return Planned(costs.sram(selection), costs.flash(selection), costs.instructions(selection))


class _CostStore:
    """Planned costs in the cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def get(self, key: str) -> int | None:
        """The integer under the key."""
        value = self._cache.get(f"cost:{key}")
        return value if isinstance(value, int) else None

    def put(self, key: str, value: int) -> None:
        """Remember."""
        self._cache.put(f"cost:{key}", value)


class _Estimates:
    """The training-free estimate through the cache."""

    def __init__(self, materials: Materials, cache: Cache, lr: float, progress: Progress) -> None:
        self._materials, self._cache, self._lr = materials, cache, lr
        self._progress = progress

    def _key(self, what: object) -> str:
        code = code_version(("search/estimate.py",))
        return f"estimate:{digest(code, self._materials.context, repr(self._lr), repr(what))}"

    def contributions(self, depths: Sequence[int], choices: Sequence[Choice]) -> Contributions:
        """Estimated in seconds to minutes, or known."""
        known = [self._cache.get(self._key(item)) for item in (*depths, *choices)]
        if any(not isinstance(value, dict) for value in known):
            found = estimate(self._materials, depths, choices, self._lr, self._progress)
            for item, nats in (*found.biases.items(), *found.weights.items()):
                self._cache.put(self._key(item), {"nats": nats})
            return found
        values = [value["nats"] for value in known if isinstance(value, dict)]
        biases, weights = values[: len(depths)], values[len(depths) :]
        return Contributions(
            dict(zip(depths, biases, strict=True)), dict(zip(choices, weights, strict=True))
        )

    def correlation(self, analysis: Analysis | None) -> float | None:
        """Spearman's rank correlation of estimated to measured gains of the weights (only those
        really measured), where both are known; None otherwise."""
        if analysis is None:
            return None
        pairs = []
        for choice, found in analysis.weights.items():
            value = self._cache.get(self._key(choice))
            if found.seeds and isinstance(value, dict):
                pairs.append((found.nats, value["nats"]))
        if len(pairs) < LEAST_SEEDS:
            return None
        return rank_correlation(*(list(column) for column in zip(*pairs, strict=True)))


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's; ties share their rank, and constants correlate with nothing (0)."""
    from scipy.stats import rankdata

    ranks = [rankdata(values) for values in (one, other)]
    if any(np.ptp(r) == 0 for r in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
