"""Targets are data: they load, they are consistent, and unknown ones are refused clearly."""

from itertools import pairwise
from pathlib import Path

import pytest

from microtune.errors import MicrotuneError
from microtune.run.emulator import find_emulator
from microtune.targets import (
    ARM,
    RISCV,
    Architecture,
    load_target,
    render_linker_script,
    target_names,
    write_port,
)
from microtune.tools.toolchain import find_cross_gcc


def test_the_cores_and_boards_exist() -> None:
    assert {"stm32h743", "stm32f746", "cortex-m7-banks"} <= set(target_names())
    assert {"cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33"} <= set(target_names())
    assert {"cortex-m0plus", "cortex-m55", "riscv32imc"} <= set(target_names())


@pytest.mark.parametrize("name", target_names())
def test_banks_are_disjoint_and_fit_the_promise(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.ram_bytes >= 256 * 1024
    assert target.flash.bytes >= 1024 * 1024
    assert [bank.speed for bank in target.memories] == sorted(b.speed for b in target.memories)
    assert target.memories[0].speed == 1
    assert len({bank.region for bank in target.memories}) == len(target.memories)
    harness = [bank for bank in (target.harness_flash, target.harness_ram) if bank is not None]
    assert len(harness) == (0 if target.machine is None else 2)
    banks = sorted((*target.memories, target.flash, *harness), key=lambda bank: bank.origin)
    for below, above in pairwise(banks):
        end = below.origin + below.bytes
        # Emulated: a gap, so that a write just past a bank cannot land in the next one.
        assert end < above.origin or (target.machine is None and end == above.origin)


def test_names_are_case_insensitive_and_unknown_ones_list_the_known() -> None:
    assert load_target("Cortex-M7") == load_target("cortex-m7")
    with pytest.raises(MicrotuneError, match=r"'cortex-m99'.*cortex-m3, .*cortex-m7"):
        load_target("cortex-m99")


@pytest.mark.parametrize(("architecture", "compiler", "emulator"), [
    (ARM, "gcc-arm-none-eabi", "qemu-system-arm"),
    (RISCV, "gcc-riscv64-unknown-elf", "qemu-system-misc"),
])  # fmt: skip
def test_a_missing_program_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    architecture: Architecture, compiler: str, emulator: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("PATH", str(tmp_path))
    for find, package in ((find_cross_gcc, compiler), (find_emulator, emulator)):
        with pytest.raises(MicrotuneError, match=rf"not found.* apt-get install .*{package}$"):
            find(architecture)


def test_budgets_beyond_the_chip_are_refused() -> None:
    target = load_target("cortex-m7")
    assert "LENGTH = 131072" in render_linker_script(target, ram_bytes=128 * 1024)
    with pytest.raises(MicrotuneError, match="RAM budget of 300000 bytes"):
        render_linker_script(target, ram_bytes=300_000)
    with pytest.raises(MicrotuneError, match="flash budget of 0 bytes"):
        render_linker_script(target, flash_bytes=0)


def test_port_is_complete_and_names_its_target(tmp_path: Path) -> None:
    written = write_port(tmp_path / "port", load_target("cortex-m33"), stack_bytes=4096)
    assert {path.name for path in written} >= {
        "startup_arm.c", "startup_riscv.c", "harness.c", "linker.ld",
    }  # fmt: skip
    script = (tmp_path / "port" / "linker.ld").read_text(encoding="utf-8")
    assert "cortex-m33" in script
    assert ". = . + 4096;" in script
    assert "${" not in script
