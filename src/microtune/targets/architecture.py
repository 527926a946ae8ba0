"""Families of cores: whose compiler builds for them and whose emulator runs them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """Names of programs, and of the Debian packages that they come in."""

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
        """The disassembler that comes with it."""
        return f"{self.tool_prefix}objdump"


ARM = Architecture(
    "arm", "arm-none-eabi-", "gcc-arm-none-eabi", "qemu-system-arm", "qemu-system-arm"
)
RISCV = Architecture(
    "riscv", "riscv64-unknown-elf-", "gcc-riscv64-unknown-elf",
    "qemu-system-riscv32", "qemu-system-misc",
)  # fmt: skip
ARCHITECTURES = {architecture.name: architecture for architecture in (ARM, RISCV)}
