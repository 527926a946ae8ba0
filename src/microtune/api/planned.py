"""What the plan of a project promises, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from microtune.codegen.layout import momentum_bytes
from microtune.ir.graph import Graph
from microtune.ir.macs import graph_macs
from microtune.memory.latent import replay_bytes
from microtune.pipeline import constant_bytes, resident_bytes
from microtune.project.manifest import Manifest


@dataclass(frozen=True)
class PlannedFigures:
    """Bytes and multiply-accumulates (MACs) of a project, before anything is built.

    `analytic_kb` is the published formula's SRAM in KB (None where it says nothing). `arenas` are
    the arena's bytes by bank, `residents` says where the stack, the context and the replay memory
    are. No plan needs less than `arena_lower_bound`; `proven_minimal` says "yes, for this order" or
    "no". `train_macs` are those of a whole training step. `velocity_bytes` are the states of
    momentum.
    """

    model: str
    scheme: str
    target: str
    analytic_kb: float | None
    arena_bytes: int
    arenas: Mapping[str, int]
    residents: str
    arena_lower_bound: int
    proven_minimal: str
    trained_parameter_bytes: int
    velocity_bytes: int
    replay_bytes: int
    replay_samples: int
    planned_sram_bytes: int
    flash_constant_bytes: int
    infer_macs: int
    train_macs: int

    def to_json(self) -> dict[str, Any]:
        """The figures by name, without replay memory and velocities where there are none."""
        figures = asdict(self)
        if not self.replay_bytes:
            del figures["replay_bytes"], figures["replay_samples"]
        if not self.velocity_bytes:
            del figures["velocity_bytes"]
        return figures


def planned_figures(plan: Manifest, graph: Graph) -> PlannedFigures:
    """The figures of a plan.json with its training graph."""
    forward, step = graph_macs(graph)
    banks = {"stack": plan.stack_bank, "context": plan.context_bank, "replay": plan.replay_bank}
    proven = all(arena.optimal for arena in plan.arenas)
    size, velocities = replay_bytes(graph), momentum_bytes(graph)
    return PlannedFigures(
        model=plan.model.name, scheme=plan.scheme.name, target=plan.target.name,
        analytic_kb=plan.scheme.analytic_kb, arena_bytes=plan.arena_bytes,
        arenas={arena.bank: arena.bytes for arena in plan.arenas},
        residents=", ".join(f"{what} in {bank}" for what, bank in banks.items() if bank),
        arena_lower_bound=plan.lower_bound,
        proven_minimal="yes, for this order" if proven else "no",
        trained_parameter_bytes=plan.parameter_bytes - velocities, velocity_bytes=velocities,
        replay_bytes=size, replay_samples=graph.execution.replay_slots if size else 0,
        planned_sram_bytes=plan.arena_bytes + sum(resident_bytes(graph).values()),
        flash_constant_bytes=constant_bytes(graph), infer_macs=forward, train_macs=step,
    )  # fmt: skip
