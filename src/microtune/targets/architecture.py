"""Processor architectures: the compiler that builds for them and the emulator that runs them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """The names of an architecture's programs, and of the Debian packages that have them."""

    name: str
    tool_prefix: str
    compiler_package: str
    emulator: str
    emulator_package: str

    @property
    def gcc(self) -> str:
        """The name of the cross compiler for this architecture."""
        return f"{self.tool_prefix}gcc"

    @property
    def objdump(self) -> str:
        """The name of the disassembler for this architecture."""
        return f"{self.tool_prefix}objdump"


ARM = Architecture(
    "arm", "arm-none-eabi-", "gcc-arm-none-eabi", "qemu-system-arm", "qemu-system-arm"
)
RISCV = Architecture(
    "riscv", "riscv64-unknown-elf-", "gcc-riscv64-unknown-elf",
    "qemu-system-riscv32", "qemu-system-misc",
)  # fmt: skip
ARCHITECTURES = {architecture.name: architecture for architecture in (ARM, RISCV)}
