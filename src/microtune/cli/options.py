"""Options that several commands have."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from microtune.errors import MicrotuneError

Project = Annotated[
    Path, typer.Argument(metavar="DIR", help="A folder that `compile` has written.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")]


class InputKind(StrEnum):
    """Where the frame is."""

    resident = "resident"
    rows = "rows"


class BiasKind(StrEnum):
    """Format of trained biases."""

    int32 = "int32"
    int16 = "int16"


class HeadKind(StrEnum):
    """Format of the head."""

    int16 = "int16"
    float32 = "float32"


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write figures as JSON where asked."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise MicrotuneError(f"cannot write {path}: {error}") from error
