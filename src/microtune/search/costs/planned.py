"""Costs of a selection: planned SRAM, flash, and estimated instructions of one training step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from microtune import pipeline
from microtune.codegen.instructions_bound import instruction_set, work_of
from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph, Node
from microtune.ir.macs import node_macs
from microtune.ir.modelfile import ModelFile
from microtune.ir.ops import Trait, has
from microtune.memory import solver
from microtune.run.builds import code_version
from microtune.search.problem import HEAD_ONLY, Selection
from microtune.targets import Target
from microtune.targets.instructions import call_cost, step_costs
from microtune.training.build import build_training_graph
from microtune.training.optimisers import DEFAULT_OPTIMIZER
from microtune.training.scheme import Scheme, backbone_layers, scheme_from_table

# Bytes of SRAM of a selection with a buffer that is larger than any memory of the target.
UNPLACEABLE = 1 << 40


class CostStore(Protocol):
    """Integers by key that outlive the process, such as a file."""

    def get(self, key: str) -> int | None:
        """The integer that was put under the key, None if there is none."""

    def put(self, key: str, value: int) -> None:
        """Store an integer under the key; a former one is replaced."""


@dataclass(frozen=True)
class Limits:
    """Budgets: bytes of SRAM and of flash, and instructions of one training step (None: any)."""

    sram_bytes: int
    flash_bytes: int
    step_instructions: int | None = None


def estimated_instructions(graph: Graph, nodes: Iterable[Node], target: Target) -> int:
    """Instructions that the target needs for these nodes; all nodes of a graph are one step.

    The estimate is linear in the MACs and elements of each kernel call, with figures fitted for the
    target's instruction set. Estimates of whole steps of the reference models are within 2.1 % of
    QEMU's counts on Cortex-M7, M3 and M0+ and within 8.1 % on the M55. Targets without fitted
    figures count as portable C with a multiply-accumulate instruction.
    """
    costs = step_costs(instruction_set(target.isa))
    total = 0.0
    for node in nodes:
        if not has(node, Trait.VIEW):
            work = work_of(graph, node)
            sizes = node_macs(graph, node), work.outputs, work.inputs
            total += call_cost(costs, work.kind).instructions(*sizes)
    return round(total)


class SelectionCosts:
    """Costs of the selections of one model, compiled as `request` says but for its scheme.

    Each cost is computed once and kept in memory, and in `store` if there is one. On a target with
    several memories the plan depends on the request's `sram_bytes`, and so does `sram`. `layers`
    has the names of the backbone's layers. `plans` counts the plans that were made, not looked up.
    """

    def __init__(
        self, model: ModelFile, request: pipeline.Request, store: CostStore | None = None
    ) -> None:
        self.model, self.request, self._store = model, request, store
        self.layers = backbone_layers(model.graph)
        self.plans = 0
        self._known: dict[str, int] = {}
        self._schemes: dict[Selection, Scheme] = {}
        several = len(request.target.memories) > 1
        content = (
            code_version(), model.sha256(), request.classes, request.target, request.formats,
            request.input, request.schedule, request.replay_bytes,
            request.sram_bytes if several else 0, solver.version(), request.task.name,
            request.optimizer, str(request.head),
        )  # fmt: skip
        self._context = hashlib.sha256(repr(content).encode()).hexdigest()

    def within(self, sram_bytes: int) -> SelectionCosts:
        """The costs for another SRAM budget; these where the plan does not depend on it."""
        if len(self.request.target.memories) < 2 or sram_bytes == self.request.sram_bytes:
            return self
        return SelectionCosts(self.model, replace(self.request, sram_bytes=sram_bytes), self._store)

    def in_one_memory(self) -> SelectionCosts:
        """The costs if the target had one memory as large as all of its memories together."""
        target = self.request.target
        if len(target.memories) < 2:
            return self
        one = replace(target.memories[0], bytes=sum(bank.bytes for bank in target.memories))
        request = replace(self.request, target=replace(target, memories=(one,)))
        return SelectionCosts(self.model, request, self._store)

    def scheme(self, selection: Selection) -> Scheme:
        """The scheme that trains a selection of this model.

        Raises MicrotuneError if the model has no such layers or channels.
        """
        if selection not in self._schemes:
            table = selection.table("search", self.model.graph.name)
            self._schemes[selection] = scheme_from_table(table, self.model.graph)
        return self._schemes[selection]

    def sram(self, selection: Selection) -> int:
        """Peak SRAM of the plan in bytes, as `compile` counts it.

        UNPLACEABLE if a buffer is larger than any memory of the target. Takes seconds for a
        selection that is not cached. Raises what `scheme` raises.
        """
        return self._cost("sram", selection)

    def flash(self, selection: Selection) -> int:
        """Bytes of flash: constants, initial values, and a reserve for code."""
        return self._cost("flash", selection)

    def instructions(self, selection: Selection) -> int:
        """Estimated instructions of one training step (`estimated_instructions`)."""
        return self._cost("instructions", selection)

    def fits(self, selection: Selection, limits: Limits) -> bool:
        """Whether the selection's costs are within all limits; the plan is made last."""
        most = limits.step_instructions
        if most is not None and self.instructions(selection) > most:
            return False
        return (
            self.flash(selection) <= limits.flash_bytes
            and self.sram(selection) <= limits.sram_bytes
        )

    def unscheduled_graph(self, selection: Selection) -> Graph:
        """The training graph before scheduling, without calibrated gradient offsets.

        Its optimiser is SGD, whatever the request's is (`velocity_bytes`).
        """
        return build_training_graph(
            self.model.graph, self.request.classes, self.scheme(selection), self.request.formats,
            task=self.request.task, head=self.request.head, calibrate=False,
        )  # fmt: skip

    def velocity_bytes(self, parameter_bytes: int) -> int:
        """Bytes of the optimiser's states for parameters of so many bytes: as many, or none."""
        return 0 if self.request.optimizer == DEFAULT_OPTIMIZER else parameter_bytes

    def _cost(self, what: str, selection: Selection) -> int:
        """One of the costs of a selection: from memory, from the store, or computed and stored."""
        key = f"{self._context}:{self.scheme(selection).sha256()}"
        if f"{key}:{what}" not in self._known:
            found = self._store.get(f"{key}:{what}") if self._store else None
            costs = {what: found} if found is not None else self._computed(what, selection)
            for name, value in costs.items():
                self._known[f"{key}:{name}"] = value
                if found is None and self._store is not None:
                    self._store.put(f"{key}:{name}", value)
        return self._known[f"{key}:{what}"]

    def _computed(self, what: str, selection: Selection) -> dict[str, int]:
        """Compute a cost by its name; the plan gives "sram" and "flash" together."""
        if what == "instructions":
            graph = self.unscheduled_graph(selection)
            return {what: estimated_instructions(graph, graph.nodes, self.request.target)}
        self.plans += 1
        request = replace(self.request, scheme=self.scheme(selection))
        graph, _ = pipeline.training_graph(self.model, request)
        flash = pipeline.constant_bytes(graph) + pipeline.CODE_BYTES
        try:
            sram = pipeline.planned_sram(graph, pipeline.plan_graph(graph, request))
        except MicrotuneError:  # some buffer is larger than any bank
            sram = UNPLACEABLE
        return {"flash": flash, "sram": sram}


def require_head_fits(costs: SelectionCosts, limits: Limits) -> None:
    """Raise MicrotuneError if not even the head alone fits; the error names its costs."""
    if costs.fits(HEAD_ONLY, limits):
        return
    most = limits.step_instructions
    words = "" if most is None else f" and {most:,} instructions a step"
    raise MicrotuneError(
        f"nothing can be trained in {limits.sram_bytes:,} bytes of SRAM, {limits.flash_bytes:,} "
        f"bytes of flash{words}: {costs.model.graph.name} with the head alone takes "
        f"{costs.sram(HEAD_ONLY):,} bytes of SRAM, {costs.flash(HEAD_ONLY):,} of flash and about "
        f"{costs.instructions(HEAD_ONLY):,} instructions. Give more"
        + (", or --input rows" if costs.request.input != "rows" else "")
    )
