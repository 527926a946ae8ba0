"""The description of one target, loaded from `data/NAME.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtune.errors import MicrotuneError

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class MemoryBank:
    """One contiguous memory: address of its first byte and its length, both in bytes."""

    name: str
    origin: int
    bytes: int


@dataclass(frozen=True)
class Target:
    """A chip as the compiler, the linker and the emulator need to know it.

    `gcc_flags` are for arm-none-eabi-gcc, `zig_flags` for `python -m ziglang cc`. `memories` are
    the banks the product may use (the first holds stack and static data); `flash` holds its code.
    The harness banks belong to the test harness alone and lie apart from the product's.
    """

    name: str
    core: str
    isa: tuple[str, ...]
    gcc_flags: tuple[str, ...]
    zig_flags: tuple[str, ...]
    memories: tuple[MemoryBank, ...]
    flash: MemoryBank
    harness_flash: MemoryBank
    harness_ram: MemoryBank
    machine: str
    emulator_arguments: tuple[str, ...]
    notes: str

    @property
    def ram(self) -> MemoryBank:
        """The bank with stack, static data and (in a one-bank target) the arena."""
        return self.memories[0]


def target_names() -> tuple[str, ...]:
    """Names of all known targets, sorted."""
    return tuple(sorted(path.stem for path in _DATA.glob("*.toml")))


def load_target(name: str) -> Target:
    """The target called `name` (case-insensitive); an unknown one is a MicrotuneError."""
    key = name.strip().lower()
    if key not in target_names():
        raise MicrotuneError(f"unknown target '{name}'. Known targets: {', '.join(target_names())}")
    return _parse(tomllib.loads((_DATA / f"{key}.toml").read_text(encoding="utf-8")))


def _parse(data: dict[str, Any]) -> Target:
    return Target(
        name=data["name"],
        core=data["core"],
        isa=tuple(data["isa"]),
        gcc_flags=tuple(data["gcc"]["cpu_flags"]),
        zig_flags=tuple(data["zig"]["cpu_flags"]),
        memories=tuple(_bank(bank["name"], bank) for bank in data["memories"]),
        flash=_bank("flash", data["flash"]),
        harness_flash=_bank("harness_flash", data["harness"]["flash"]),
        harness_ram=_bank("harness_ram", data["harness"]["ram"]),
        machine=data["emulator"]["machine"],
        emulator_arguments=tuple(data["emulator"]["arguments"]),
        notes=data["notes"],
    )


def _bank(name: str, data: dict[str, Any]) -> MemoryBank:
    return MemoryBank(name, int(data["origin"]), int(data["bytes"]))
