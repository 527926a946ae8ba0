"""The command `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import microtune as mt
from microtune.cli.options import JsonFile
from microtune.report.console import console
from microtune.report.json_file import check_json_place, write_json


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model of any known format.")],
    json_file: JsonFile = None,
) -> None:
    """Layers, shapes, MACs, parameters and quantisation of a model."""
    from microtune.report.inspect_text import render

    check_json_place(json_file)
    figures = mt.inspect(model)
    console.print(render(figures))
    write_json(json_file, figures.to_json())
