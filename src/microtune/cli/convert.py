"""The command `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microtune.errors import MicrotuneError
from microtune.report.console import console


def convert(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model of any known format.")],
    output: Annotated[Path, typer.Option("-o", metavar="NAME.mt", help="The file to write.")],
) -> None:
    """Import MODEL and write it as a native .mt file."""
    from microtune.importers import load_any
    from microtune.ir.modelfile import save_model

    if output.suffix != ".mt":
        raise MicrotuneError(f"{output}: a native model file is called NAME.mt")
    loaded = load_any(model)
    save_model(loaded, output)
    console.print(f"{output}: {loaded.graph.name}, sha256 {loaded.sha256()}")
