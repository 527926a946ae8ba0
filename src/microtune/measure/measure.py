"""Build the firmware, run it in the emulator, count bytes and instructions exactly."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph
from microtune.ir.macs import graph_macs
from microtune.ir.numerics import NUMERICS_VERSION
from microtune.measure.records import training_record
from microtune.measure.stack import parse_call_graph, stack_bounds
from microtune.project.manifest import Manifest
from microtune.project.project import read_project
from microtune.run.emulator import run_firmware
from microtune.run.job import (
    JOB_NAME,
    RESULT_NAME,
    Call,
    Record,
    RecordResult,
    read_results,
    write_job,
)
from microtune.targets import Target
from microtune.tools.toolchain import Firmware, FirmwareCompiler, build_firmware
from microtune.training.calibrate import synthetic_frame
from microtune.training.tasks import target_codes

_FRAME = 1000
SEED = 1


@dataclass(frozen=True)
class Spread:
    """Minimum, mean and maximum of exact counts over several frames."""

    minimum: int
    mean: float
    maximum: int

    @staticmethod
    def of(values: Sequence[int]) -> Spread:
        """The spread of a list of counts."""
        return Spread(min(values), sum(values) / len(values), max(values))


@dataclass(frozen=True, repr=False)
class Measurement:
    """What `measure` reports: bytes, instructions and stack of a project on a target.

    `stack_bytes` is the high-water mark of the measured calls, `stack_bound_bytes` a bound for all
    calls. `to_json` has the names.
    """

    firmware: Firmware
    graph: Graph
    plan: Manifest
    target: str
    stack_bytes: int
    stack_bound_bytes: int | None
    infer_instructions: int
    train_instructions: int | None
    spreads: dict[str, Spread]

    def __repr__(self) -> str:
        rows = [
            f"  {name.replace('_', ' ')}: {value:,}" if isinstance(value, int)
            else f"  {name.replace('_', ' ')}: {value}"
            for name, value in self.to_json().items() if value is not None
        ]  # fmt: skip
        return "\n".join(["Measurement", *rows])

    def to_json(self) -> dict[str, Any]:
        """The figures as `--json` writes them.

        SRAM is arena + static + stack; instructions are those of the second call of each kind.
        """
        sizes = self.firmware.sizes
        infer_macs, train_macs = graph_macs(self.graph)
        result: dict[str, Any] = {
            "arena_bytes": sizes.arena_bytes, "static_bytes": sizes.static_bytes,
            "stack_bytes": self.stack_bytes, "stack_bound_bytes": self.stack_bound_bytes,
            "sram_bytes": sizes.arena_bytes + sizes.static_bytes + self.stack_bytes,
            "flash_bytes": sizes.flash_bytes, "infer_instructions": self.infer_instructions,
            "train_instructions": self.train_instructions, "infer_macs": infer_macs,
            "train_macs": train_macs if self.train_instructions is not None else None,
            "arenas": dict(sizes.arenas), "target": self.target,
            "scheme": self.plan.scheme.name, "input": self.plan.input,
            "compiler": self.firmware.compiler,
            "optimisation": self.firmware.optimisation, "numerics_version": NUMERICS_VERSION,
            "harness": {
                "flash_bytes": sizes.harness_flash_bytes, "ram_bytes": sizes.harness_ram_bytes,
            },
        }  # fmt: skip
        for name, spread in self.spreads.items():
            result[f"{name}_instructions_on_data"] = vars(spread)
        return result


def measure(
    project: Path, frames: Array | None = None, labels: Array | None = None,
    target: str | os.PathLike[str] | Target | None = None, optimisation: str = "-O3",
    compiler: FirmwareCompiler = "gcc",
) -> Measurement:  # fmt: skip
    """Build and run a compiled project in the emulator, and count bytes and instructions.

    `frames` are int8 (N, H, W, C); with their `labels` they add the spread of instructions over
    real data. Needs qemu-system-arm and arm-none-eabi-gcc (or Clang by `compiler="zig"`). Raises
    MicrotuneError if one is missing or the project does not fit the target.
    """
    plan, graph = read_project(project)
    chip = plan.chosen_target(target)
    records = _records(graph, frames, labels)
    with tempfile.TemporaryDirectory(prefix="microtune-measure-") as name:
        folder = Path(name)
        firmware = build_firmware(
            project, chip, folder / "firmware.elf", optimisation, compiler,
            ram_bytes=min(plan.budget.sram_bytes, chip.ram_bytes),
            flash_bytes=min(plan.budget.flash_bytes, chip.flash.bytes),
            placement=plan.placement_on(chip),
        )  # fmt: skip
        job = write_job(
            folder / JOB_NAME, SEED, records, graph.input_tensor.bytes,
            plan.outputs, measure=True, target_codes=target_codes(graph),
        )  # fmt: skip
        run = run_firmware(firmware.elf, chip, folder, plugin=True)
        run.require_success()
        results = list(read_results(folder / RESULT_NAME, job))
        counts = _counts(results, run.call_instructions)
        stack_bound = _stack_bound(firmware, chip)
    return Measurement(
        firmware, graph, plan, chip.name,
        max(result.stack_bytes or 0 for result in results), stack_bound,
        counts[Call.INFER][1],
        counts[Call.TRAIN][1] if counts[Call.TRAIN] else None,
        {
            call.action: Spread.of(values[2:])
            for call, values in counts.items() if len(values) > 2
        },
    )  # fmt: skip


def _stack_bound(firmware: Firmware, target: Target) -> int | None:
    """The static bound of the stack in bytes; None for a compiler without a call graph."""
    if not firmware.call_graph:
        return None
    return stack_bounds(parse_call_graph(firmware.call_graph), target, firmware.elf).bytes


def _records(graph: Graph, frames: Array | None, labels: Array | None) -> list[Record]:
    """Two calls of each kind on a fixed pseudo-random frame, then one of each on every frame."""
    frame = synthetic_frame(graph.input_tensor.shape, _FRAME)
    records = [Record(Call.INFER, frame)] * 2
    trainable = bool(graph.updates)
    if trainable:
        records += [training_record(graph, frame)] * 2
    if frames is not None and labels is not None:
        for real, label in zip(frames, labels, strict=True):
            records.append(Record(Call.INFER, real))
            if trainable:
                records.append(training_record(graph, real, int(label)))
    return records


def _counts(results: list[RecordResult], instructions: Sequence[int]) -> dict[Call, list[int]]:
    if len(instructions) != len(results) or any(r.status for r in results):
        raise MicrotuneError("the firmware did not finish every call that was measured")
    counts: dict[Call, list[int]] = {Call.INFER: [], Call.TRAIN: []}
    for result, count in zip(results, instructions, strict=True):
        counts[result.call].append(count)
    return counts
