"""The part of a firmware that knows the chip: C sources and the linker script."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

from microtune.errors import MicrotuneError
from microtune.targets.target import MemoryBank, Target

PORT_DIRECTORY = Path(__file__).parent.parent / "runtime" / "port"
DEFAULT_STACK_BYTES = 2048

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
# Stack pointer and reset handler (a Thumb address) for a core that does not start in its flash.
FIRST_VECTORS = (
    "\n  .harness.vectors : { LONG(_stack_top) LONG(Reset_Handler | 1) } > HARNESS_VECTORS"
)


@dataclass(frozen=True)
class Placement:
    """The names of the banks that hold stack (with static data), context, arenas and replay memory.

    `replay` is None if there is no replay memory.
    """

    stack: str
    context: str
    arenas: tuple[str, ...]
    replay: str | None = None


def render_linker_script(
    target: Target,
    *,
    stack_bytes: int = DEFAULT_STACK_BYTES,
    ram_bytes: int | None = None,
    flash_bytes: int | None = None,
    placement: Placement | None = None,
) -> str:
    """The linker script for `target`; smaller budgets than the chip's may be enforced.

    `stack_bytes` are reserved at the bottom of their bank, so that an overflow faults. `ram_bytes`
    caps the sum over all banks. Without a `placement` everything goes to the fastest bank. A budget
    above what the target has, or a bank that it has not, is a MicrotuneError.
    """
    ram = _budget("RAM", ram_bytes, target.ram_bytes, target.name)
    flash = replace(
        target.flash, bytes=_budget("flash", flash_bytes, target.flash.bytes, target.name)
    )
    banks = {bank.name: replace(bank, bytes=min(bank.bytes, ram)) for bank in target.memories}
    chosen = placement or Placement(target.ram.name, target.ram.name, ())
    replay = chosen.replay or chosen.context
    for name in (chosen.stack, chosen.context, *chosen.arenas, replay):
        if name not in banks:
            raise MicrotuneError(f"target '{target.name}' has no memory called '{name}'")
    arenas = _arena_inputs(chosen, placement is None)
    harness = [bank for bank in (target.harness_flash, target.harness_ram) if bank is not None]
    template = Template((PORT_DIRECTORY / "linker.ld.in").read_text(encoding="utf-8"))
    return template.substitute(
        TARGET=target.name,
        REGIONS=_regions(target, flash, list(banks.values())),
        FIRST_VECTORS=FIRST_VECTORS if target.harness_vectors is not None else "",
        STACK_REGION=banks[chosen.stack].region,
        CONTEXT_REGION=banks[chosen.context].region,
        REPLAY_REGION=banks[replay].region,
        STACK_BYTES=stack_bytes,
        ARENAS="\n".join(
            f"  .arena.{name} (NOLOAD) : {{ . = ALIGN(8); {inputs} . = ALIGN(8); }}"
            f" > {banks[name].region}"
            for name, inputs in arenas.items()
        ),
        ARENA_BYTES=" + ".join(f"SIZEOF(.arena.{name})" for name in arenas),
        SRAM_BYTES=ram,
        FENCE=_fence([flash, *harness[:1]], [*banks.values(), *harness[1:]]),
        HARNESS_STACK_TOP="ORIGIN(HARNESS_RAM) + LENGTH(HARNESS_RAM)" if harness else "_stack_top",
    )


def _arena_inputs(placement: Placement, everything: bool) -> dict[str, str]:
    """Bank -> the input sections of the arenas in it."""
    if everything:
        return {placement.stack: "*(.bss.mt_arena_*)"}
    inputs: dict[str, str] = {}
    for index, name in enumerate(placement.arenas):
        inputs[name] = f"{inputs.get(name, '')} *(.bss.mt_arena_{index})".strip()
    return inputs


def _regions(target: Target, flash: MemoryBank, banks: Sequence[MemoryBank]) -> str:
    """The MEMORY lines of a linker script.

    A harness without memories of its own shares the product's.
    """
    flash_banks, ram_banks, aliases = [flash], list(banks), ""
    if target.harness_flash is not None and target.harness_ram is not None:
        flash_banks.append(target.harness_flash)
        ram_banks.append(target.harness_ram)
        if target.harness_vectors is not None:
            flash_banks.append(target.harness_vectors)
    else:
        largest = max(banks, key=lambda bank: bank.bytes).region
        aliases = f'\nREGION_ALIAS("HARNESS_FLASH", FLASH)\nREGION_ALIAS("HARNESS_RAM", {largest})'
    lines = [
        f"  {bank.region} ({access}) : ORIGIN = 0x{bank.origin:08x}, LENGTH = {bank.bytes}"
        for access, group in (("rx", flash_banks), ("rw", ram_banks))
        for bank in group
    ]
    return "MEMORY\n{\n" + "\n".join(lines) + "\n}" + aliases


def _fence(read_only: Sequence[MemoryBank], writable: Sequence[MemoryBank]) -> str:
    """LONGs (origin, bytes, writable) of the ranges that may be reached.

    A range of its own for every bank. Neighbours are fenced as one where some bank is not a range
    that the Armv7-M unit knows: base a multiple of a power of two, length whole eighths of it.
    """
    ranges: list[tuple[int, int, int]] = []
    for flag, banks in ((0, read_only), (1, writable)):
        for group in _neighbours(banks):
            spans = [(bank.origin, bank.bytes) for bank in group]
            if not all(_is_region(*span) for span in spans):
                spans = [(spans[0][0], sum(size for _, size in spans))]
            ranges += [(origin, size, flag) for origin, size in spans]
    return "\n".join(
        f"    LONG(0x{origin:08x}) LONG({size}) LONG({flag})" for origin, size, flag in ranges
    )


def _neighbours(banks: Sequence[MemoryBank]) -> list[list[MemoryBank]]:
    """The banks by address, with adjacent ones grouped together."""
    groups: list[list[MemoryBank]] = []
    for bank in sorted(banks, key=lambda bank: bank.origin):
        if groups and groups[-1][-1].origin + groups[-1][-1].bytes == bank.origin:
            groups[-1].append(bank)
        else:
            groups.append([bank])
    return groups


def _is_region(origin: int, size: int) -> bool:
    power = 1 << (size - 1).bit_length()
    return origin % power == 0 and size % max(power // 8, 1) == 0


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
    directory: Path, target: Target, *, stack_bytes: int = DEFAULT_STACK_BYTES,
    placement: Placement | None = None,
) -> list[Path]:  # fmt: skip
    """Write the C sources and `linker.ld` into a project's `port/`; returns the new files."""
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for source in sorted([*PORT_DIRECTORY.glob("*.c"), *PORT_DIRECTORY.glob("*.h")]):
        shutil.copyfile(source, directory / source.name)
        written.append(directory / source.name)
    script = directory / "linker.ld"
    text = render_linker_script(target, stack_bytes=stack_bytes, placement=placement)
    script.write_text(text, encoding="utf-8")
    return [*written, script]
