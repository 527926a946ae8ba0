"""The command `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import microtune as mt
from microtune.api.places import check_places
from microtune.cli.bars import Bars, say
from microtune.cli.options import JsonFile, Load, OnBackEnd, Project
from microtune.cli.regression import predict_values
from microtune.report.console import console
from microtune.report.json_file import check_json_place, write_json
from microtune.report.outcome_text import predictions_table

# Classes of each image that are shown.
_TOP = 3


def predict(
    project: Project,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders "
                                                 "of them; .npy files of plain arrays.")],
    load: Load = None,
    top: Annotated[int | None, typer.Option(min=1, show_default=str(_TOP), help="Show so many "
                                            "classes of each image.")] = None,
    on: Annotated[OnBackEnd, typer.Option(help="Where to run; the bits are the same.")]
    = OnBackEnd.host,
    dump: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the bytes that a camera "
                    "driver must deliver for these images: int8 frames, one behind the other.")]
    = None,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Say what is on each IMAGE: classes with probabilities, or the values of a regression."""
    check_json_place(json_file)
    check_places({"--dump": dump, "--json": json_file}, {"IMAGE": images, "--load": load}, project)
    opened = mt.open(project)
    if opened.learns_values:
        if top is not None:
            raise mt.MicrotuneError("--top shows classes; this project learns values, not classes")
        values = predict_values(opened, images, json_file, load=load, on=on.value, dump=dump)
        _print_dump(dump, values.frames)
        return
    with Bars() as bars:
        found = opened.predict(images, load=load, on=on.value, dump=dump, progress=bars, note=say)
    _print_dump(dump, found.frames)
    console.print(predictions_table(found.images, found.classes, top or _TOP))
    write_json(json_file, found.to_json())


def _print_dump(dump: Path | None, frames: np.ndarray) -> None:
    if dump is not None:
        count, *shape = frames.shape
        console.print(
            f"{dump}: {count} frame{'s' if count > 1 else ''} of {frames[0].nbytes:,} bytes, "
            f"int8, rows x columns x channels {' x '.join(map(str, shape))}", markup=False,
        )  # fmt: skip
