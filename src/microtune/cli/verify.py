"""The command `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import microtune as mt
from microtune.api.verifying import DEFAULT_SAMPLES
from microtune.cli.bars import Bars, say
from microtune.cli.options import JsonFile
from microtune.report.console import console
from microtune.report.json_file import check_json_place, write_json


def verify(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite file.")],
    data: Annotated[Path | None, typer.Option(help="Images to run; random codes without it.")]
    = None,
    samples: Annotated[int, typer.Option(metavar="N", min=1, help="Run so many samples.")]
    = DEFAULT_SAMPLES,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Compare every layer of an imported model with the format's own runtime (LiteRT), bit by bit.
    Exit code 1 if a layer differs."""
    from microtune.report.parity_text import render

    check_json_place(json_file)
    with Bars() as bars:
        found = mt.verify(model, data=data, samples=samples, progress=bars, note=say)
    console.print(render(found))
    write_json(json_file, found.to_json())
    if found.first_difference is not None:
        raise typer.Exit(1)
