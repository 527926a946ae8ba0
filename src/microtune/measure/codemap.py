"""The code of a firmware by address: functions, instructions, and the calls of the model."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from microtune.errors import MicrotuneError
from microtune.tools.compilers import find_program, run_tool
from microtune.tools.elf import Function, read_elf

MODEL_FILE = "microtune_model.c"
_LINE = re.compile(r"^\s*([0-9a-f]+):\t([a-z0-9.]+)\s*(.*)$")
_TARGET = re.compile(r"<([^>+]+)[^>]*>")
_CALLS = ("bl", "blx")
_KERNEL = "mt_"


@dataclass(frozen=True)
class Instruction:
    """One instruction as the disassembler prints it; `next` is the address after it."""

    address: int
    op: str
    operands: str
    next: int

    @property
    def stem(self) -> str:
        """The mnemonic without width and type suffix: `ldr.w` -> `ldr`."""
        return self.op.partition(".")[0]


@dataclass(frozen=True)
class CallSite:
    """A call of a kernel in the generated code; the name is "" for a call through a register."""

    instruction: Instruction
    kernel: str


@dataclass(frozen=True)
class CodeMap:
    """The functions, sorted by address, and the instructions of a firmware."""

    functions: tuple[Function, ...]
    instructions: Mapping[int, Instruction]
    symbols: Mapping[str, int]

    @cached_property
    def _starts(self) -> list[int]:
        return [function.address for function in self.functions]

    def function_at(self, address: int) -> str:
        """The function that has the instruction at `address`."""
        index = bisect_right(self._starts, address) - 1
        return self.functions[index].name if index >= 0 else "?"

    def by_function(self, counts: Mapping[int, int]) -> dict[str, int]:
        """The sum of counts by address over each function, the largest first."""
        sums: dict[str, int] = {}
        for address, count in counts.items():
            name = self.function_at(address)
            sums[name] = sums.get(name, 0) + count
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    def model_calls(self) -> dict[int, CallSite]:
        """The calls from the generated model file to kernels, by address."""
        own = [f for f in self.functions if f.file.endswith(MODEL_FILE)]
        sites: dict[int, CallSite] = {}
        for instruction in _within(own, self.instructions):
            if instruction.stem not in _CALLS:
                continue
            found = _TARGET.search(instruction.operands)
            kernel = found[1] if found else ""
            if kernel.startswith(_KERNEL) or not kernel:
                sites[instruction.address] = CallSite(instruction, kernel)
        return sites

    def function(self, name: str) -> Function | None:
        """The function of this name, None if the firmware has none."""
        return next((f for f in self.functions if f.name == name), None)


def _within(
    functions: Iterable[Function], instructions: Mapping[int, Instruction]
) -> Iterable[Instruction]:
    for function in functions:
        for address in range(function.address, function.address + function.bytes, 2):
            if address in instructions:
                yield instructions[address]


def read_code(elf: Path) -> CodeMap:
    """Disassemble a firmware. Raises MicrotuneError if the tool is missing."""
    objdump = find_program(
        "arm-none-eabi-objdump", "It comes with: apt-get install gcc-arm-none-eabi"
    )
    text = run_tool([*objdump.command, "-d", "--no-show-raw-insn", str(elf)], "disassembling")
    lines = [match for line in text.splitlines() if (match := _LINE.match(line))]
    if not lines:
        raise MicrotuneError(f"{elf}: holds no instructions. Build it again.")
    addresses = [int(line[1], 16) for line in lines]
    ends = [*addresses[1:], addresses[-1] + 4]
    instructions = {
        address: Instruction(address, line[2], line[3].partition("@")[0].strip(), end)
        for line, address, end in zip(lines, addresses, ends, strict=True)
    }
    file = read_elf(elf)
    functions = tuple(sorted(file.functions, key=lambda f: (f.address, f.name)))
    return CodeMap(functions, instructions, file.symbols)


def kernel_text_bytes(elf: Path) -> int:
    """Bytes of code without the generated file: kernels, runtime core, libgcc, start-up."""
    file = read_elf(elf)
    text = sum(section.bytes for section in file.sections if section.name == ".text")
    own = sum(f.bytes for f in file.functions if f.file.endswith(MODEL_FILE))
    return text - own
