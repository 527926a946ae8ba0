"""From a model to a C project that fits a microcontroller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from microtune import pipeline
from microtune.api.arguments import Place, as_path, choice, maybe_path, public, whole
from microtune.api.models import as_model
from microtune.api.project import Project
from microtune.api.reports import OnNote, OnProgress, Reporter
from microtune.codegen.names import check_prefix
from microtune.data import open_dataset
from microtune.data.dataset import LEAST_CLASSES
from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph
from microtune.ir.modelfile import ModelFile
from microtune.ir.text import format_graph
from microtune.passes.lower_gradients import BiasFormat
from microtune.project.learnt import read_learnt
from microtune.project.project import check_project_place
from microtune.report.sizes import parse_bytes
from microtune.search.automatic import automatic_scheme
from microtune.targets import Target, load_target
from microtune.training.build import Formats
from microtune.training.classes import (
    Classes,
    own_classes,
    resolve_classes,
    resolve_kept_classes,
)
from microtune.training.head import check_kept
from microtune.training.head_origin import HeadFormat, HeadOrigin, parse_head
from microtune.training.optimisers import OptimizerName, make_optimizer
from microtune.training.scheme import AUTO, Scheme
from microtune.training.tasks import BINARY, REGRESS, Task, task_of_loss

LossName = Literal["cross-entropy", "binary", "mse"]


class CompileOptions(TypedDict, total=False):
    """The options of `compile` that decide what is built; `emit` takes the same."""

    scheme: str | Place | Scheme
    classes: int | str | Sequence[str] | None
    outputs: int | None
    data: Place | None
    target: str | Place | Target
    sram: str | int
    flash: str | int
    step_instructions: int | None
    bias: BiasFormat
    head: str
    head_format: HeadFormat
    loss: LossName | None
    optimizer: OptimizerName
    momentum: float | None
    input: pipeline.InputMode
    schedule: pipeline.Schedule
    replay: str | int | None
    class_names: bool
    learnt: Place | None
    prefix: str


@public
def compile(
    model: ModelFile | Place,
    *,
    output: Place,
    scheme: str | Place | Scheme = AUTO,
    classes: int | str | Sequence[str] | None = None,
    outputs: int | None = None,
    data: Place | None = None,
    target: str | Place | Target = "cortex-m7",
    sram: str | int = "256KB",
    flash: str | int = "1MB",
    step_instructions: int | None = None,
    bias: BiasFormat = "int16",
    head: str = "new",
    head_format: HeadFormat = "int16",
    loss: LossName | None = None,
    optimizer: OptimizerName = "sgd",
    momentum: float | None = None,
    input: pipeline.InputMode = "resident",
    schedule: pipeline.Schedule = "stream",
    replay: str | int | None = None,
    class_names: bool = False,
    learnt: Place | None = None,
    prefix: str = "",
    progress: OnProgress | None = None,
    note: OnNote | None = None,
) -> Project:
    """Compile a model into a C project that infers and trains within the budgets.

    The options are those of `microtune compile` and give the same bytes.

    Args:
        model: what `load` returns, or a path.
        output: the folder of the project, written whole or not at all. What is there already and
            is not ours stays.
        scheme: what is trained: "auto" (what is expected to learn best within the budgets,
            docs/schemes.md), another name ("head-only", "last-3", "49KB", "none"), a TOML file, or
            a Scheme.
        classes: how many classes there are to learn, or their names in label order; with
            head="extend:K" also the names of the K new ones.
        outputs: learn so many values by mean squared error, instead of classes.
        data: the data set whose classes are to be learnt, instead of `classes`.
        target: a chip's name, a TOML file of one (docs/targets.md), or a Target.
        sram: SRAM budget: bytes, or text such as "256KB" (1 KB = 1,024 bytes).
        flash: flash budget, in the same way.
        step_instructions: estimated instructions of a training step, at most. Only with "auto".
        bias: number format of trained biases.
        head: what the head starts from (docs/tasks.md): "new" (empty), "keep" (the model's own
            classifier with its classes) or "extend:K" (that, and K more classes).
        head_format: number format of the head, "int16" or "float32".
        loss: "cross-entropy" (one output for each class), "binary" (one output for two classes) or
            "mse" (values); None: cross-entropy, or mse with `outputs`.
        optimizer: "sgd", or "momentum": each trained parameter then has a velocity of its own
            format, in SRAM and in saved states.
        momentum: the share of the velocity that each step keeps, between 0 and 1; None: 0.9. Only
            with optimizer="momentum".
        input: "resident" (the frame is in SRAM) or "rows" (a callback delivers rows).
        schedule: how the step is executed; the bits are the same.
        replay: memory for stored samples to rehearse, in bytes or as text.
        class_names: put the names of the classes into the C too.
        learnt: the initial state, as `Project.train(save=)` or a device's mt_save wrote it.
        prefix: stands before every external name of the C.
        progress: is told how far the work is.
        note: is told, a line at a time, what the user should know. Without it such lines are
            MicrotuneWarning.

    Raises:
        MicrotuneError: an argument that cannot be used; a budget that is missed (the message lists
            what would fit); a place that cannot be written.
    """
    place, reporter = as_path("output", output), Reporter(progress, note)
    check_project_place(place)
    loaded, request = _request(
        model, scheme=scheme, classes=classes, outputs=outputs, data=data,
        target=target, sram=sram, flash=flash, step_instructions=step_instructions, bias=bias,
        head=head, head_format=head_format, loss=loss, optimizer=optimizer, momentum=momentum,
        input=input, schedule=schedule, replay=replay, class_names=class_names, learnt=learnt,
        prefix=prefix,
    )  # fmt: skip
    request = _with_scheme(loaded, request, step_instructions, reporter)
    with reporter.stage("compiling"):
        pipeline.compile_model(loaded, request, place, reporter.note)
    return Project.open(place)


def _int8(loaded: ModelFile, _: pipeline.Request) -> str:
    return format_graph(loaded.graph)


def _training(loaded: ModelFile, request: pipeline.Request) -> str:
    return format_graph(pipeline.training_graph(loaded, request)[0])


def _plan(loaded: ModelFile, request: pipeline.Request) -> str:
    graph: Graph = pipeline.training_graph(loaded, request)[0]
    return pipeline.plan_text(graph, pipeline.plan_graph(graph, request))


_AFTER, _MODEL = "after:", "graph"
_STAGES: dict[str, Callable[[ModelFile, pipeline.Request], str]] = {
    _MODEL: _int8, "training": _training, "plan": _plan,
}  # fmt: skip


@public
def emit(model: ModelFile | Place, stage: str, **options: Unpack[CompileOptions]) -> str:
    """A stage of `compile` as text, without writing a project.

    Args:
        model: what `load` returns, or a path.
        stage: "graph" (the int8 graph), "training" (the training graph), "plan" (the memory
            plan) or "after:NAME" (the graph behind the pass of this name,
            docs/develop/architecture.md).
        options: those of `compile`.

    Raises:
        MicrotuneError: as `compile`, budgets apart, or an unknown stage or pass.
    """
    stage = str(stage)
    after = stage.removeprefix(_AFTER) if stage.startswith(_AFTER) else None
    if after is None and stage not in _STAGES:
        raise MicrotuneError(f"stage {stage!r}: there are {', '.join(_STAGES)} and {_AFTER}NAME")
    loaded, request = _request(model, **options)
    if stage != _MODEL:  # which no scheme changes
        request = _with_scheme(loaded, request, options.get("step_instructions"), Reporter())
    if after is not None:
        return format_graph(pipeline.training_graph(loaded, request, after)[0])
    return _STAGES[stage](loaded, request)


def _request(
    model: ModelFile | Place, **options: Unpack[CompileOptions]
) -> tuple[ModelFile, pipeline.Request]:
    """The model and what is asked for, every option checked; the scheme may still be AUTO."""
    scheme, data = options.get("scheme", AUTO), maybe_path("data", options.get("data"))
    chosen_scheme = scheme if isinstance(scheme, Scheme) else str(as_path("scheme", scheme))
    if isinstance(chosen_scheme, str) and chosen_scheme.strip().lower() == AUTO:
        chosen_scheme = AUTO
    loaded = as_model(model)
    head = parse_head(options.get("head", "new"))
    task = _task(options)
    if head.own:
        check_kept(loaded.graph, task)
    trains = not isinstance(chosen_scheme, str) or chosen_scheme.strip().lower() != "none"
    chosen = _chosen(loaded, head, task, options, data, trains=trains)
    replay, learnt = options.get("replay"), maybe_path("learnt", options.get("learnt"))
    request = pipeline.Request(
        classes=1 if task is BINARY else chosen.count, scheme=chosen_scheme, task=task, head=head,
        target=load_target(options.get("target", "cortex-m7")),
        sram_bytes=parse_bytes(options.get("sram", "256KB")),
        flash_bytes=parse_bytes(options.get("flash", "1MB")),
        formats=Formats(
            choice("bias", options.get("bias", "int16"), BiasFormat),
            choice("head_format", options.get("head_format", "int16"), HeadFormat),
        ),
        input=choice("input", options.get("input", "resident"), pipeline.InputMode),
        schedule=choice("schedule", options.get("schedule", "stream"), pipeline.Schedule),
        replay_bytes=0 if replay is None else parse_bytes(replay),
        class_names=chosen.names, prefix=check_prefix(options.get("prefix", "")),
        learnt=None if learnt is None else read_learnt(learnt),
        names_in_c=options.get("class_names", False),
        optimizer=make_optimizer(
            choice("optimizer", options.get("optimizer", "sgd"), OptimizerName),
            options.get("momentum"),
        ),
    )  # fmt: skip
    if options.get("step_instructions") is not None and chosen_scheme != AUTO:
        raise MicrotuneError(
            "--step-instructions is a limit for --scheme auto; another scheme is what it is "
            "(`microtune measure` counts its instructions)"
        )
    return loaded, request


def _task(options: CompileOptions) -> Task:
    """What `--loss` and `--outputs` ask for. Raises MicrotuneError where they do not fit."""
    outputs, loss = options.get("outputs"), options.get("loss")
    task = task_of_loss(loss or ("cross-entropy" if outputs is None else "mse"))
    if outputs is not None and task is not REGRESS:
        raise MicrotuneError(
            f"--outputs learns values by --loss mse; --loss {task.loss} learns classes: leave one "
            "of them out"
        )
    names = ("classes", "data", "class_names")
    if task is REGRESS and any(options.get(name) for name in names):
        asked = "--loss mse" if outputs is None else "--outputs"
        raise MicrotuneError(f"{asked} learns values: leave --classes, --data, --class-names out")
    return task


def _chosen(
    loaded: ModelFile, head: HeadOrigin, task: Task, options: CompileOptions, data: Path | None, *,
    trains: bool,
) -> Classes:  # fmt: skip
    """The classes to learn, or the values of a regression. Raises MicrotuneError."""
    text, outputs = options.get("classes"), options.get("outputs")
    if task is REGRESS:
        return _values(loaded, head, outputs)
    if head.more and task is BINARY:
        raise MicrotuneError(f"--head {head}: --loss binary tells two classes apart, not more")
    least = 1 if head.own else LEAST_CLASSES
    found = None if data is None else open_dataset(data, least).classes
    if head.own:
        own = own_classes(loaded, task)
        chosen = resolve_kept_classes(head, own, text, found, str(data))
    else:
        default = own_classes(loaded, task) if not trains else None
        if task is BINARY and default is None:
            default = Classes(2)
        chosen = resolve_classes(text, found, str(data), default)
    if task is BINARY and chosen.count != 2:
        raise MicrotuneError(
            f"--loss binary tells two classes apart, not {chosen.count}; --loss cross-entropy "
            "takes any number"
        )
    return chosen


def _values(loaded: ModelFile, head: HeadOrigin, outputs: int | None) -> Classes:
    """The number of values that a regression learns."""
    if head.more:
        raise MicrotuneError(f"--head {head} adds classes; --outputs and --loss mse learn values")
    if head.own:
        own = own_classes(loaded).count
        if outputs not in (None, own):
            raise MicrotuneError(
                f"--outputs {outputs}: --head keep has the {own} outputs of the model. Leave "
                "--outputs out"
            )
        return Classes(own)
    if outputs is None:
        size = loaded.graph.input_tensor.elements
        raise MicrotuneError(
            f"--loss mse: how many values are there to learn? --outputs N (an auto-encoder of this "
            f"model: --outputs {size})"
        )
    return Classes(outputs)


def _with_scheme(
    loaded: ModelFile, request: pipeline.Request, most: int | None, reporter: Reporter
) -> pipeline.Request:
    """The request with AUTO replaced by what is expected to learn best within its budgets."""
    if request.scheme != AUTO:
        return request
    most = None if most is None else whole("step_instructions", most, 1)
    with reporter.stage("choosing what to train") as update:
        found = automatic_scheme(loaded, request, most, update)
    reporter.note(f"{found}")
    return replace(request, scheme=found.scheme)
