"""The command `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import microtune as mt
from microtune.cli.bars import Bars, say
from microtune.cli.options import JsonFile
from microtune.report.console import console
from microtune.report.json_file import check_json_place, write_json


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model of any known format.")],
    classes: Annotated[
        int, typer.Option(metavar="N", min=0, help="Also plan what training N new classes would "
                          "take; 0: leave that out.")
    ] = 10,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Layers, shapes, MACs, parameters and quantisation of a model, and what training it would
    take."""
    from microtune.report.inspect_text import next_command, render

    check_json_place(json_file)
    with Bars() as bars:
        figures = mt.inspect(model, classes=classes or None, progress=bars, note=say)
    console.print(render(figures))
    if figures.plans:
        console.print(f"Go on with: {next_command(model, classes)}", soft_wrap=True, markup=False)
    write_json(json_file, figures.to_json())
