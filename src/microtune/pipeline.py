"""The way of the data, one function an arrow: model -> training graph -> plan -> C project."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

from microtune.codegen import class_names, layout
from microtune.codegen.scratch import scratch_rule
from microtune.errors import MicrotuneError, warn
from microtune.ir.execution import InputMode
from microtune.ir.graph import Graph
from microtune.ir.modelfile import ModelFile
from microtune.ir.stages import Stage
from microtune.memory.banks import Bank, MemoryPlan, assign_banks
from microtune.memory.heat import accesses, heat
from microtune.memory.latent import replay_bytes, replay_slots
from microtune.memory.lifetimes import step_buffers
from microtune.memory.next_frame import validate_logits, with_next_frame
from microtune.passes.base import Pass, run_passes
from microtune.passes.early_updates import EarlyUpdates
from microtune.passes.in_place import InPlace
from microtune.passes.order import MinimisePeak
from microtune.passes.stream import Stream
from microtune.project.learnt import Learnt, start_from
from microtune.project.manifest import HeadEntry
from microtune.project.project import CONTEXT, REPLAY, STACK, Note, Project, write_project
from microtune.targets import DEFAULT_STACK_BYTES, Target
from microtune.tools.names import listed
from microtune.training.build import Formats, training_passes
from microtune.training.classes import head_note, names_of, own_classes
from microtune.training.head_origin import NEW, HeadOrigin
from microtune.training.optimisers import DEFAULT_OPTIMIZER, Optimizer
from microtune.training.scheme import Scheme, analytic_kb, published_schemes, resolve_scheme
from microtune.training.tasks import CLASSIFY, Task

# The context without parameters and offsets, together with static data (which lie beside the
# stack), and the code of runtime and model calls: bounds that the linked firmware is checked
# against (`measure` prints what they really are).
CONTEXT_BYTES = 128
STATIC_BYTES = 40
CODE_BYTES = 40_000
_PEAK_ROWS = 10

# Layer by layer as the network is written; with early updates and in place; with rows streamed.
Schedule = Literal["layers", "in-place", "stream"]


@dataclass(frozen=True)
class Request:
    """What the user asked `compile` for; bytes are counted as a linker counts.

    `classes` is the number of outputs, whatever the task is.
    `scheme` is what `resolve_scheme` takes: a name, a file or a scheme that is made already.
    `class_names` are in label order, one a class, or empty; `prefix` stands before every external
    name of the C; `learnt` is the initial state instead of the model's own weights; `names_in_c`
    puts the names of the classes into the C; `optimizer` says what becomes of the gradients;
    `head` says what the head starts from.
    """

    classes: int
    scheme: str | Scheme
    target: Target
    sram_bytes: int
    flash_bytes: int
    formats: Formats = field(default_factory=Formats)
    input: InputMode = "resident"
    schedule: Schedule = "stream"
    replay_bytes: int = 0
    class_names: tuple[str, ...] = ()
    prefix: str = ""
    learnt: Learnt | None = None
    names_in_c: bool = False
    task: Task = CLASSIFY
    optimizer: Optimizer = DEFAULT_OPTIMIZER
    head: HeadOrigin = NEW


def training_graph(
    model: ModelFile, request: Request, after: str | None = None
) -> tuple[Graph, Scheme]:
    """The device's training graph, scheduled, and the scheme it follows; with `after` the graph
    behind the pass of this name."""
    scheme = resolve_scheme(request.scheme, model.graph, model.graph.name)
    _check_own_classes(model, request, scheme)
    return run_passes(model.graph, compiler_passes(model, request, scheme), after), scheme


def compiler_passes(model: ModelFile, request: Request, scheme: Scheme) -> tuple[Pass, ...]:
    """All passes of a request, in order. Raises MicrotuneError for what cannot be trained."""
    if request.replay_bytes and not request.task.classes(request.classes):
        raise MicrotuneError("--replay stores classes: a regression has no replay memory")
    passes: list[Pass] = [
        *training_passes(
            model.graph, request.classes, scheme, request.formats, request.optimizer,
            task=request.task, head=request.head,
        ),
        ChooseInput(request.input), *SCHEDULES[request.schedule],
    ]  # fmt: skip
    if request.replay_bytes:
        passes.append(AddReplayMemory(request.replay_bytes))
    if request.learnt is not None:
        passes.append(StartFromLearnt(request.learnt, model.sha256(), scheme, request.head))
    return tuple(passes)


@dataclass(frozen=True)
class ChooseInput:
    """Say how the input arrives: whole in memory, or row by row."""

    input: InputMode
    name: ClassVar[str] = "choose-input"
    needs: ClassVar[Stage] = Stage.TRAINING
    gives: ClassVar[Stage] = Stage.SCHEDULED

    def run(self, graph: Graph) -> Graph:
        """The graph with this way of input."""
        result = graph.copy()
        result.execution = replace(graph.execution, input=self.input)
        return result


@dataclass(frozen=True)
class AddReplayMemory:
    """Reserve memory for stored samples, as many as fit into so many `bytes`."""

    bytes: int
    name: ClassVar[str] = "add-replay-memory"
    needs: ClassVar[Stage] = Stage.SCHEDULED
    gives: ClassVar[Stage] = Stage.SCHEDULED

    def run(self, graph: Graph) -> Graph:
        """The graph with its number of samples. Raises MicrotuneError where none fits."""
        result = graph.copy()
        slots = replay_slots(graph, self.bytes)
        result.execution = replace(graph.execution, replay_slots=slots)
        return result


@dataclass(frozen=True)
class StartFromLearnt:
    """Start from a saved state instead of the model's own weights."""

    learnt: Learnt
    model_sha256: str
    scheme: Scheme
    head: HeadOrigin
    name: ClassVar[str] = "start-from-learnt"
    needs: ClassVar[Stage] = Stage.SCHEDULED
    gives: ClassVar[Stage] = Stage.SCHEDULED

    def run(self, graph: Graph) -> Graph:
        """The graph with what was learnt. Raises MicrotuneError where it was not learnt with it."""
        result = graph.copy()
        start_from(result, self.learnt, self.model_sha256, self.scheme, self.head)
        return result


def _keeps_own(model: ModelFile, request: Request, scheme: Scheme) -> bool:
    """Whether the head is, or starts as, the model's own classifier."""
    own = own_classes(model, request.task).count
    return request.head.own or (not scheme.head and own == request.task.classes(request.classes))


def _check_own_classes(model: ModelFile, request: Request, scheme: Scheme) -> None:
    """A kept head knows the model's classes; other names for them would be a lie."""
    own, names = own_classes(model, request.task), request.class_names
    wrong = own.names and names and own.names != names[: own.count]
    if wrong and _keeps_own(model, request, scheme):
        keeps = f"--head {request.head}" if request.head.own else f"scheme {scheme.name}"
        raise MicrotuneError(
            f"{keeps} keeps the model's own classifier, which knows {listed(own.names)}; not "
            f"{listed(names[: own.count])}. To learn those, take a scheme that trains the head, "
            "with --head new"
        )


def _class_names(model: ModelFile, request: Request, scheme: Scheme) -> tuple[str, ...]:
    """What the outputs mean, in order; empty where nobody has said it."""
    if not request.task.classes(request.classes):
        return ()
    if request.class_names or not _keeps_own(model, request, scheme):
        return request.class_names
    return names_of(own_classes(model, request.task), request.head)


_IN_PLACE: tuple[Pass, ...] = (EarlyUpdates(), InPlace())
_ORDER: tuple[Pass, ...] = (MinimisePeak(scratch_rule),)
# Order and memory of the step's nodes; no bit of any result depends on it.
SCHEDULES: dict[Schedule, tuple[Pass, ...]] = {
    "layers": (),
    "in-place": (*_IN_PLACE, *_ORDER),
    "stream": (*_IN_PLACE, Stream(scratch_rule), *_ORDER),
}


def schedule(graph: Graph, level: Schedule) -> Graph:
    """A training graph with the order and memory of its nodes chosen."""
    return run_passes(graph, SCHEDULES[level])


def resident_bytes(graph: Graph) -> dict[str, int]:
    """What SRAM holds besides arenas: the stack's reserve with static data, the context, and the
    replay memory if there is one."""
    parameters = layout.block_bytes(layout.parameter_slots(graph))
    offsets = len(layout.offset_names(graph))
    sizes = {
        STACK: DEFAULT_STACK_BYTES + STATIC_BYTES,
        CONTEXT: parameters + offsets + CONTEXT_BYTES - STATIC_BYTES,
    }
    return sizes | ({REPLAY: size} if (size := replay_bytes(graph)) else {})


def plan_graph(graph: Graph, request: Request | None = None) -> MemoryPlan:
    """Where every buffer of the step lives: its bank of the target and its offset there.

    Without a request there is one memory, as large as need be.
    """
    buffers, residents = step_buffers(graph, scratch_rule(graph)), resident_bytes(graph)
    counts = accesses(graph)
    counts[CONTEXT] = sum(counts.get(slot.name, 0.0) for slot in layout.parameter_slots(graph))
    # Every call, spill and block of accumulators goes through the stack.
    counts[STACK] = math.inf
    sizes = {b.name: b.bytes for b in buffers} | residents
    banks, sram = [Bank("ram", sum(sizes.values()))], None
    if request is not None:
        banks = [Bank(bank.name, bank.bytes, bank.speed) for bank in request.target.memories]
        sram = request.sram_bytes
    lives = with_next_frame(buffers, graph)
    plan = assign_banks(lives, banks, heat(counts, sizes), residents, sram)
    validate_logits(plan, graph)
    # The plan is told in steps of the graph, without that of the caller.
    return replace(plan, buffers=tuple(buffers))


def planned_sram(graph: Graph, plan: MemoryPlan) -> int:
    """Bytes of SRAM of a plan: arenas, parameters, context and the reserve of the stack."""
    return plan.arena_bytes + sum(resident_bytes(graph).values())


def constant_bytes(graph: Graph) -> int:
    """Bytes of constants and initial values in flash, without tables and code."""
    used = {name for node in graph.nodes for name in node.inputs}
    total = 0
    for name, array in graph.data.items():
        tensor = graph.tensors[name]
        constant = tensor.role == "const" and tensor.dtype != "f32"
        if name in used and (constant or (tensor.role != "const" and array.any())):
            total += array.nbytes
    return total


def _with_replay(graph: Graph) -> str:
    return f", and {size:,} of replay memory" if (size := replay_bytes(graph)) else ""


def _with_momentum(graph: Graph) -> str:
    size = layout.momentum_bytes(graph)
    return f", with {size:,} of velocities (--optimizer momentum)" if size else ""


def _per_bank(plan: MemoryPlan) -> str:
    if len(plan.arenas) == 1:
        return ""
    return f" ({', '.join(f'{a.bank} {a.plan.arena_bytes:,}' for a in plan.arenas)})"


def check_budget(graph: Graph, plan: MemoryPlan, request: Request) -> None:
    """Raise MicrotuneError naming the tensors alive at the peak if a budget cannot be met."""
    sram = planned_sram(graph, plan)
    if sram > request.sram_bytes:
        alive = plan.alive_at_peak()
        rows = "\n".join(f"  {b.bytes:>9,}  {b.name}" for b in alive[:_PEAK_ROWS])
        step = graph.nodes[min(plan.peak_step, len(graph.nodes) - 1)]
        raise MicrotuneError(
            f"SRAM budget missed: {sram:,} bytes planned, {request.sram_bytes:,} allowed "
            f"({sram - request.sram_bytes:,} too many).\n"
            f"{plan.arena_bytes:,} bytes are the arena{_per_bank(plan)}, whose peak is at "
            f"{step.op} %{step.outputs[0]}; alive there (bytes, tensor):\n{rows}\n"
            f"{sram - plan.arena_bytes:,} bytes are trained parameters, context and stack"
            f"{_with_momentum(graph)}{_with_replay(graph)}."
        )
    names = class_names.flash_bytes(request.class_names) if request.names_in_c else 0
    constants = constant_bytes(graph) + names
    flash = constants + CODE_BYTES
    if flash > request.flash_bytes:
        raise MicrotuneError(
            f"flash budget missed: about {flash:,} bytes needed ({constants:,} of "
            f"constants, {CODE_BYTES:,} reserved for code), {request.flash_bytes:,} allowed"
        )


def compile_model(
    model: ModelFile, request: Request, directory: Path, note: Note = warn
) -> Project:
    """The whole way: build, plan, check the budget, write the C project into `directory`.

    `note` is told, one line at a time, what the user should know (files of his moved aside, …)."""
    graph, scheme = training_graph(model, request)
    request = replace(request, class_names=_class_names(model, request, scheme))
    if request.names_in_c and not request.class_names:
        raise MicrotuneError(
            "--class-names: nobody has said what the classes are called; --data DATA takes the "
            "names from a data set, --classes NAME,NAME,… gives them"
        )
    own = own_classes(model, request.task)
    count = request.task.classes(request.classes) or request.classes
    if request.head.own or not scheme.head:
        note(head_note(own, request.head, request.class_names, count, request.task))
    plan = plan_graph(graph, request)
    try:
        check_budget(graph, plan, request)
    except MicrotuneError as error:
        advice = ways_out(model, request, planned_sram(graph, plan))
        raise MicrotuneError(f"{error}\n{advice}") from None
    project = Project(
        model=model, graph=graph, plan=plan, target=request.target, scheme_name=scheme.name,
        scheme_sha256=scheme.sha256(request.head), sram_bytes=request.sram_bytes,
        flash_bytes=request.flash_bytes, model_sha256=model.sha256(), classes=count,
        formats={"bias": request.formats.bias, "head": request.formats.head},
        analytic_kb=analytic_kb(model.graph, scheme),
        class_names=request.class_names, prefix=request.prefix,
        learnt=request.learnt, names_in_c=request.names_in_c, optimizer=request.optimizer,
        head=HeadEntry(request.head.kind, own.count if request.head.own else 0),
    )  # fmt: skip
    write_project(project, directory, note)
    return project


def ways_out(model: ModelFile, request: Request, planned: int) -> str:
    """What other choices would save, planned like the request; least change first."""
    rows: list[str] = []
    for change, other in _alternatives(model, request):
        graph, _ = training_graph(model, other)
        size = planned_sram(graph, plan_graph(graph))
        if size < planned:
            verdict = "fits" if size <= request.sram_bytes else "not enough alone"
            rows.append(f"  {change:<28} {size:>9,} bytes, {planned - size:>9,} less: {verdict}")
    rows.append("  or a larger --sram, fewer --classes, a smaller input resolution")
    return "Ways out:\n" + "\n".join(rows)


def _alternatives(model: ModelFile, request: Request) -> Iterator[tuple[str, Request]]:
    """(what to write, request): each differs in one choice; the last in all that cost nothing."""
    free = replace(request, schedule="stream", input="rows")
    narrow = replace(request.formats, bias="int16")
    if request.optimizer != DEFAULT_OPTIMIZER:
        yield "--optimizer sgd", replace(request, optimizer=DEFAULT_OPTIMIZER)
    if request.replay_bytes:
        half = request.replay_bytes // 2
        yield f"--replay {half}", replace(request, replay_bytes=half)
        yield "no --replay", replace(request, replay_bytes=0)
    if request.schedule != "stream":
        yield "--schedule stream", replace(request, schedule="stream")
    if request.input != "rows":
        yield "--input rows", replace(request, input="rows")
    if request.formats.bias != "int16":
        yield "--bias int16", replace(request, formats=narrow)
    if request.formats.bias != "int16" and free != request:
        yield "all of these", replace(free, formats=narrow)
    for name in [*published_schemes(model.graph.name), "head-only"]:
        yield f"--scheme {name}", replace(request, scheme=name)


def plan_text(graph: Graph, plan: MemoryPlan) -> str:
    """The plan as text: one buffer a line in order of birth, then the totals."""
    lines: list[str] = []
    for arena in plan.arenas:
        lines.append(f"bank {arena.bank}: {arena.plan.arena_bytes} bytes")
        lines.append("  offset     bytes  first  last  buffer")
        offsets = arena.plan.offsets
        own = (b for b in plan.buffers if b.name in offsets)
        for b in sorted(own, key=lambda b: (b.first, offsets[b.name])):
            row = f"{offsets[b.name]:>8} {b.bytes:>9} {b.first:>6} {b.last:>5}  {b.name}"
            lines.append(row)
    peak = graph.nodes[min(plan.peak_step, len(graph.nodes) - 1)]
    lines.append(
        f"arena {plan.arena_bytes} bytes, lower bound {plan.lower_bound} bytes, peak at step "
        f"{plan.peak_step} ({peak.op} %{peak.outputs[0]})"
    )
    return "\n".join(lines) + "\n"


__all__ = [
    "InputMode", "Request", "check_budget", "compile_model", "constant_bytes", "plan_graph",
    "plan_text", "planned_sram", "resident_bytes", "training_graph", "ways_out",
]  # fmt: skip
