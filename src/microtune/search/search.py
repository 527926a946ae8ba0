"""The whole search: contributions, the best selection within the limits, verification."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from microtune import pipeline
from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile
from microtune.parallel.tasks import Backend, TaskSession
from microtune.search.cache import Cache
from microtune.search.contributions.ablation import (
    ContributionAnalysis,
    measure_contributions,
    reference_depth,
)
from microtune.search.contributions.estimates import CachedEstimate, Correlation
from microtune.search.costs.candidates import affordable_candidates, distinct_ratios
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.problem import Choice, Contributions, Selection
from microtune.search.selection.exact import Solution, best_selection, require_ortools
from microtune.search.trials.runner import TrialRunner
from microtune.search.trials.trial import (
    EvaluationSplit,
    TrialSettings,
    TrialSetup,
    open_trial_setup,
)
from microtune.search.verification import (
    FOUND,
    VerifiedScheme,
    best_on_val,
    schemes_to_verify,
    verify_schemes,
)
from microtune.tools.toolchain import find_host_compiler
from microtune.train.trainer import Progress, check_learning_rate
from microtune.training.build import Formats

LEAST_SEEDS = 3


@dataclass(frozen=True)
class SearchOptions:
    """Options of a search, as `microtune search` takes them.

    `request` has target, input mode and number formats; its scheme, classes and budgets are not
    used. `cache` is the folder of the cache. `fast` estimates contributions instead of measuring
    them. `all_layers` also measures parts that exceed the limits. `epochs` and `seeds` are those of
    the verification; contributions are measured over a third of the epochs, with at most so many
    seeds. `lr` is the learning rate per sample. `verify` is None for: unless `fast`.
    """

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
        """Whether the chosen scheme is trained and compared with known ones."""
        return not self.fast if self.verify is None else self.verify


@dataclass(frozen=True)
class PlannedCosts:
    """Costs of a scheme: planned bytes of SRAM and flash, estimated instructions of one step."""

    sram: int
    flash: int
    instructions: int


@dataclass(frozen=True)
class SearchResult:
    """The scheme that a search found, with its evidence.

    `contributions` has the parts that may fit within the limits, and `solution` the best selection
    of them. `chosen` is the scheme to write: that selection, or a known scheme that was better in
    the verification; `planned` are its costs. `analysis` is None if contributions were estimated.
    `training` says how they were measured. `trials` counts the training runs that were not cached.
    """

    model: str
    model_sha256: str
    data_sha256: str
    target: str
    input: str
    formats: Formats
    limits: Limits
    training: TrialSettings
    contributions: Contributions
    analysis: ContributionAnalysis | None
    solution: Solution
    chosen: Selection
    chosen_name: str
    planned: PlannedCosts
    verified: list[VerifiedScheme]
    rank_correlation: Correlation | None
    trials: int
    costs: SelectionCosts

    @property
    def all_contributions(self) -> Contributions:
        """All contributions, also of parts that exceed the limits."""
        return self.contributions if self.analysis is None else self.analysis.contributions

    @property
    def predicted_gain(self) -> float | None:
        """Predicted gain of the chosen scheme over the head alone, in nats.

        None if a part of it was not measured.
        """
        known = self.all_contributions
        return known.objective(self.chosen) if known.covers(self.chosen) else None

    @property
    def predicted_accuracy(self) -> float | None:
        """Predicted accuracy of the chosen scheme on val, in percent.

        After as many epochs as contributions were measured over. None if a part of it was not
        measured, or if contributions were estimated.
        """
        if self.analysis is None or not self.all_contributions.covers(self.chosen):
            return None
        return self.analysis.head_accuracy + self.analysis.points.objective(self.chosen)

    @property
    def proven(self) -> bool:
        """Whether it is proven that no selection of larger predicted gain fits."""
        return self.solution.proven and self.chosen == self.solution.selection


def search(
    model: ModelFile, data: Path, options: SearchOptions, progress: Progress,
    on_choice: Callable[[SearchResult], None] = lambda _: None,
) -> SearchResult:  # fmt: skip
    """Find the scheme that learns best within the limits.

    Cached work is not done again. `on_choice` is called with the result before the verification,
    which takes longer than all else if contributions are cached. The test split is not opened
    before. Raises MicrotuneError for data that cannot be used, for missing tools, and if not even
    the head alone fits.
    """
    with TaskSession(options.backend) as session:
        return _search(model, data, options, progress, on_choice, session)


def _search(
    model: ModelFile, data: Path, options: SearchOptions, progress: Progress,
    on_choice: Callable[[SearchResult], None], session: TaskSession,
) -> SearchResult:  # fmt: skip
    """Search with a session that is open."""
    _check(options)
    progress(0, 0, "reading images")
    cache = Cache(options.cache)
    setup = trial_setup(model, data, options, "val")
    costs = SelectionCosts(model, _request(options, setup), _CostStore(cache))
    runner = TrialRunner(setup, cache, session, progress)
    result = _choose(costs, runner, options)
    on_choice(result)
    if not options.verifies:
        return result
    schemes = schemes_to_verify(result.chosen, costs, options.limits)
    settings = replace(result.training, epochs=options.epochs)
    rows = verify_schemes(
        runner, lambda: trial_setup(model, data, options, "test"), schemes, settings
    )
    best = best_on_val(rows)
    return replace(
        result, verified=rows, chosen=best.selection, chosen_name=best.name,
        planned=_planned(costs, best.selection), trials=runner.trained,
    )  # fmt: skip


def _choose(costs: SelectionCosts, runner: TrialRunner, options: SearchOptions) -> SearchResult:
    """The result before the verification: contributions, and the best selection by them."""
    setup, model = runner.setup, costs.model
    runner.progress(0, 0, "planning what can be afforded")
    depths, choices = affordable_candidates(costs, options.limits, options.all_layers)
    settings = TrialSettings(options.lr, max(1, options.epochs // 3), options.seeds)
    analysis: ContributionAnalysis | None = None
    estimated = CachedEstimate(setup, runner.cache, options.lr, runner.progress)
    if options.fast:
        contributions = estimated.contributions(depths, choices)
        correlation = estimated.correlation(contributions, estimated.measured(settings))
    else:
        depth, measured = measured_scope(costs, depths)
        analysis = measure_contributions(runner, depth, measured, settings)
        contributions = restricted_to(analysis.contributions, depths, choices)
        estimated.store_measured(analysis, settings)
        correlation = estimated.correlation(
            estimated.contributions(range(1, depth + 1), measured), estimated.measured(settings)
        )
    known = runner.finished
    runner.progress(known, max(runner.expected, known), "choosing the scheme")
    solution = best_selection(contributions, costs, options.limits)
    return SearchResult(
        model=model.graph.name, model_sha256=model.sha256(), data_sha256=setup.data_sha256,
        target=options.request.target.name, input=options.request.input,
        formats=setup.formats, limits=options.limits,
        training=settings, contributions=contributions, analysis=analysis, solution=solution,
        chosen=solution.selection, chosen_name=FOUND,
        planned=_planned(costs, solution.selection), verified=[],
        rank_correlation=correlation, trials=runner.trained, costs=costs,
    )  # fmt: skip


def measured_scope(costs: SelectionCosts, depths: Sequence[int]) -> tuple[int, list[Choice]]:
    """(deepest bias depth, choices) to measure; `depths` are those that may fit within the limits.

    The depth is rounded up to a reference depth, with all choices of its layers, so that searches
    with other limits need the same trials. (0, []) if `depths` is empty.
    """
    layers = len(costs.layers)
    depth = reference_depth(layers, max(depths)) if depths else 0
    choices = [
        Choice(layer, ratio)
        for layer in range(layers - depth, layers)
        for ratio in distinct_ratios(costs.model.graph, costs.layers[layer])
    ]
    return depth, choices


def restricted_to(
    contributions: Contributions, depths: Sequence[int], choices: Sequence[Choice]
) -> Contributions:
    """The contributions of these depths and choices only."""
    return Contributions(
        {depth: contributions.biases[depth] for depth in depths},
        {choice: contributions.weights[choice] for choice in choices},
    )


def _check(options: SearchOptions) -> None:
    """Raise MicrotuneError if an option is out of range or a tool is missing."""
    check_learning_rate(options.lr)
    require_ortools()
    find_host_compiler()
    if options.verifies and options.seeds < LEAST_SEEDS:
        raise MicrotuneError(
            f"--seeds {options.seeds}: a verification needs {LEAST_SEEDS} at least"
        )


def trial_setup(
    model: ModelFile, data: Path, options: SearchOptions, evaluate_on: EvaluationSplit
) -> TrialSetup:
    """The setup of the trials of a search: decoded images, and the options' number formats.

    Raises MicrotuneError for data that cannot be used.
    """
    setup = open_trial_setup(model, data, options.cache, evaluate_on)
    return replace(setup, formats=options.request.formats)


def _request(options: SearchOptions, setup: TrialSetup) -> pipeline.Request:
    """The compile request of the search: the options' target and formats, with its limits."""
    limits = options.limits
    return replace(
        options.request, classes=setup.classes, scheme="head-only",
        sram_bytes=limits.sram_bytes, flash_bytes=limits.flash_bytes,
    )  # fmt: skip


def _planned(costs: SelectionCosts, selection: Selection) -> PlannedCosts:
    """The costs of a selection, of which the plan is made or cached."""
    return PlannedCosts(
        costs.sram(selection), costs.flash(selection), costs.instructions(selection)
    )


class _CostStore:
    """A `CostStore` in the cache of the search."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def get(self, key: str) -> int | None:
        """The integer that was put under the key, None if there is none."""
        value = self._cache.get(f"cost:{key}")
        return value if isinstance(value, int) else None

    def put(self, key: str, value: int) -> None:
        """Store an integer under the key."""
        self._cache.put(f"cost:{key}", value)
