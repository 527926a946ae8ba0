"""The command `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[Path, typer.Option("-o", metavar="DIR", help="Where to put the results.")]
    = Path("microtune-demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 3,
) -> None:  # fmt: skip
    """The whole way on the embedded model: an emulated Cortex-M7 learns new garments."""
    from microtune.demo import run_demo

    run_demo(output, epochs)
