"""The command `search`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import microtune as mt
from microtune.cli.bars import Bars
from microtune.cli.options import BiasKind, HeadKind, InputKind, Target
from microtune.report.console import console


class BackendKind(StrEnum):
    """Where training runs are executed."""

    local = "local"
    ray = "ray"
    dask = "dask"


def search(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model of any known format.")],
    data: Annotated[Path, typer.Option(help="Folder, .tar, .zip or .npz (docs/data.md).")],
    output: Annotated[Path, typer.Option("-o", metavar="SCHEME.toml", help="The file to write.")],
    target: Target = "cortex-m7",
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
    lr: Annotated[float, typer.Option(help="Learning rate per sample.")] = mt.DEFAULT_LEARNING_RATE,
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
    head_format: Annotated[HeadKind, typer.Option(help="Number format of the head.")]
    = HeadKind.int16,
) -> None:  # fmt: skip
    """Find the scheme that learns DATA best within the budgets, with its evidence."""
    from microtune.report.search_text import search_tables, verification_tables

    with Bars(resumable=True) as bars:
        found = mt.search(
            model, data, output=output, target=target, sram=sram, flash=flash,
            step_instructions=step_instructions, fast=fast, verify=verify, all_layers=all_layers,
            epochs=epochs, seeds=seeds, lr=lr, backend=backend.value, address=address,
            workers=workers, cache=cache, pareto=pareto, train_marks=with_marks,
            compare_plans=plans, input=input_mode.value, bias=bias.value,
            head_format=head_format.value,
            on_choice=lambda found: console.print(*search_tables(found)), progress=bars,
        )  # fmt: skip
    if found.result.verified:
        console.print(*verification_tables(found.result))
    for path in found.written:
        console.print(f"written: {path}", soft_wrap=True)
