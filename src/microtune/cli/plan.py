"""The command `plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    from microtune.report.memory_map import load_memory_map
    from microtune.report.memory_picture import save_memory_picture
    from microtune.report.memory_text import render_memory

    memory = load_memory_map(project)
    console.print(render_memory(memory, colour=in_colour(), width=map_width()), soft_wrap=True)
    pictures = output or [project / "memory.svg", project / "memory.png"]
    save_memory_picture(memory, pictures)
    console.print(f"written: {', '.join(map(str, pictures))}")
