"""The description of one target, loaded from `data/NAME.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtune.errors import MicrotuneError
from microtune.targets.architecture import ARCHITECTURES, Architecture

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class MemoryBank:
    """One contiguous memory: address of its first byte and its length, both in bytes.

    `speed` is the relative cost of an access, 1 for the fastest; only its order matters.
    """

    name: str
    origin: int
    bytes: int
    speed: float = 1.0

    @property
    def region(self) -> str:
        """Its name in the linker script."""
        return self.name.upper()


@dataclass(frozen=True)
class Target:
    """A chip as the compiler, the linker and the emulator need to know it.

    `gcc_flags` are for the architecture's GCC, `zig_flags` for `python -m ziglang cc`. `memories`
    are the banks the product may use, fastest first; `flash` holds its code. The harness banks
    belong to the test harness alone and lie apart from the product's; a board that no emulator
    knows (`machine` is None) has none, and a harness linked for it shares the product's memories.
    `harness_vectors` is where a core whose flash lies elsewhere finds its first two vectors.
    """

    name: str
    architecture: Architecture
    core: str
    isa: tuple[str, ...]
    gcc_flags: tuple[str, ...]
    zig_flags: tuple[str, ...]
    memories: tuple[MemoryBank, ...]
    flash: MemoryBank
    harness_flash: MemoryBank | None
    harness_ram: MemoryBank | None
    harness_vectors: MemoryBank | None
    machine: str | None
    emulator_arguments: tuple[str, ...]
    notes: str

    @property
    def ram(self) -> MemoryBank:
        """The fastest bank, in a one-bank target the only one."""
        return self.memories[0]

    @property
    def ram_bytes(self) -> int:
        """Bytes of all banks."""
        return sum(bank.bytes for bank in self.memories)


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
    harness, emulator = data.get("harness", {}), data.get("emulator", {})
    return Target(
        name=data["name"],
        architecture=ARCHITECTURES[data["architecture"]],
        core=data["core"],
        isa=tuple(data["isa"]),
        gcc_flags=tuple(data["gcc"]["cpu_flags"]),
        zig_flags=tuple(data["zig"]["cpu_flags"]),
        memories=tuple(_bank(bank["name"], bank) for bank in data["memories"]),
        flash=_bank("flash", data["flash"]),
        harness_flash=_bank("harness_flash", harness["flash"]) if harness else None,
        harness_ram=_bank("harness_ram", harness["ram"]) if harness else None,
        harness_vectors=(
            _bank("harness_vectors", harness["vectors"]) if "vectors" in harness else None
        ),
        machine=emulator.get("machine"),
        emulator_arguments=tuple(emulator.get("arguments", ())),
        notes=data["notes"],
    )


def _bank(name: str, data: dict[str, Any]) -> MemoryBank:
    return MemoryBank(name, int(data["origin"]), int(data["bytes"]), float(data.get("speed", 1)))
