"""Which memory holds what: a model and scheme on targets with several memories.

    python benchmarks/banks.py MODEL --scheme 49KB --classes 10 [--input rows] [TARGET ...]

For each target: bytes and share of the estimated accesses per bank, the largest buffers in each,
and, where arm-none-eabi-gcc is installed, the addresses at which the linked firmware has them.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from microtune import pipeline
from microtune.cli.options import InputKind
from microtune.importers import load_any
from microtune.memory.heat import accesses
from microtune.project.manifest import read_plan
from microtune.project.project import Project
from microtune.report.console import console
from microtune.targets import load_target
from microtune.tools.elf import read_elf
from microtune.tools.toolchain import build_firmware

TARGETS = ["stm32h743", "stm32f746", "stm32f746-sdram", "cortex-m7-banks"]
LARGEST = 6


def section_addresses(folder: Path, name: str) -> dict[str, str]:
    """Section -> address range in the linked firmware; empty without the compiler."""
    if shutil.which("arm-none-eabi-gcc") is None:
        return {}
    target, elf = load_target(name), folder / "firmware.elf"
    build_firmware(folder, target, elf, placement=read_plan(folder).placement_on(target))
    return {
        s.name: f"0x{s.address:08x}..0x{s.address + s.bytes:08x}" for s in read_elf(elf).sections
    }


def bank_table(project: Project, addresses: dict[str, str]) -> Table:
    """One row a bank that holds anything."""
    plan, counts = project.plan, accesses(project.graph)
    total = sum(counts.get(b.name, 0.0) for b in plan.buffers)
    planned = pipeline.planned_sram(project.graph, plan)
    table = Table(title=f"{project.target.name}: {planned:,} bytes", title_justify="left")
    for column in ("bank", "size", "arena", "address", "accesses", "residents", "largest buffers"):
        table.add_column(column, overflow="fold")
    arenas = {arena.bank: arena.plan for arena in plan.arenas}
    for bank in plan.banks:
        residents = [name for name, home in plan.resident_banks.items() if home == bank.name]
        if bank.name not in arenas and not residents:
            continue
        buffers = arenas[bank.name].buffers if bank.name in arenas else ()
        share = sum(counts.get(b.name, 0.0) for b in buffers) / total
        largest = sorted(buffers, key=lambda b: -b.bytes)[:LARGEST]
        table.add_row(
            bank.name, f"{bank.bytes:,}",
            f"{arenas[bank.name].arena_bytes:,}" if buffers else "0",
            addresses.get(f".arena.{bank.name}", "-"), f"{100 * share:.1f} %",
            ", ".join(f"{name} {plan.residents[name]:,}" for name in residents),
            f"{len(buffers)}: " + ", ".join(f"{b.name} {b.bytes:,}" for b in largest),
        )  # fmt: skip
    return table


def main(
    model: Path,
    targets: Annotated[list[str] | None, typer.Argument()] = None,
    scheme: str = "49KB",
    classes: int = 10,
    input_mode: Annotated[InputKind, typer.Option("--input")] = InputKind.resident,
    schedule: str = "stream",
    sram: int = 1 << 30,
) -> None:
    loaded = load_any(model)
    for name in targets or TARGETS:
        level: pipeline.Schedule = "layers" if schedule == "layers" else "stream"
        target = load_target(name)
        request = pipeline.Request(
            classes, scheme, target, sram, target.flash.bytes, input=input_mode.value,
            schedule=level,
        )  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="microtune-banks-") as folder:
            project = pipeline.compile_model(loaded, request, Path(folder) / "p")
            console.print(bank_table(project, section_addresses(Path(folder) / "p", name)))


if __name__ == "__main__":
    typer.run(main)
