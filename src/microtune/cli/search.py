"""The command `search`: parse, call, print."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from microtune.cli.options import BiasKind, HeadKind, InputKind
from microtune.report.console import console, progress
from microtune.report.sizes import parse_bytes
from microtune.train.trainer import DEFAULT_LEARNING_RATE


class BackendKind(StrEnum):
    """Where training runs are executed."""

    local = "local"
    ray = "ray"
    dask = "dask"


def search(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .mt or .pkl model.")],
    data: Annotated[Path, typer.Option(help="Folder, .tar, .zip or .npz with images.")],
    output: Annotated[Path, typer.Option("-o", metavar="SCHEME.toml", help="The file to write.")],
    target: Annotated[str, typer.Option(help="Chip, for instance cortex-m7.")] = "cortex-m7",
    sram: Annotated[str, typer.Option(help="SRAM budget.")] = "256KB",
    flash: Annotated[str, typer.Option(help="Flash budget.")] = "1MB",
    step_instructions: Annotated[
        int | None, typer.Option(min=1, help="Instructions of a training step, at most.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Estimate contributions without "
                    "training.")] = False,
    verify: Annotated[bool | None, typer.Option("--verify/--no-verify", help="Train the choice "
                      "beside known schemes, or stop before (default: unless --fast).")] = None,
    all_layers: Annotated[bool, typer.Option("--all-layers", help="Measure all layers, also those "
                          "whose biases cannot be afforded.")] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Of the verification; contributions are "
                      "measured over a third of them.")] = 10,
    seeds: Annotated[int, typer.Option(min=1, help="Paired runs: of the verification, and at most "
                     "of a contribution.")] = 3,
    lr: Annotated[float, typer.Option(help="Learning rate per sample.")] = DEFAULT_LEARNING_RATE,
    backend: Annotated[BackendKind, typer.Option(help="Where to train.")] = BackendKind.local,
    address: Annotated[str | None, typer.Option(help="Of the Ray or Dask cluster.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: all cores).")]
    = None,
    cache: Annotated[Path | None, typer.Option(metavar="DIR", help="What is computed is kept here "
                     "(default: search in the cache, see docs/data.md).")] = None,
    pareto: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write what other budgets "
                      "give, beside known schemes: PNG, HTML, JSON.")] = None,
    with_marks: Annotated[bool, typer.Option("--train-marks", help="Of --pareto: also train every "
                          "scheme that fits, as in the verification, on val.")] = False,
    plans: Annotated[int, typer.Option("--compare-plans", min=1, help="Of --pareto: plans that "
                     "evolution and random search may make for each of three seeds.")] = 20,
    input_mode: Annotated[
        InputKind, typer.Option("--input", help="A resident frame, or rows asked from a callback.")
    ] = InputKind.resident,
    bias: Annotated[BiasKind, typer.Option(help="Format of trained biases.")] = BiasKind.int16,
    head: Annotated[HeadKind, typer.Option(help="Format of the head.")] = HeadKind.int16,
) -> None:  # fmt: skip
    """Find the scheme that learns DATA best within the budgets, with its evidence."""
    from microtune import pipeline
    from microtune.importers import load_any
    from microtune.parallel.tasks import Backend
    from microtune.report.search_files import prepare, publish
    from microtune.report.search_text import search_tables, verification_tables
    from microtune.search.budgets.report import budget_report
    from microtune.search.budgets.training import check_training_options, train_schemes
    from microtune.search.cache import default_folder
    from microtune.search.costs.planned import Limits
    from microtune.search.scheme_file import check_output, is_verified, save_scheme
    from microtune.search.search import SearchOptions, SearchResult
    from microtune.search.search import search as run_search
    from microtune.targets import load_target
    from microtune.training.build import Formats

    check_output(output)
    limits = Limits(parse_bytes(sram), parse_bytes(flash), step_instructions)
    request = pipeline.Request(
        2, "head-only", load_target(target), limits.sram_bytes, limits.flash_bytes,
        Formats(bias.value, head.value), input_mode.value,
    )  # fmt: skip
    if with_marks:
        check_training_options(pareto, seeds)
    if pareto is not None:
        prepare(pareto)
    where = Backend.parse(backend.value, address, workers)
    options = SearchOptions(
        request, limits, cache or default_folder(), fast, all_layers, epochs, seeds, lr, where,
        verify,
    )  # fmt: skip
    loaded = load_any(model)

    def chosen(finding: SearchResult) -> None:
        if not (options.verifies and is_verified(output, finding)):
            save_scheme(finding, output)
        console.print(*search_tables(finding))

    with progress("search", resumable=True) as bar:
        finding = run_search(loaded, data, options, bar, chosen)
    if finding.verified:
        save_scheme(finding, output)
        console.print(*verification_tables(finding))
    written = [output]
    if pareto is not None:
        with progress("pareto", resumable=True) as bar:
            report = budget_report(finding, bar, plans)
            written += publish(report, pareto)
        if with_marks:
            with progress("train marks", resumable=True) as bar:
                publish(train_schemes(report, loaded, data, options, bar), pareto)
    for path in written:
        console.print(f"written: {path}", soft_wrap=True)
