"""Targets as data: core, instruction set, memories, compiler flags, emulator."""

from microtune.targets.port import (
    COMPILE_FLAGS,
    DEFAULT_STACK_BYTES,
    LINK_FLAGS,
    render_linker_script,
    write_port,
)
from microtune.targets.target import MemoryBank, Target, load_target, target_names

__all__ = [
    "COMPILE_FLAGS",
    "DEFAULT_STACK_BYTES",
    "LINK_FLAGS",
    "MemoryBank",
    "Target",
    "load_target",
    "render_linker_script",
    "target_names",
    "write_port",
]
