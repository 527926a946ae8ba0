"""What a selection costs: planned SRAM, flash, and instructions of one training step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from microtune import pipeline
from microtune.codegen.instructions_bound import instruction_set, layer_of
from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph, Node
from microtune.ir.macs import node_macs
from microtune.ir.modelfile import ModelFile
from microtune.memory import solver
from microtune.memory.lifetimes import VIEW_OPS
from microtune.run.builds import code_version
from microtune.search.problem import HEAD_ONLY, Selection
from microtune.targets import Target
from microtune.targets.instructions import call_cost, step_costs
from microtune.training.build import build_training_graph
from microtune.training.scheme import Scheme, backbone_layers, scheme_from_table

# Bytes of a selection whose buffers find no place in the banks of the target at all.
NO_PLACE = 1 << 40


class Store(Protocol):
    """Where costs outlive the process: an integer under a key, or None."""

    def get(self, key: str) -> int | None:
        """What was put under the key."""

    def put(self, key: str, value: int) -> None:
        """Remember."""


@dataclass(frozen=True)
class Limits:
    """Budgets in bytes and in instructions of one training step (None: any number)."""

    sram_bytes: int
    flash_bytes: int
    step_instructions: int | None = None


def nodes_instructions(graph: Graph, nodes: Iterable[Node], target: Target) -> int:
    """An estimate of the instructions of nodes of a graph, all nodes: of one training step.

    From MACs and elements of each call with the target's fitted figures. Whole steps of the
    reference models came within 2.1 % of QEMU's counts on Cortex-M7, M3 and M0+ and within 8.1 % on
    the M55. Targets without figures count as portable C with a multiply-accumulate instruction.
    """
    costs = step_costs(instruction_set(target.isa))
    total = 0.0
    for node in nodes:
        if node.op not in VIEW_OPS:
            layer = layer_of(graph, node)
            sizes = node_macs(graph, node), layer.outputs, layer.inputs
            total += call_cost(costs, layer.kind).instructions(*sizes)
    return round(total)


class Costs:
    """Costs of the selections of one model, as `request` would compile it; its scheme is not used.

    Each is worked out once: in memory, and in `store` if there is one. On a target of several
    memories the plan, and so `sram`, aims at the request's `sram_bytes`. `plans` counts the plans
    that were really made.
    """

    def __init__(
        self, model: ModelFile, request: pipeline.Request, store: Store | None = None
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
            request.sram_bytes if several else 0, solver.version(),
        )  # fmt: skip
        self._context = hashlib.sha256(repr(content).encode()).hexdigest()

    def within(self, sram_bytes: int) -> Costs:
        """The costs within another SRAM budget: these, unless plans aim at it."""
        if len(self.request.target.memories) < 2 or sram_bytes == self.request.sram_bytes:
            return self
        return Costs(self.model, replace(self.request, sram_bytes=sram_bytes), self._store)

    def in_one_memory(self) -> Costs:
        """The costs where the target's memories are one: these, unless there are several."""
        target = self.request.target
        if len(target.memories) < 2:
            return self
        one = replace(target.memories[0], bytes=sum(bank.bytes for bank in target.memories))
        request = replace(self.request, target=replace(target, memories=(one,)))
        return Costs(self.model, request, self._store)

    def scheme(self, selection: Selection) -> Scheme:
        """What `resolve_scheme` would make of the selection's file. Raises MicrotuneError."""
        if selection not in self._schemes:
            table = selection.table("search", self.model.graph.name)
            self._schemes[selection] = scheme_from_table(table, self.model.graph)
        return self._schemes[selection]

    def sram(self, selection: Selection) -> int:
        """The planned peak in bytes, as `compile` counts it; NO_PLACE where nothing can be planned.

        Takes seconds for a selection that is not known yet.
        """
        return self._cost("sram", selection)

    def flash(self, selection: Selection) -> int:
        """Bytes of constants and initial values, with the reserve for code."""
        return self._cost("flash", selection)

    def instructions(self, selection: Selection) -> int:
        """Instructions of one training step, estimated (`nodes_instructions`)."""
        return self._cost("instructions", selection)

    def fits(self, selection: Selection, limits: Limits) -> bool:
        """Whether the selection keeps all limits; the plan is made last."""
        most = limits.step_instructions
        if most is not None and self.instructions(selection) > most:
            return False
        return (
            self.flash(selection) <= limits.flash_bytes
            and self.sram(selection) <= limits.sram_bytes
        )

    def sketch(self, selection: Selection) -> Graph:
        """The training graph before scheduling, gradient offsets not calibrated: quickly made."""
        return build_training_graph(
            self.model.graph, self.request.classes, self.scheme(selection), self.request.formats,
            calibrate=False,
        )  # fmt: skip

    def _cost(self, what: str, selection: Selection) -> int:
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
        if what == "instructions":
            graph = self.sketch(selection)
            return {what: nodes_instructions(graph, graph.nodes, self.request.target)}
        self.plans += 1
        request = replace(self.request, scheme=self.scheme(selection))
        graph, _ = pipeline.training_graph(self.model, request)
        flash = pipeline.constant_bytes(graph) + pipeline.CODE_BYTES
        try:
            sram = pipeline.planned_sram(graph, pipeline.plan_graph(graph, request))
        except MicrotuneError:  # some buffer is larger than any bank
            sram = NO_PLACE
        return {"flash": flash, "sram": sram}


def require_head(costs: Costs, limits: Limits) -> None:
    """Raise MicrotuneError, naming the smallest plan, if the head alone does not fit."""
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
