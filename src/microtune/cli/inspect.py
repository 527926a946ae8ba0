"""The command `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microtune.cli.options import JsonFile, write_json
from microtune.report.console import console


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .mt or .pkl model.")],
    json_file: JsonFile = None,
) -> None:
    """Layers, shapes, MACs, parameters and quantisation of a model."""
    from microtune.importers import load_any
    from microtune.report.inspect import inspect_model, render

    figures = inspect_model(load_any(model))
    console.print(render(figures))
    write_json(json_file, figures)
