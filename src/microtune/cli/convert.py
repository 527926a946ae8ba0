"""The command `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import microtune as mt
from microtune.report.console import console


def convert(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model of any known format.")],
    output: Annotated[Path, typer.Option("-o", metavar="NAME.mt", help="The file to write.")],
) -> None:
    """Import MODEL and write it as a native .mt file."""
    loaded = mt.load(model)
    mt.save(loaded, output)
    console.print(f"{output}: {loaded.graph.name}, sha256 {loaded.sha256()}")
