"""Targets as data: core, instruction set, memories, compiler flags, emulator."""

from microtune.targets.architecture import ARM, RISCV, Architecture
from microtune.targets.description import load_target, parse_target, target_names
from microtune.targets.port import (
    COMPILE_FLAGS,
    DEFAULT_STACK_BYTES,
    LINK_FLAGS,
    Placement,
    render_linker_script,
    write_port,
)
from microtune.targets.target import MemoryBank, Target

__all__ = [
    "ARM",
    "COMPILE_FLAGS",
    "DEFAULT_STACK_BYTES",
    "LINK_FLAGS",
    "RISCV",
    "Architecture",
    "MemoryBank",
    "Placement",
    "Target",
    "load_target",
    "parse_target",
    "render_linker_script",
    "target_names",
    "write_port",
]
