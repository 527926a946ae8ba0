"""The command `measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microtune.cli.options import JsonFile, Project, write_json
from microtune.cli.places import check_places
from microtune.report.console import console, figures_table


def measure(
    project: Project,
    data: Annotated[Path | None, typer.Option(help="Also count over real images.")] = None,
    images: Annotated[int, typer.Option(min=1, help="How many of them.")] = 8,
    target: Annotated[str | None, typer.Option(help="Another chip than compiled for.")] = None,
    optimisation: Annotated[str, typer.Option(help="-O2, -O3, -Ofast or -Os.")] = "-O3",
    layers: Annotated[bool, typer.Option("--layers", help="Instructions of each layer too.")]
    = False,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Build the firmware, run it in QEMU, and count bytes and instructions exactly."""
    from microtune.report.instructions_text import layer_report
    from microtune.train.session import measure_project

    check_places({"--json": json_file}, {"--data": data}, project)
    with console.status("building and running the firmware"):
        figures = measure_project(project, data, images, target, optimisation).to_json()
    console.print(figures_table(f"{project}", figures))
    if layers:
        with console.status("counting layer by layer"):
            tables, figures["calls"] = layer_report(project, target, optimisation)
        console.print(*tables)
    write_json(json_file, figures)
