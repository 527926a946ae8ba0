"""The search: contributions, the best selection under the limits, verification by training."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from microtune import pipeline
from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile
from microtune.parallel.tasks import Backend
from microtune.search.cache import Cache
from microtune.search.contribution import (
    HEAD_ONLY,
    Analysis,
    Gain,
    Training,
    analyse,
    gain,
    level,
)
from microtune.search.costs import Costs, Limits, candidates, distinct_ratios
from microtune.search.estimate import estimate
from microtune.search.laboratory import Laboratory
from microtune.search.problem import Choice, Contributions, Selection
from microtune.search.select import Solution, best_selection
from microtune.search.trials import Asked, Materials, Outcome, Trial, open_materials
from microtune.simulate.builds import digest
from microtune.simulate.trainer import check_learning_rate

Progress = Callable[[int, int, str], None]
LEAST_SEEDS = 3


@dataclass(frozen=True)
class Options:
    """What decides a search besides model and data. `request` holds target, budgets and input mode;
    its scheme and classes are not used. `epochs` are those of the verification; contributions are
    measured over a third of them."""

    request: pipeline.Request
    limits: Limits
    cache: Path
    fast: bool = False
    all_layers: bool = False
    epochs: int = 10
    seeds: int = LEAST_SEEDS
    lr: float = 0.002
    backend: Backend = field(default_factory=Backend)


@dataclass(frozen=True)
class Planned:
    """Costs of the chosen scheme: bytes, and estimated instructions of a training step."""

    sram: int
    flash: int
    instructions: int


@dataclass(frozen=True)
class Verified:
    """A scheme trained by several seeds: mean log-loss in nats and accuracy in percent of the
    split, the accuracy's deviation between seeds, and what is gained over the head alone."""

    name: str
    split: Asked
    seeds: int
    epochs: int
    log_loss: float
    accuracy: float
    deviation: float
    gain: Gain


@dataclass(frozen=True)
class Finding:
    """What a search found. `analysis` is None where contributions were estimated; `verified` is
    then empty. `costs` has the plans that were made; `trials` counts those that were not in the
    cache."""

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
    planned: Planned
    verified: list[Verified]
    rank_correlation: float | None
    trials: int
    costs: Costs


def search(model: ModelFile, data: Path, options: Options, progress: Progress) -> Finding:
    """The whole search. What is in the cache is not done again; the test split is opened only after
    the scheme is chosen. Raises MicrotuneError for what cannot be used or does not fit."""
    _check(options)
    progress(0, 0, "reading images")
    cache = Cache(options.cache)
    materials = open_materials(model, data, options.cache, "val")
    request = _request(options, materials)
    costs = Costs(model, request, _CostStore(cache))
    progress(0, 0, "planning what can be afforded")
    depths, choices = candidates(costs, options.limits, options.all_layers)
    training = Training(options.lr, max(1, options.epochs // 3), options.seeds)
    laboratory = Laboratory(materials, cache, options.backend, progress)
    analysis: Analysis | None = None
    estimated = _Estimates(materials, cache, options.lr, progress)
    if options.fast:
        contributions = estimated.contributions(depths, choices)
    else:
        depth, measured = scope(costs, depths)
        analysis = analyse(laboratory, depth, measured, training)
        contributions = affordable(analysis.contributions, depths, choices)
    progress(laboratory.done, max(laboratory.expected, laboratory.done), "choosing the scheme")
    solution = best_selection(contributions, costs, options.limits)
    verified = [] if options.fast else _verify(laboratory, solution.selection, data, options)
    return Finding(
        model=model.graph.name, model_sha256=model.sha256(),
        data_sha256=materials.data_sha256,
        target=options.request.target.name, input=options.request.input, limits=options.limits,
        training=training, contributions=contributions, analysis=analysis, solution=solution,
        planned=_planned(costs, solution.selection), verified=verified,
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
    if not options.fast and options.seeds < LEAST_SEEDS:
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
        return f"estimate:{digest(self._materials.context, repr(self._lr), repr(what))}"

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


# -- verification ---------------------------------------------------------------------------------


def _verify(
    laboratory: Laboratory, chosen: Selection, data: Path, options: Options
) -> list[Verified]:
    """Head alone, biases of the chosen depth and the chosen scheme: on val, then once on test."""
    schemes = {"head-only": HEAD_ONLY, "bias-only": Selection(chosen.bias_layers, ())}
    schemes |= {"found": chosen}
    trials = len(set(schemes.values())) * options.seeds
    laboratory.expected = laboratory.done + 2 * trials
    rows = _rows(laboratory, schemes, "val", options)
    asked = open_materials(laboratory.materials.model, data, options.cache, "test")
    if len(asked.asked.labels) < 2:
        return rows
    last = Laboratory(
        asked, laboratory.cache, options.backend, laboratory.progress,
        laboratory.expected, laboratory.done,
    )  # fmt: skip
    rows += _rows(last, schemes, "test", options)
    laboratory.ran += last.ran
    return rows


def _rows(
    laboratory: Laboratory, schemes: dict[str, Selection], split: Asked, options: Options
) -> list[Verified]:
    def trials(selection: Selection) -> list[Trial]:
        return [Trial(selection, options.lr, s, options.epochs) for s in range(options.seeds)]

    laboratory.outcomes([trial for s in schemes.values() for trial in trials(s)])
    labels = laboratory.materials.asked.labels
    head = laboratory.outcomes(trials(HEAD_ONLY))

    def row(name: str, outcomes: list[Outcome]) -> Verified:
        rights = [100.0 * float((o.predicted == labels).mean()) for o in outcomes]
        return Verified(
            name, split, options.seeds, options.epochs,
            float(np.mean([o.log_loss.mean() for o in outcomes])), statistics.mean(rights),
            statistics.stdev(rights), gain(outcomes, head, labels),
        )  # fmt: skip

    return [row(name, laboratory.outcomes(trials(s))) for name, s in schemes.items()]
