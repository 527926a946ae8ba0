"""The command line: parse, call, print. No logic lives here."""

from __future__ import annotations

import json
import re
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microtune import __version__
from microtune.cli_options import BiasKind, HeadKind, InputKind
from microtune.cli_search import search
from microtune.errors import MicrotuneError
from microtune.report.console import (
    console,
    errors,
    figures_table,
    in_colour,
    map_width,
    progress,
    seeds_table,
    training_table,
    warn_of_divergence,
)
from microtune.report.sizes import parse_bytes
from microtune.simulate.trainer import DEFAULT_LEARNING_RATE

if TYPE_CHECKING:
    from microtune.simulate.session import Session
    from microtune.simulate.trainer import TrainingPlan

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    help="Turn a pre-trained int8 network into plain C that keeps learning on a microcontroller.",
)  # fmt: skip

Project = Annotated[
    Path, typer.Argument(metavar="DIR", help="A folder that `compile` has written.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")]


class Emit(StrEnum):
    """What `compile --emit` prints instead of writing a project."""

    graph = "graph"
    training = "training"
    plan = "plan"


class OnBackEnd(StrEnum):
    """Where `train` runs."""

    host = "host"
    qemu = "qemu"
    numpy = "numpy"


class LrSchedule(StrEnum):
    """Learning rate over the run."""

    constant = "constant"
    cosine = "cosine"


class ScheduleKind(StrEnum):
    """How a step is executed."""

    layers = "layers"
    in_place = "in-place"
    stream = "stream"


def parse_seeds(text: str) -> list[int]:
    """Different seeds, "0,1,2"."""
    if re.fullmatch(r"\d+(,\d+)*", text) is None:
        raise MicrotuneError(f"'{text}' is no list of seeds; write for instance 0,1,2")
    seeds = [int(part) for part in text.split(",")]
    if len(set(seeds)) < len(seeds):
        raise MicrotuneError(f"seeds {text}: one is there twice")
    return seeds


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write figures as JSON where asked."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise MicrotuneError(f"cannot write {path}: {error}") from error


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .mt or .pkl model.")],
    json_file: JsonFile = None,
) -> None:
    """Layers, shapes, MACs, parameters and quantisation of a model."""
    from microtune.importers import load_any
    from microtune.report.inspect import inspect_model, render

    figures = inspect_model(load_any(model))
    console.print(render(figures))
    write_json(json_file, figures)


@app.command()
def convert(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model of any known format.")],
    output: Annotated[Path, typer.Option("-o", metavar="NAME.mt", help="The file to write.")],
) -> None:
    """Import MODEL and write it as a native .mt file."""
    from microtune.importers import load_any
    from microtune.ir.modelfile import save_model

    if output.suffix != ".mt":
        raise MicrotuneError(f"{output}: a native model file is called NAME.mt")
    loaded = load_any(model)
    try:
        save_model(loaded, output)
    except OSError as error:
        raise MicrotuneError(f"cannot write {output}: {error}") from error
    console.print(f"{output}: {loaded.graph.name}, sha256 {loaded.sha256()}")


@app.command("compile")
def compile_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .mt or .pkl model.")],
    classes: Annotated[int, typer.Option(help="Number of classes to learn.")],
    scheme: Annotated[str, typer.Option(help="Update scheme: a name or a TOML file.")],
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
    emit: Annotated[
        Emit | None, typer.Option(help="Print this and stop: the int8 graph, the training graph, "
                                  "or the plan.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", metavar="DIR", help="Project.")] = None,
) -> None:  # fmt: skip
    """Compile MODEL into a C project that fits the budgets, or say what does not fit."""
    from microtune import pipeline
    from microtune.importers import load_any
    from microtune.ir.text import format_graph
    from microtune.targets import load_target
    from microtune.training.build import Formats

    request = pipeline.Request(
        classes, scheme, load_target(target), parse_bytes(sram), parse_bytes(flash),
        Formats(bias.value, head.value), input_mode.value, schedule.value,
        0 if replay is None else parse_bytes(replay),
    )  # fmt: skip
    if emit is None and output is None:
        raise MicrotuneError("say where to write the project: -o DIR (or use --emit)")
    loaded = load_any(model)
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
            project = pipeline.compile_model(loaded, request, output)
        console.print(figures_table(f"{output}", pipeline.summary(project)))


@app.command("plan")
def plan_command(
    project: Project,
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", metavar="FILE", help="Picture to write, .svg or .png; may be repeated "
                     "(default: DIR/memory.svg and DIR/memory.png).")
    ] = None,
) -> None:  # fmt: skip
    """Show what lives where and when: the memory map of a compiled project."""
    from microtune.report.memory_map import load_memory_map
    from microtune.report.memory_picture import save_memory_picture
    from microtune.report.memory_text import render_memory

    memory = load_memory_map(project)
    console.print(render_memory(memory, colour=in_colour(), width=map_width()), soft_wrap=True)
    pictures = output or [project / "memory.svg", project / "memory.png"]
    save_memory_picture(memory, pictures)
    console.print(f"written: {', '.join(map(str, pictures))}")


@app.command()
def train(
    project: Project,
    data: Annotated[Path, typer.Option(help="Folder, .tar or .npz with train and test images.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 10,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    lr: Annotated[float, typer.Option(help="Learning rate per sample.")] = DEFAULT_LEARNING_RATE,
    lr_schedule: Annotated[LrSchedule, typer.Option(help="Over the run.")] = LrSchedule.cosine,
    seed: Annotated[int, typer.Option(min=0, help="Order of samples and rounding.")] = 0,
    seeds: Annotated[str | None, typer.Option(metavar="0,1,2", help="Several runs instead, side "
                                              "by side on all cores; --on host.")] = None,
    on: Annotated[OnBackEnd, typer.Option(help="Where to run; the bits are the same.")]
    = OnBackEnd.host,
    save: Annotated[Path | None, typer.Option(help="Write what was learnt here.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Stop where an accumulator overflows "
                     "(portable kernels, slower, the same bits).")] = False,
    augment: Annotated[str | None, typer.Option(metavar="flip,shift=4,brightness=20", help=
                       "Change training frames at random, as the device can.")] = None,
    rehearse: Annotated[int, typer.Option(min=0, help="Steps on stored samples after each new one "
                        "(a project compiled with --replay).")] = 0,
    latents: Annotated[bool, typer.Option("--latents", help="Run the frozen layers once an image "
                       "(the same bits, faster; --on host).")] = False,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Train the compiled network on DATA with the generated C."""
    from microtune.simulate.augment import NONE, parse_augmentation
    from microtune.simulate.session import Session
    from microtune.simulate.trainer import TrainingPlan

    change = NONE if augment is None else parse_augmentation(augment)
    plan = TrainingPlan(
        epochs, lr, lr_schedule.value, seed, steps, rehearse=rehearse, augmentation=change
    )
    several = [] if seeds is None else parse_seeds(seeds)
    if latents and augment is not None:
        raise MicrotuneError("--latents runs the frozen layers once an image: not with --augment")
    if several and save is not None:
        raise MicrotuneError("--save keeps one run: use --seed, not --seeds")
    if several and on is not OnBackEnd.host:
        raise MicrotuneError("--seeds needs --on host; run one seed at a time with --seed")
    with progress("reading images") as bar:
        session = Session.open(project, data, on.value, bar)
    if several:
        _train_seeds(session, plan, several, latents, json_file)
        return
    with progress(f"training on {on.value}") as bar:
        report = session.train(plan, bar, save, debug=debug, latents=latents)
    console.print(training_table(report))
    warn_of_divergence([report])
    console.print(f"parameters sha256 {report.parameters_sha256}")
    console.print(f"logits     sha256 {report.logits_sha256}")
    write_json(json_file, report.to_json())


def _train_seeds(
    session: Session, plan: TrainingPlan, seeds: list[int], latents: bool, json_file: Path | None
) -> None:
    """Several runs: one row each, and their mean."""
    from microtune.simulate.trainer import seeds_json

    with progress("compiling for the host") as bar:
        runs = session.seed_runs(plan, seeds, bar, latents=latents)
    with runs, progress(f"training {len(seeds)} seeds") as bar:
        reports = runs.reports(bar)
    console.print(seeds_table(reports))
    warn_of_divergence(reports)
    write_json(json_file, seeds_json(reports))


@app.command()
def measure(
    project: Project,
    data: Annotated[Path | None, typer.Option(help="Also count over real images.")] = None,
    images: Annotated[int, typer.Option(min=1, help="How many of them.")] = 8,
    target: Annotated[str | None, typer.Option(help="Another chip than compiled for.")] = None,
    optimisation: Annotated[str, typer.Option(help="-O2, -O3, -Ofast or -Os.")] = "-O3",
    layers: Annotated[bool, typer.Option("--layers", help="Instructions of each layer too.")]
    = False,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Build the firmware, run it in QEMU, and count bytes and instructions exactly."""
    from microtune.report.instructions_text import layer_report
    from microtune.simulate.session import measure_project

    with console.status("building and running the firmware"):
        figures = measure_project(project, data, images, target, optimisation).to_json()
    console.print(figures_table(f"{project}", figures))
    if layers:
        with console.status("counting layer by layer"):
            tables, figures["calls"] = layer_report(project, target, optimisation)
        console.print(*tables)
    write_json(json_file, figures)


def _names(listed: str | None) -> tuple[str, ...]:
    """A,B -> names; nothing: none."""
    return tuple(name for name in (listed or "").split(",") if name)


@app.command()
def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help="qas: beside float32 and other "
                    "optimisers; sparse: accuracy against memory; ablation: what each rule of "
                    "the arithmetic is worth; ablation-simulated: more bits, float32, momentum; "
                    "streams: little data, ordered data, other domains; two-classes; "
                    "small-steps.")],
    sources: Annotated[Path, typer.Option("--sources", metavar="DIR", envvar="MICROTUNE_DATA",
                       help="Folder with data/ and models/.")],
    output: Annotated[Path, typer.Option("-o", metavar="DIR", help="Raw results; finished runs "
                      "that lie there are not repeated.")] = Path("out/study"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 10,
    seeds: Annotated[int, typer.Option(min=1, help="Paired runs of each method.")] = 5,
    data: Annotated[str | None, typer.Option(metavar="A.tar,B.tar", help="Fewer data sets.")]
    = None,
    models: Annotated[str | None, typer.Option(metavar="A,B", help="Fewer models (sparse).")]
    = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: all cores).")]
    = None,
) -> None:  # fmt: skip
    """Measure how well the generated C learns; resumes where it was stopped."""
    from microtune.study.studies import Settings, make_work, run_study

    settings = Settings(epochs, seeds, _names(data), _names(models))
    with progress(f"study {name}", resumable=True) as bar:
        found = run_study(name, make_work(sources, output, workers, bar), settings)
    console.print(*found.tables)
    for file, save in found.pictures.items():
        save(output / file)
        console.print(f"written: {output / file}")


app.command()(search)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", metavar="DIR", help="Where to put the results.")]
    = Path("microtune-demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 3,
) -> None:  # fmt: skip
    """The whole way on the embedded model: an emulated Cortex-M7 learns new garments."""
    from microtune.demo import run_demo

    run_demo(output, epochs)


def _version(value: bool) -> None:
    if value:
        console.print(f"microtune {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Networks that keep learning on the microcontroller they run on."""


def main() -> None:
    """Entry point: user errors become one clear message and exit code 2. SIGTERM ends what is
    under way, worker processes included, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except MicrotuneError as error:
        errors.print("[bold red]error:[/]", end=" ")
        errors.print(str(error), markup=False)
        sys.exit(2)
