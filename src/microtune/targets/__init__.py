"""Targets as data: core, instruction set, memories, compiler flags, emulator."""

from microtune.targets.port import DEFAULT_STACK_BYTES, render_linker_script, write_port
from microtune.targets.target import MemoryBank, Target, load_target, target_names

__all__ = [
    "DEFAULT_STACK_BYTES",
    "MemoryBank",
    "Target",
    "load_target",
    "render_linker_script",
    "target_names",
    "write_port",
]
