"""The command `measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import microtune as mt
from microtune.api.places import check_places
from microtune.cli.bars import say
from microtune.cli.options import JsonFile, Project
from microtune.report.console import console, figures_table
from microtune.report.json_file import check_json_place, write_json


def measure(
    project: Project,
    data: Annotated[Path | None, typer.Option(help="Also count over real images.")] = None,
    images: Annotated[int, typer.Option(min=1, help="How many of them.")] = 8,
    target: Annotated[
        str | None, typer.Option(help="Another chip, or TOML file, than compiled for.")
    ] = None,
    optimisation: Annotated[str, typer.Option(help="-O2, -O3, -Ofast or -Os.")] = "-O3",
    layers: Annotated[bool, typer.Option("--layers", help="Instructions of each layer too.")]
    = False,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Build the firmware, run it in QEMU, and count bytes and instructions exactly."""
    check_json_place(json_file)
    check_places({"--json": json_file}, {"--data": data}, project)
    opened = mt.open(project)
    with console.status("building and running the firmware"):
        measured = opened.measure(
            data, images=images, target=target, optimisation=optimisation, note=say
        )
    figures = measured.to_json()
    console.print(figures_table(f"{project}", figures))
    if layers:
        with console.status("counting layer by layer"):
            counts = opened.measure_layers(target=target, optimisation=optimisation)
        figures["calls"] = counts.to_json()
        console.print(*counts.tables())
    write_json(json_file, figures)
