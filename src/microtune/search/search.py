"""The search: contributions, the best selection under the limits, verification by training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from microtune import pipeline
from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile
from microtune.parallel.tasks import Backend, Session
from microtune.search.cache import Cache
from microtune.search.contributions.ablation import Analysis, Training, analyse, level
from microtune.search.contributions.estimates import Correlation, Estimates
from microtune.search.costs.candidates import candidates, distinct_ratios
from microtune.search.costs.planned import Costs, Limits
from microtune.search.problem import Choice, Contributions, Selection
from microtune.search.selection.exact import Solution, best_selection, require_ortools
from microtune.search.trials.runner import Laboratory
from microtune.search.trials.trial import Asked, Materials, open_materials
from microtune.search.verification import FOUND, Verified, best_on_val, contenders, verify
from microtune.tools.toolchain import find_host_compiler
from microtune.train.trainer import Progress, check_learning_rate
from microtune.training.build import Formats

LEAST_SEEDS = 3


@dataclass(frozen=True)
class Options:
    """What decides a search besides model and data. `request` holds target, input mode and number
    formats; its scheme, classes and budgets are not used. `epochs` are those of the verification;
    contributions are measured over a third of them. `verify`: None means unless `fast`."""

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
    formats: Formats
    limits: Limits
    training: Training
    contributions: Contributions
    analysis: Analysis | None
    solution: Solution
    chosen: Selection
    chosen_name: str
    planned: Planned
    verified: list[Verified]
    rank_correlation: Correlation | None
    trials: int
    costs: Costs

    @property
    def known(self) -> Contributions:
        """All contributions, also of what cannot be afforded."""
        return self.contributions if self.analysis is None else self.analysis.contributions

    @property
    def predicted_gain(self) -> float | None:
        """Of the chosen scheme over the head alone in nats; None where a part was not measured."""
        return self.known.objective(self.chosen) if self.known.cover(self.chosen) else None

    @property
    def predicted_accuracy(self) -> float | None:
        """Of the chosen scheme on val in percent, after the epochs of the contributions; None where
        a part, or all, was not measured."""
        if self.analysis is None or not self.known.cover(self.chosen):
            return None
        return self.analysis.head_accuracy + self.analysis.points.objective(self.chosen)

    @property
    def proven(self) -> bool:
        """Whether nothing better fits, by the contributions."""
        return self.solution.proven and self.chosen == self.solution.selection


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
    materials = materials_of(model, data, options, "val")
    costs = Costs(model, _request(options, materials), _CostStore(cache))
    laboratory = Laboratory(materials, cache, session, progress)
    finding = _choose(costs, laboratory, options)
    on_choice(finding)
    if not options.verifies:
        return finding
    schemes = contenders(finding.chosen, costs, options.limits)
    training = replace(finding.training, epochs=options.epochs)
    rows = verify(laboratory, lambda: materials_of(model, data, options, "test"), schemes, training)
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
    estimated = Estimates(materials, laboratory.cache, options.lr, laboratory.progress)
    if options.fast:
        contributions = estimated.contributions(depths, choices)
        correlation = estimated.correlation(contributions, estimated.measured(training))
    else:
        depth, measured = scope(costs, depths)
        analysis = analyse(laboratory, depth, measured, training)
        contributions = affordable(analysis.contributions, depths, choices)
        estimated.keep(analysis, training)
        correlation = estimated.correlation(
            estimated.contributions(range(1, depth + 1), measured), estimated.measured(training)
        )
    known = laboratory.done
    laboratory.progress(known, max(laboratory.expected, known), "choosing the scheme")
    solution = best_selection(contributions, costs, options.limits)
    return Finding(
        model=model.graph.name, model_sha256=model.sha256(), data_sha256=materials.data_sha256,
        target=options.request.target.name, input=options.request.input,
        formats=materials.formats, limits=options.limits,
        training=training, contributions=contributions, analysis=analysis, solution=solution,
        chosen=solution.selection, chosen_name=FOUND,
        planned=_planned(costs, solution.selection), verified=[],
        rank_correlation=correlation, trials=laboratory.ran, costs=costs,
    )  # fmt: skip


def scope(costs: Costs, depths: Sequence[int]) -> tuple[int, list[Choice]]:
    """What is measured where these depths can be afforded: (deepest biases, choices), all of a
    level, so that other budgets ask for the same trials; nothing where only the head can."""
    layers = len(costs.layers)
    depth = level(layers, max(depths)) if depths else 0
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
    require_ortools()
    find_host_compiler()
    if options.verifies and options.seeds < LEAST_SEEDS:
        raise MicrotuneError(
            f"--seeds {options.seeds}: a verification needs {LEAST_SEEDS} at least"
        )


def materials_of(model: ModelFile, data: Path, options: Options, asked: Asked) -> Materials:
    """What trials share, in the number formats that are asked for."""
    materials = open_materials(model, data, options.cache, asked)
    return replace(materials, formats=options.request.formats)


def _request(options: Options, materials: Materials) -> pipeline.Request:
    limits = options.limits
    return replace(
        options.request, classes=materials.classes, scheme="head-only",
        sram_bytes=limits.sram_bytes, flash_bytes=limits.flash_bytes,
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
