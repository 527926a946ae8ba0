"""The command `plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import microtune as mt
from microtune.cli.options import Project
from microtune.report.console import console, in_colour, map_width


def plan_command(
    project: Project,
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", metavar="FILE", help="Picture to write, .svg or .png; may be repeated "
                     "(default: DIR/memory.svg and DIR/memory.png).")
    ] = None,
) -> None:  # fmt: skip
    """Show what lives where and when: the memory map of a compiled project."""
    from microtune.report.memory_text import render_memory

    memory = mt.open(project).plan()
    console.print(render_memory(memory.map, colour=in_colour(), width=map_width()), soft_wrap=True)
    pictures = memory.save(*(output or ()))
    console.print(f"written: {', '.join(map(str, pictures))}")
