"""The description of a chip for compiler, linker and emulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from microtune.targets.architecture import Architecture


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
        """The name of the bank in the linker script."""
        return self.name.upper()

    @property
    def end(self) -> int:
        """The address after the bank's last byte."""
        return self.origin + self.bytes

    def to_json(self) -> dict[str, Any]:
        """The bank as a target file describes it."""
        return {"origin": self.origin, "bytes": self.bytes}


@dataclass(frozen=True, repr=False)
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
        """The fastest bank; the only one if the target has a single bank."""
        return self.memories[0]

    @property
    def ram_bytes(self) -> int:
        """Bytes of all memories of the target together."""
        return sum(bank.bytes for bank in self.memories)

    def to_json(self) -> dict[str, Any]:
        """All fields, as in a target file (docs/targets.md) and in plan.json."""
        harness = {
            name: bank.to_json()
            for name, bank in (
                ("flash", self.harness_flash), ("ram", self.harness_ram),
                ("vectors", self.harness_vectors),
            ) if bank is not None
        }  # fmt: skip
        emulator = {"machine": self.machine, "arguments": list(self.emulator_arguments)}
        return {
            "name": self.name, "architecture": self.architecture.name, "core": self.core,
            "isa": list(self.isa), "notes": self.notes,
            "gcc": {"cpu_flags": list(self.gcc_flags)}, "zig": {"cpu_flags": list(self.zig_flags)},
            "flash": self.flash.to_json(),
            "memories": [
                {"name": bank.name, **bank.to_json(), "speed": bank.speed}
                for bank in self.memories
            ],
            **({"harness": harness} if harness else {}),
            **({"emulator": emulator} if self.machine is not None else {}),
        }  # fmt: skip

    def __repr__(self) -> str:
        banks = ", ".join(f"{bank.name} {bank.bytes:,}" for bank in self.memories)
        return (
            f"Target({self.name!r}: {self.core}, flash {self.flash.bytes:,} bytes, SRAM "
            f"{self.ram_bytes:,} bytes ({banks}))"
        )
