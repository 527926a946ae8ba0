"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Project = Annotated[
    Path, typer.Argument(metavar="DIR", help="A folder that `compile` has written.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")]
Target = Annotated[str, typer.Option(help="Chip, for instance cortex-m7, or a TOML file of one.")]
Load = Annotated[
    Path | None, typer.Option(help="Go on from what `train --save` or a device's mt_save wrote.")
]
Predictions = Annotated[
    bool, typer.Option("--predictions", help="Put the prediction for every image into --json.")
]
Confusion = Annotated[
    Path | None, typer.Option(metavar="NAME.png", show_default="DIR/confusion.png",
                              help="Draw the confusion matrix here.")
]  # fmt: skip


class OnBackEnd(StrEnum):
    """Where a network is executed."""

    host = "host"
    qemu = "qemu"
    numpy = "numpy"


class InputKind(StrEnum):
    """How the network gets its input frame."""

    resident = "resident"
    rows = "rows"


class BiasKind(StrEnum):
    """The number format of trained biases."""

    int32 = "int32"
    int16 = "int16"


class OptimizerKind(StrEnum):
    """The optimiser: what becomes of a gradient."""

    sgd = "sgd"
    momentum = "momentum"


class HeadKind(StrEnum):
    """The number format of the head's parameters."""

    int16 = "int16"
    float32 = "float32"
