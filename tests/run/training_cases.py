"""Random training graphs with what they are trained on, their numpy results, and their C.

Everything of a case follows from its seed (`tests.run.batches` replays one).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune import pipeline
from microtune.codegen import layout
from microtune.codegen.model_source import model_header, model_source
from microtune.ir.execution import Execution
from microtune.ir.graph import Graph
from microtune.memory.banks import MemoryPlan
from microtune.memory.lifetimes import in_segment
from microtune.memory.rings import prefix_length
from microtune.project.project import CONTEXT
from microtune.run.interpreter import Interpreter
from microtune.run.runners import loss_q16
from microtune.training.apply_scheme import can_split
from microtune.training.build import Formats, build_training_graph
from microtune.training.head_origin import KEEP, NEW, HeadOrigin
from microtune.training.optimisers import SGD, Momentum, Optimizer
from microtune.training.scheme import (
    Scheme,
    backbone_layers,
    channel_count,
    resolve_scheme,
    scheme_from_table,
)
from microtune.training.tasks import BINARY, CLASSIFY, REGRESS, Task
from tests.cases.case import OpCase
from tests.training.graphs import WIDTHS, GraphCase, random_graph

Array = npt.NDArray[Any]
STEPS = 8
FRAMES = 3
CONTEXT_MARGIN = 256  # the context of a 64-bit machine is larger than what is planned for chips
WIDE = (1, 16, 24, 33, 40, 64)
MOMENTA = 0.5, 0.9, 0.99
SCHEDULES: tuple[pipeline.Schedule, ...] = ("layers", "in-place", "stream")


@dataclass(frozen=True)
class Step:
    """What is compared after a step: checksums of parameters, offsets and logits, and the loss."""

    parameters: int
    offsets: int
    logits: int
    loss: int


@dataclass
class TrainingCase:
    """One training graph, scheduled, and its stream of samples."""

    seed: int
    graph: Graph
    frames: Array
    targets: list[Array]
    rates: list[float]

    def expected(self) -> list[Step]:
        """The steps by the numpy meaning; worked out once."""
        return self._expected

    @cached_property
    def plan(self) -> MemoryPlan:
        """Where the buffers lie."""
        return pipeline.plan_graph(self.graph)

    @cached_property
    def sources(self) -> dict[str, str]:
        """The C of the model, by file."""
        return {
            "microtune_model.h": model_header(self.graph, self.plan),
            "microtune_model.c": model_source(self.graph, self.plan, "00" * 32, "00" * 32),
        }

    @cached_property
    def _expected(self) -> list[Step]:
        interpreter = Interpreter(self.graph, self.seed)
        slots = layout.parameter_slots(self.graph)
        names = layout.offset_names(self.graph)
        signature = self.graph.signature
        steps = []
        for number, rate in enumerate(self.rates):
            frame = self.frames[number % FRAMES]
            found = interpreter.train_step(frame, self.targets[number % FRAMES], rate)
            offsets = b"".join(interpreter.data[name].tobytes() for name in names)
            steps.append(
                Step(
                    zlib.crc32(parameter_block(interpreter.data, slots)), zlib.crc32(offsets),
                    zlib.crc32(found[signature.output].tobytes()),
                    loss_q16(found[signature.training_loss]),
                )
            )  # fmt: skip
        return steps


def parameter_block(data: dict[str, Array], slots: list[layout.Slot]) -> bytes:
    """The parameters as they lie in the context."""
    block = bytearray(layout.block_bytes(slots))
    for slot in slots:
        raw = layout.to_c(data[slot.name], slot.depthwise).tobytes()
        block[slot.offset : slot.offset + len(raw)] = raw
    return bytes(block)


@dataclass
class Draw:
    """What a seed stands for, before anything is built."""

    seed: int
    rng: np.random.Generator
    case: GraphCase
    formats: Formats
    optimizer: Optimizer
    scheme: Scheme
    input: pipeline.InputMode
    schedule: pipeline.Schedule
    task: Task
    head: HeadOrigin
    tags: set[str]

    @property
    def outputs(self) -> int:
        """Outputs of the head."""
        return 1 if self.task is BINARY else self.case.classes + self.head.more


def draw(seed: int, op: OpCase | None = None) -> Draw:
    """The model, formats, optimiser, scheme and schedule of a seed.

    Every tenth model has a layer of a single channel in and out, every fifth is as wide as the
    blocks of the kernels. Every fourth has a mean squared error instead of cross-entropy, every
    third is trained with momentum. Of eight, one has a single logit for two classes, one keeps the
    model's own classifier and one adds two classes to it. `op`: with ops of this family.
    """
    rng = np.random.default_rng([seed, 0x7261])
    widths = WIDE if seed % 5 == 2 else WIDTHS
    case = random_graph(seed, "device", widths, single=seed % 10 == 4, op=op)
    formats = Formats(
        "int16" if rng.integers(2) else "int32", "int16" if rng.integers(2) else "float32"
    )
    scheme, kind = _random_scheme(case.graph, rng)
    by_rows: pipeline.InputMode = "rows" if rng.integers(2) else "resident"
    level = SCHEDULES[rng.integers(len(SCHEDULES))]
    task: Task = REGRESS if seed % 4 == 3 else CLASSIFY
    head = NEW
    if scheme.head:
        task = BINARY if seed % 8 == 5 else task
        head = KEEP if seed % 8 == 1 else HeadOrigin("extend", 2) if seed % 8 == 6 else NEW
    if op is not None and seed % 2:  # its ops are frozen, and all of the frozen part is streamed
        scheme, kind = resolve_scheme("last-1", case.graph, case.graph.name), "last"
        level = "in-place"
    optimizer: Optimizer = Momentum.of(MOMENTA[seed // 3 % 3]) if seed % 3 == 0 else SGD()
    tags = {
        f"task {task.name}", f"bias {formats.bias}", f"head {formats.head}", f"scheme {kind}",
        f"input {by_rows}", f"head {head}", f"optimizer {optimizer.name}",
        f"schedule {level}", *(["wide"] if widths is WIDE else []),
    }  # fmt: skip
    return Draw(
        seed, rng, case, formats, optimizer, scheme, by_rows, level, task, head, tags | case.tags
    )


def training_case(seed: int, op: OpCase | None = None) -> TrainingCase:
    """The training graph of this seed, perhaps with ops of a family."""
    drawn = draw(seed, op)
    case, rng = drawn.case, drawn.rng
    graph = build_training_graph(
        case.graph, drawn.outputs, drawn.scheme, drawn.formats, drawn.optimizer, task=drawn.task,
        head=drawn.head,
    )  # fmt: skip
    if drawn.scheme.head and not drawn.head.own and rng.integers(2):
        _fill_head(graph, rng)
    graph.execution = Execution(drawn.input)
    graph = pipeline.schedule(graph, drawn.schedule)
    if op is not None and seed % 2:
        graph = in_segment(graph, graph.nodes[: prefix_length(graph)], 0)
    return TrainingCase(seed, graph, frames_of(case, rng), _targets(drawn), _rates(rng))


def _random_scheme(graph: Graph, rng: np.random.Generator) -> tuple[Scheme, str]:
    layers = backbone_layers(graph)
    kind = str(rng.choice(["full", "last", "ratios", "ratios"]))
    if kind == "full":
        return resolve_scheme("full", graph, graph.name), kind
    if kind == "last":
        return resolve_scheme(f"last-{rng.integers(1, len(layers) + 1)}", graph, graph.name), kind
    weights: dict[str, str] = {}
    for layer in layers:
        if rng.random() < 0.75:
            whole = not can_split(graph, layer) or rng.random() < 0.2
            count = channel_count(graph, layer)
            weights[layer] = "1" if whole else f"{rng.integers(1, count + 1)}/{count}"
    table = {"weights": weights, "bias_layers": int(rng.integers(len(layers) + 1))}
    if rng.random() < 0.2 and (weights or table["bias_layers"]):
        return scheme_from_table(table | {"head": False}, graph), "without head"
    return scheme_from_table(table, graph), kind


def _fill_head(graph: Graph, rng: np.random.Generator) -> None:
    """Head weights that let the first step's gradient through."""
    weight = graph.data["head.weight"]
    if weight.dtype == np.int16:
        graph.data["head.weight"] = rng.integers(-9000, 9001, weight.shape).astype(np.int16)
    else:
        x = next(n for n in graph.nodes if n.op == "head").inputs[0]
        spread = 1 / (graph.scale(x) * 100 * np.sqrt(weight.shape[1]))
        graph.data["head.weight"] = rng.normal(0, spread, weight.shape).astype(np.float32)


def frames_of(case: GraphCase, rng: np.random.Generator) -> Array:
    """Random int8 frames (FRAMES, 1, H, W, C)."""
    shape = (FRAMES, *case.frame.shape)
    return rng.integers(-128, 128, shape).astype(np.int8)


def _targets(drawn: Draw) -> list[Array]:
    outputs, rng = drawn.outputs, drawn.rng
    if drawn.task is REGRESS:
        return list(rng.integers(-128, 128, (FRAMES, outputs)).astype(np.int8))
    return list(rng.integers(drawn.task.classes(outputs), size=(FRAMES, 1)))


def _rates(rng: np.random.Generator) -> list[float]:
    """One small and one large rate, the change in the middle."""
    small, large = 2.0 ** rng.uniform(-14, -4), 2.0 ** rng.uniform(-2, 10)
    order = [small, large] if rng.integers(2) else [large, small]
    return [float(np.float32(order[2 * step // STEPS])) for step in range(STEPS)]


# -- the C of a batch -----------------------------------------------------------------------------


def write_batch(cases: list[TrainingCase], folder: Path) -> list[Path]:
    """Write the models and the table; returns the models' folders, in order."""
    folders = []
    rows = []
    parts = ['#include "training_batch.h"\n']
    arena = context = 0
    for i, case in enumerate(cases):
        arena = max(arena, case.plan.arena_bytes)
        context = max(context, pipeline.resident_bytes(case.graph)[CONTEXT] + CONTEXT_MARGIN)
        place = folder / f"model{i}"
        place.mkdir(parents=True)
        for name, text in case.sources.items():
            (place / name).write_text(text)
        folders.append(place)
        parts.append(_case_text(i, case))
        size = case.frames[0].size
        rows.append(
            f"    {{&mt_model_{i}, {case.seed}u, {len(case.rates)}, {FRAMES}, {size}, rates_{i}, "
            f"frames_{i}, targets_{i}}},"
        )
    table = "\n".join(rows)
    parts.append(f"const training_case training_cases[] = {{\n{table}\n}};")
    parts.append(f"const uint32_t training_case_count = {len(cases)};")
    for name, size in (("context", context), ("arena", arena)):
        parts.append(f"int64_t training_{name}[{size // 8 + 1}];")
        parts.append(f"const size_t training_{name}_bytes = sizeof training_{name};\n")
    (folder / "cases.c").write_text("\n".join(parts))
    return folders


def _case_text(i: int, case: TrainingCase) -> str:
    rates = ", ".join(f"{rate.hex()}f" for rate in case.rates)
    # A classifier ignores the codes, another model the class.
    targets = ", ".join(
        f"{{{0 if target.dtype == np.int8 else target[0]}, codes_{i} + {number * target.size}}}"
        for number, target in enumerate(case.targets)
    )
    wanted = ", ".join(str(v) for v in np.concatenate(case.targets).tolist())
    codes = ", ".join(str(v) for v in case.frames.reshape(-1).tolist())
    return (
        f"extern const mt_model mt_model_{i};\n"
        f"static const float rates_{i}[] = {{{rates}}};\n"
        f"static const int8_t codes_{i}[] = {{{wanted}}};\n"
        f"static const mt_target targets_{i}[] = {{{targets}}};\n"
        f"static const int8_t frames_{i}[] = {{{codes}}};"
    )


def parse_steps(output: str) -> list[list[Step]]:
    """The steps that training_batch.c printed, by model."""
    found: list[list[Step]] = []
    for line in output.splitlines():
        if not line.startswith("step "):
            continue
        number, step, status, *values = (int(word) for word in line.split()[1:])
        if step == 0:
            found.append([])
        assert (number, status) == (len(found) - 1, 0), line
        parameters, offsets, logits, loss = values
        found[-1].append(Step(parameters, offsets, logits, loss - 2**32 * (loss >= 2**31)))
    return found
