"""What training a model would take, before anything is compiled: `microtune inspect`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from microtune import pipeline
from microtune.errors import MicrotuneError
from microtune.ir.execution import InputMode
from microtune.ir.modelfile import ModelFile
from microtune.measure.inspection import SchemePlan
from microtune.search.automatic import automatic_scheme
from microtune.search.costs.planned import estimated_instructions
from microtune.targets import load_target, target_names
from microtune.training.scheme import AUTO

TARGET = "cortex-m7"
SRAM, FLASH = 256 * 1024, 1024 * 1024
NONE, HEAD_ONLY, FULL = "none", "head-only", "full"
INPUTS: tuple[InputMode, ...] = ("resident", "rows")
_ROOMY = 1 << 30
Progress = Callable[[int, int, str], None]
Note = Callable[[str], None]


def scheme_plans(
    model: ModelFile, classes: int, progress: Progress = lambda *_: None,
    note: Note = lambda _: None,
) -> list[SchemePlan]:  # fmt: skip
    """What inference, the head alone, `auto` and everything would take with so many new classes.

    Planned for the default target in one memory, as large as need be; `auto` chooses within the
    default budgets of `compile`, with the frame by rows. `note` is told what cannot be planned, and
    why: `auto` where not even the head alone fits, everything where no head can be put in.
    """
    request = pipeline.Request(classes, NONE, load_target(TARGET), _ROOMY, _ROOMY)
    within = replace(request, sram_bytes=SRAM, flash_bytes=FLASH, input="rows")
    names, found = (NONE, HEAD_ONLY, AUTO, FULL), []
    for number, name in enumerate(names):
        progress(number, len(names), f"planning {name}")
        try:
            scheme = automatic_scheme(model, within).scheme if name == AUTO else name
            found.append(_plan(model, replace(request, scheme=scheme), name))
        except MicrotuneError as error:
            if name != AUTO:
                note(f"training cannot be planned: {error}")
                break
            note(f"--scheme {name}: {error}")
    progress(len(names), len(names), "planned")
    return found


def _plan(model: ModelFile, request: pipeline.Request, name: str) -> SchemePlan:
    sram: dict[InputMode, int] = {}
    for mode in INPUTS:
        graph, _ = pipeline.training_graph(model, replace(request, input=mode))
        sram[mode] = pipeline.planned_sram(graph, pipeline.plan_graph(graph))
    flash = pipeline.constant_bytes(graph) + pipeline.CODE_BYTES
    fitting = [each for each in target_names() if _fits(each, sram["rows"], flash)]
    return SchemePlan(
        scheme=name, sram_bytes=sram["resident"], sram_rows_bytes=sram["rows"], flash_bytes=flash,
        step_instructions=estimated_instructions(graph, graph.nodes, request.target),
        targets=fitting, too_small=[each for each in target_names() if each not in fitting],
    )  # fmt: skip


def _fits(target: str, sram: int, flash: int) -> bool:
    """Whether the chip's memories together, and its flash, are large enough."""
    chip = load_target(target)
    return sram <= chip.ram_bytes and flash <= chip.flash.bytes
