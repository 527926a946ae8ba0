"""The part of a firmware that knows the chip: C sources and the linker script."""

import shutil
from pathlib import Path
from string import Template

from microtune.errors import MicrotuneError
from microtune.targets.target import Target

PORT_DIRECTORY = Path(__file__).parent.parent / "runtime" / "port"
DEFAULT_STACK_BYTES = 8192

# Contraction would give a core with FMA other bits than one without.
COMPILE_FLAGS = (
    "-std=c99",
    "-ffp-contract=off",
    "-fno-common",
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
)
LINK_FLAGS = ("-nostdlib", "-Wl,--gc-sections", "-Wl,-e,Reset_Handler", "-Wl,--build-id=none")


def render_linker_script(
    target: Target,
    *,
    stack_bytes: int = DEFAULT_STACK_BYTES,
    ram_bytes: int | None = None,
    flash_bytes: int | None = None,
) -> str:
    """The linker script for `target`; smaller budgets than the chip's may be enforced.

    `stack_bytes` are reserved at the bottom of RAM, so that an overflow faults. A budget above
    what the target has is a MicrotuneError.
    """
    ram = _budget("RAM", ram_bytes, target.ram.bytes, target.name)
    flash = _budget("flash", flash_bytes, target.flash.bytes, target.name)
    template = Template((PORT_DIRECTORY / "linker.ld.in").read_text(encoding="utf-8"))
    return template.substitute(
        TARGET=target.name,
        FLASH_ORIGIN=f"0x{target.flash.origin:08x}",
        FLASH_BYTES=flash,
        RAM_ORIGIN=f"0x{target.ram.origin:08x}",
        RAM_BYTES=ram,
        STACK_BYTES=stack_bytes,
        HARNESS_FLASH_ORIGIN=f"0x{target.harness_flash.origin:08x}",
        HARNESS_FLASH_BYTES=target.harness_flash.bytes,
        HARNESS_RAM_ORIGIN=f"0x{target.harness_ram.origin:08x}",
        HARNESS_RAM_BYTES=target.harness_ram.bytes,
    )


def _budget(what: str, wanted: int | None, available: int, target: str) -> int:
    if wanted is None:
        return available
    if not 0 < wanted <= available:
        raise MicrotuneError(
            f"{what} budget of {wanted} bytes: target '{target}' has {available} bytes. "
            "Give a smaller budget or another target."
        )
    return wanted


def write_port(
    directory: Path, target: Target, *, stack_bytes: int = DEFAULT_STACK_BYTES
) -> list[Path]:
    """Fill `directory` (a project's `port/`) with the C sources and `linker.ld`; the new files."""
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for source in sorted([*PORT_DIRECTORY.glob("*.c"), *PORT_DIRECTORY.glob("*.h")]):
        shutil.copyfile(source, directory / source.name)
        written.append(directory / source.name)
    script = directory / "linker.ld"
    script.write_text(render_linker_script(target, stack_bytes=stack_bytes), encoding="utf-8")
    return [*written, script]
