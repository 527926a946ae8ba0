"""The search of the update scheme that learns best within the budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from microtune import pipeline
from microtune.api.arguments import Place, as_path, choice, maybe_path, public, real, whole
from microtune.api.models import as_model
from microtune.api.reports import OnProgress, Reporter
from microtune.ir.modelfile import ModelFile
from microtune.parallel.tasks import Backend, BackendName
from microtune.passes.lower_gradients import BiasFormat
from microtune.report.search_files import prepare, publish
from microtune.report.search_text import search_tables, verification_tables
from microtune.report.sizes import parse_bytes
from microtune.report.text import as_text
from microtune.search.budgets.report import budget_report
from microtune.search.budgets.training import check_training_options, train_schemes
from microtune.search.cache import default_folder
from microtune.search.costs.planned import Limits
from microtune.search.scheme_file import check_output, is_verified, save_scheme
from microtune.search.search import SearchOptions, SearchResult
from microtune.search.search import search as run_search
from microtune.targets import Target, load_target
from microtune.train.trainer import DEFAULT_LEARNING_RATE
from microtune.training.build import Formats
from microtune.training.head_origin import HeadFormat


@dataclass(frozen=True, repr=False)
class FoundScheme:
    """What a search found. `scheme` is the file that `compile(scheme=)` takes, `result` has the
    evidence, `written` all files."""

    scheme: Path
    result: SearchResult
    written: tuple[Path, ...]

    def __repr__(self) -> str:
        tables = search_tables(self.result)
        if self.result.verified:
            tables += verification_tables(self.result)
        return as_text(f"FoundScheme: {self.scheme}", *tables)


@public
def search(
    model: ModelFile | Place,
    data: Place,
    *,
    output: Place,
    target: str | Place | Target = "cortex-m7",
    sram: str | int = "256KB",
    flash: str | int = "1MB",
    step_instructions: int | None = None,
    fast: bool = False,
    verify: bool | None = None,
    all_layers: bool = False,
    epochs: int = 10,
    seeds: int = 3,
    lr: float = DEFAULT_LEARNING_RATE,
    backend: BackendName = "local",
    address: str | None = None,
    workers: int | None = None,
    cache: Place | None = None,
    pareto: Place | None = None,
    train_marks: bool = False,
    compare_plans: int = 20,
    input: pipeline.InputMode = "resident",
    bias: BiasFormat = "int16",
    head_format: HeadFormat = "int16",
    on_choice: Callable[[SearchResult], None] | None = None,
    progress: OnProgress | None = None,
) -> FoundScheme:
    """Find the scheme that learns the data best within the budgets, with its evidence.

    The options are those of `microtune search`. What is computed is kept: the same call goes on
    where an interrupted one ended.

    Args:
        model: what `load` returns, or a path.
        data: a folder, .tar, .zip or .npz with labelled images.
        output: the scheme file to write, NAME.toml.
        target: a chip's name, a TOML file of one, or a Target.
        sram: SRAM budget: bytes, or text such as "256KB".
        flash: flash budget, in the same way.
        step_instructions: instructions of a training step, at most.
        fast: estimate contributions without training.
        verify: train the choice beside known schemes; None: unless `fast`.
        all_layers: measure all layers, also those whose biases cannot be afforded.
        epochs: of the verification; contributions are measured over a third of them.
        seeds: paired runs of the verification, and at most of a contribution.
        lr: learning rate per sample.
        backend: where to train: "local", "ray" or "dask".
        address: of the Ray or Dask cluster.
        workers: processes; None: all cores.
        cache: what is computed is kept here; None: in microtune's cache (docs/data.md).
        pareto: a folder for what other budgets give, as PNG, HTML and JSON.
        train_marks: of `pareto`: also train every scheme that fits.
        compare_plans: of `pareto`: plans that evolution and random search may make for each of
            three seeds.
        input: "resident" or "rows", as in `compile`.
        bias: number format of trained biases.
        head_format: number format of the head.
        on_choice: is told what is chosen by the contributions, before the verification begins.
        progress: is told how far the work is.

    Raises:
        MicrotuneError: what cannot be used, does not fit, or cannot be written.
    """
    place, reporter = as_path("output", output), Reporter(progress)
    check_output(place)
    limits = Limits(
        parse_bytes(sram), parse_bytes(flash),
        None if step_instructions is None else whole("step_instructions", step_instructions, 1),
    )  # fmt: skip
    formats = Formats(
        choice("bias", bias, BiasFormat), choice("head_format", head_format, HeadFormat)
    )
    request = pipeline.Request(
        2, "head-only", load_target(target), limits.sram_bytes, limits.flash_bytes, formats,
        choice("input", input, pipeline.InputMode),
    )  # fmt: skip
    folder = maybe_path("pareto", pareto)
    if train_marks:
        check_training_options(folder, seeds)
    if folder is not None:
        prepare(folder)
    options = SearchOptions(
        request, limits, maybe_path("cache", cache) or default_folder(), fast, all_layers,
        whole("epochs", epochs, 1), whole("seeds", seeds, 1), real("lr", lr),
        Backend.parse(backend, address, workers), verify,
    )  # fmt: skip
    search_ = _Search(as_model(model), as_path("data", data), options, place, reporter)
    result = search_.find(on_choice)
    written = [place]
    if folder is not None:
        plans = whole("compare_plans", compare_plans, 1)
        written += search_.report(result, folder, plans, trained=train_marks)
    return FoundScheme(place, result, tuple(written))


@dataclass(frozen=True)
class _Search:
    """One search: its model and data, where the scheme goes, and who is told of it."""

    model: ModelFile
    data: Path
    options: SearchOptions
    output: Path
    reporter: Reporter

    def find(self, on_choice: Callable[[SearchResult], None] | None) -> SearchResult:
        """The result, written: the choice before its verification, then what that left best."""

        def chosen(result: SearchResult) -> None:
            if not (self.options.verifies and is_verified(self.output, result)):
                save_scheme(result, self.output)
            if on_choice is not None:
                on_choice(result)

        with self.reporter.stage("search") as update:
            result = run_search(self.model, self.data, self.options, update, chosen)
        if result.verified:
            save_scheme(result, self.output)
        return result

    def report(
        self, result: SearchResult, folder: Path, plans: int, *, trained: bool
    ) -> list[Path]:
        """What other budgets give, written into the folder; on request with trained schemes."""
        with self.reporter.stage("pareto") as update:
            made = budget_report(result, update, plans)
            written = publish(made, folder)
        if trained:
            with self.reporter.stage("train marks") as update:
                publish(train_schemes(made, self.model, self.data, self.options, update), folder)
        return written
