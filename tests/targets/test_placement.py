"""The linker script follows the plan: every section inside the bank that the plan chose."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from microtune import embedded, pipeline
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.memory.banks import MemoryPlan
from microtune.project.manifest import read_plan
from microtune.project.project import CONTEXT, STACK, Project
from microtune.targets import (
    RISCV,
    MemoryBank,
    Placement,
    Target,
    load_target,
    render_linker_script,
    target_names,
)
from microtune.tools.elf import Section, read_elf
from microtune.tools.toolchain import Firmware, build_firmware
from tests.projects import compile_project

SEVERAL = [name for name in target_names() if len(load_target(name).memories) > 1]
needs_compiler = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None, reason="not installed: arm-none-eabi-gcc"
)


def fence(script: str) -> list[tuple[int, int, int]]:
    """(origin, bytes, writable) of what the memory protection lets through."""
    found = re.findall(r"LONG\((\w+)\) LONG\((\d+)\) LONG\((\d)\)", script)
    return [(int(origin, 16), int(size), int(flag)) for origin, size, flag in found]


@pytest.mark.parametrize("name", target_names())
def test_the_fence_can_be_built_and_covers_the_memories(name: str) -> None:
    """Eight regions; on Armv7-M each starts at a multiple of its size as a power of two, and is
    whole eighths of it, so that not a byte more can be reached. Armv8-M takes multiples of 32
    bytes; the PMP has room for seven ranges of words."""
    target = load_target(name)
    ranges = fence(render_linker_script(target))
    assert len(ranges) <= (7 if target.architecture is RISCV else 8)
    any_length = target.architecture is RISCV or target.isa[0].startswith("armv8")
    for origin, size, _ in ranges:
        power = 1 << (size - 1).bit_length()
        assert origin % (32 if any_length else power) == 0
        assert size % (32 if any_length else power // 8) == 0
    for bank in (*target.memories, target.flash):
        writable = int(bank is not target.flash)
        assert any(
            origin <= bank.origin and bank.origin + bank.bytes <= origin + size
            for origin, size, flag in ranges
            if flag == writable
        )
    assert sum(size for _, size, flag in ranges if flag) == target.ram_bytes + (
        target.harness_ram.bytes if target.harness_ram else 0
    )


@pytest.mark.parametrize("name", SEVERAL)
def test_the_script_names_every_bank(name: str) -> None:
    target = load_target(name)
    script = render_linker_script(target)
    for bank in target.memories:
        assert f"{bank.region} (rw) : ORIGIN = 0x{bank.origin:08x}, LENGTH = {bank.bytes}" in script
    assert "${" not in script


def test_a_bank_that_the_target_lacks_is_refused() -> None:
    with pytest.raises(MicrotuneError, match="'cortex-m7' has no memory called 'dtcm'"):
        render_linker_script(load_target("cortex-m7"), placement=Placement("ram", "dtcm", ()))


def linked(folder: Path, target: Target, scheme: str = "last-4") -> tuple[Project, Firmware]:
    project = compile_project(folder / "p", scheme, target=target.name)
    placement = read_plan(folder / "p").placement_on(target)
    assert placement is not None
    elf = folder / "firmware.elf"
    return project, build_firmware(folder / "p", target, elf, "-O1", placement=placement)


@needs_compiler
@pytest.mark.chip
@pytest.mark.parametrize("name", SEVERAL)
def test_every_section_lies_in_its_bank(tmp_path: Path, name: str) -> None:
    target = load_target(name)
    project, firmware = linked(tmp_path, target)
    check_sections(project, firmware, target)


def check_sections(project: Project, firmware: Firmware, target: Target) -> None:
    """Arenas, context, stack and data where the plan says; sizes as planned."""
    plan, elf = project.plan, read_elf(firmware.elf)
    sections = {section.name: section for section in elf.sections}
    banks = {bank.name: bank for bank in target.memories}

    def inside(section: Section, bank: str) -> bool:
        origin, size = banks[bank].origin, banks[bank].bytes
        return origin <= section.address and section.address + section.bytes <= origin + size

    for index, arena in enumerate(plan.arenas):
        section = sections[f".arena.{arena.bank}"]
        assert inside(section, arena.bank)
        assert section.bytes == arena.plan.arena_bytes
        assert elf.symbols[f"mt_arena_{index}"] == section.address
    assert inside(sections[".stack"], plan.resident_banks[STACK])
    assert sections[".stack"].address == banks[plan.resident_banks[STACK]].origin
    assert inside(sections[".context"], plan.resident_banks[CONTEXT])
    assert elf.symbols["mt_context_memory"] == sections[".context"].address
    assert sections[".context"].bytes <= plan.residents[CONTEXT]
    assert dict(firmware.sizes.arenas) == {a.bank: a.plan.arena_bytes for a in plan.arenas}


def test_the_budget_caps_the_sum_and_is_met_by_moving_together() -> None:
    """What one memory needs is enough; less is refused, with the bytes of every bank."""
    whole = load_target("cortex-m7")
    banks = MemoryBank("fast", 0x20000000, 24 * 1024, 1), MemoryBank("ram", 0x24000000, 1 << 18, 2)
    request = pipeline.Request(5, "last-13", whole, 1 << 20, 1 << 20)
    graph, _ = pipeline.training_graph(load_any(embedded.MODEL), request)
    least = pipeline.planned_sram(graph, pipeline.plan_graph(graph, request))

    def planned(budget: int) -> tuple[MemoryPlan, int]:
        tight = replace(request, target=replace(whole, memories=banks), sram_bytes=budget)
        plan = pipeline.plan_graph(graph, tight)
        pipeline.check_budget(graph, plan, tight)
        return plan, pipeline.planned_sram(graph, plan)

    plan, apart = planned(1 << 20)
    assert len(plan.arenas) == 2
    assert apart > least + 8
    assert planned(least + 8)[1] <= least + 8
    with pytest.raises(MicrotuneError, match=r"(?s)SRAM budget missed: .* bytes are the arena"):
        planned(least - 8)


@needs_compiler
@pytest.mark.chip
def test_a_board_without_an_emulator_is_not_run(tmp_path: Path) -> None:
    from microtune.measure.measure import measure

    compile_project(tmp_path / "p", "last-2", target="stm32f746")
    with pytest.raises(MicrotuneError, match="no emulator knows 'stm32f746'"):
        measure(tmp_path / "p")
