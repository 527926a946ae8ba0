"""The command `compile`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from microtune.cli.options import BiasKind, HeadKind, InputKind
from microtune.errors import MicrotuneError
from microtune.report.console import console, errors, figures_table
from microtune.report.sizes import parse_bytes


class Emit(StrEnum):
    """What `compile --emit` prints instead of writing a project."""

    graph = "graph"
    training = "training"
    plan = "plan"


class ScheduleKind(StrEnum):
    """How a step is executed."""

    layers = "layers"
    in_place = "in-place"
    stream = "stream"


def compile_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .mt or .pkl model.")],
    scheme: Annotated[str, typer.Option(help="Update scheme: a name or a TOML file.")],
    classes: Annotated[
        str | None, typer.Option(metavar="N|NAME,NAME,…", help="Classes to learn: how many, or "
                                 "their names in label order.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data set whose classes are to be learnt, instead of "
                                  "--classes.")
    ] = None,
    target: Annotated[str, typer.Option(help="Chip, for instance cortex-m7.")] = "cortex-m7",
    sram: Annotated[str, typer.Option(help="SRAM budget.")] = "256KB",
    flash: Annotated[str, typer.Option(help="Flash budget.")] = "1MB",
    bias: Annotated[BiasKind, typer.Option(help="Format of trained biases.")] = BiasKind.int16,
    head: Annotated[HeadKind, typer.Option(help="Format of the head.")] = HeadKind.int16,
    input_mode: Annotated[
        InputKind, typer.Option("--input", help="A resident frame, or rows asked from a callback.")
    ] = InputKind.resident,
    schedule: Annotated[
        ScheduleKind, typer.Option(help="How the step is executed; the bits are the same.")
    ] = ScheduleKind.stream,
    replay: Annotated[
        str | None, typer.Option(help="Memory for stored samples to rehearse, for instance 16KB.")
    ] = None,
    class_names: Annotated[
        bool, typer.Option("--class-names", help="Put the names of the classes into the C too: "
                           "mt_class_names.")
    ] = False,
    learnt: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Start from what `train --save` or mt_save "
                                  "wrote, instead of from the model's own weights.")
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="Stands before every name of the C, for firmware with several "
                          "networks; for instance faces_.")
    ] = "",
    emit: Annotated[
        Emit | None, typer.Option(help="Print this and stop: the int8 graph, the training graph, "
                                  "or the plan.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", metavar="DIR", help="Project.")] = None,
) -> None:  # fmt: skip
    """Compile MODEL into a C project that fits the budgets, or say what does not fit."""
    from microtune import pipeline
    from microtune.codegen.names import check_prefix
    from microtune.data import open_dataset
    from microtune.importers import load_any
    from microtune.ir.text import format_graph
    from microtune.project.learnt import read_learnt
    from microtune.targets import load_target
    from microtune.training.build import Formats
    from microtune.training.classes import own_classes, resolve_classes

    loaded = load_any(model)
    found = None if data is None else open_dataset(data).classes
    own = own_classes(loaded) if scheme.strip().lower() == "none" else None
    chosen = resolve_classes(classes, found, str(data), own)
    request = pipeline.Request(
        chosen.count, scheme, load_target(target), parse_bytes(sram), parse_bytes(flash),
        Formats(bias.value, head.value), input_mode.value, schedule.value,
        0 if replay is None else parse_bytes(replay), chosen.names, check_prefix(prefix),
        learnt=None if learnt is None else read_learnt(learnt), names_in_c=class_names,
    )  # fmt: skip
    if emit is None and output is None:
        raise MicrotuneError("say where to write the project: -o DIR (or use --emit)")
    if emit is Emit.graph:
        sys.stdout.write(format_graph(loaded.graph))
    elif emit is not None:
        graph, _ = pipeline.training_graph(loaded, request)
        if emit is Emit.training:
            sys.stdout.write(format_graph(graph))
        else:
            sys.stdout.write(pipeline.plan_text(graph, pipeline.plan_graph(graph, request)))
    elif output is not None:
        with console.status("compiling"):
            notes: list[str] = []
            project = pipeline.compile_model(loaded, request, output, notes.append)
        console.print(figures_table(f"{output}", pipeline.summary(project)))
        for note in notes:
            errors.print(f"note: {note}", soft_wrap=True)
