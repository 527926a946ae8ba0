"""The command `compile`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import microtune as mt
from microtune.api.compiling import CompileOptions
from microtune.cli.bars import Bars, say
from microtune.cli.options import BiasKind, HeadKind, InputKind, OptimizerKind, Target
from microtune.report.console import console, figures_table


class LossKind(StrEnum):
    """What the loss of a training step is."""

    cross_entropy = "cross-entropy"
    binary = "binary"
    mse = "mse"


class ScheduleKind(StrEnum):
    """How a training step is executed."""

    layers = "layers"
    in_place = "in-place"
    stream = "stream"


def compile_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model of any known format.")],
    scheme: Annotated[
        str, typer.Option(help="What is trained: auto (what is expected to learn best within the "
                          "budgets), another name, or a TOML file (docs/schemes.md).")
    ] = "auto",
    classes: Annotated[
        str | None, typer.Option(metavar="N|NAME,NAME,…", help="Classes to learn: how many, or "
                                 "their names in label order.")
    ] = None,
    outputs: Annotated[
        int | None, typer.Option(metavar="N", help="Learn N values by mean squared error, instead "
                                 "of classes.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data set whose classes are to be learnt, instead of "
                                  "--classes.")
    ] = None,
    target: Target = "cortex-m7",
    sram: Annotated[str, typer.Option(help="SRAM budget.")] = "256KB",
    flash: Annotated[str, typer.Option(help="Flash budget.")] = "1MB",
    step_instructions: Annotated[
        int | None, typer.Option(min=1, help="Estimated instructions of a training step, at most; "
                                 "with --scheme auto.")
    ] = None,
    bias: Annotated[BiasKind, typer.Option(help="Format of trained biases.")] = BiasKind.int16,
    head: Annotated[
        str, typer.Option(metavar="new|keep|extend:K", help="What the head starts from: new "
                          "(empty), keep (the model's own classifier and its classes), extend:K "
                          "(that, and K more classes).")
    ] = "new",
    head_format: Annotated[
        HeadKind, typer.Option(help="Number format of the head.")
    ] = HeadKind.int16,
    loss: Annotated[
        LossKind | None, typer.Option(help="cross-entropy (the default: one output for each "
                          "class), binary (one output for two classes) or mse (values; the "
                          "default with --outputs).")
    ] = None,
    optimizer: Annotated[
        OptimizerKind, typer.Option(help="SGD, or SGD with momentum: a velocity in SRAM for each "
                                    "trained parameter.")
    ] = OptimizerKind.sgd,
    momentum: Annotated[
        float | None, typer.Option(metavar="SHARE", help="What each step keeps of the velocity, "
                                   "with --optimizer momentum; 0.9 if not given.")
    ] = None,
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
        str | None, typer.Option(metavar="STAGE", help="Print a stage and stop: graph (int8), "
                                 "training (the training graph), plan, or after:NAME (the graph "
                                 "behind a pass, such as after:differentiate).")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", metavar="DIR", help="Project.")] = None,
) -> None:  # fmt: skip
    """Compile MODEL into a C project that fits the budgets, or say what does not fit."""
    options = CompileOptions(
        scheme=scheme, classes=classes, outputs=outputs, data=data, target=target, sram=sram,
        flash=flash, step_instructions=step_instructions, bias=bias.value,
        head=head, head_format=head_format.value,
        loss=None if loss is None else loss.value, optimizer=optimizer.value,
        momentum=momentum, input=input_mode.value, schedule=schedule.value,
        replay=replay, class_names=class_names, learnt=learnt,
        prefix=prefix,
    )  # fmt: skip
    if emit is not None:
        sys.stdout.write(mt.emit(model, emit, **options))
        return
    if output is None:
        raise mt.MicrotuneError("say where to write the project: -o DIR (or use --emit)")
    notes: list[str] = []
    with Bars() as bars:
        project = mt.compile(model, output=output, note=notes.append, progress=bars, **options)
    console.print(figures_table(f"{output}", project.figures.to_json()))
    for note in notes:
        say(note)
