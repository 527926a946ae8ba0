"""The command `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microtune.cli.options import JsonFile, Load, OnBackEnd, Project, write_json
from microtune.cli.outcome import UNTAUGHT
from microtune.cli.places import check_places
from microtune.report.console import console, errors, progress
from microtune.report.outcome_text import predictions_table

if TYPE_CHECKING:
    from microtune.train.evaluation import Prediction


def predict(
    project: Project,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders "
                                                 "of them.")],
    load: Load = None,
    top: Annotated[int, typer.Option(min=1, help="Show so many classes of each image.")] = 3,
    on: Annotated[OnBackEnd, typer.Option(help="Where to run; the bits are the same.")]
    = OnBackEnd.host,
    dump: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the bytes that a camera "
                    "driver must deliver for these images: int8 frames, one behind the other.")]
    = None,
    json_file: JsonFile = None,
) -> None:  # fmt: skip
    """Say what is on each IMAGE: classes with probabilities."""
    from microtune.tools.files import check_place, write_whole
    from microtune.train.evaluation import predict_images, read_images
    from microtune.train.session import OpenProject

    if json_file is not None and (not json_file.exists() or json_file.is_dir()):
        check_place(json_file)
    check_places({"--dump": dump, "--json": json_file}, {"IMAGE": images, "--load": load}, project)
    opened = OpenProject.read(project)
    learnt = opened.learnt(load)
    found = read_images(opened, images)
    for line in found.notes:
        errors.print(f"note: {line}", markup=False)
    if dump is not None:
        write_whole(dump, found.frames.tobytes())
        count, *shape = found.frames.shape
        console.print(
            f"{dump}: {count} frame{'s' if count > 1 else ''} of {found.frames[0].nbytes:,} bytes, "
            f"int8, rows x columns x channels {' x '.join(map(str, shape))}", markup=False,
        )  # fmt: skip
    names = opened.class_names or tuple(f"class {label}" for label in range(opened.classes))
    if learnt is None and opened.is_untaught:
        errors.print(UNTAUGHT)
    with progress(f"predicting on {on.value}") as bar:
        predictions = list(predict_images(opened, found, on.value, learnt, bar))
    console.print(predictions_table(predictions, names, top))
    write_json(json_file, _to_json(predictions, names))


def _to_json(predictions: Sequence[Prediction], names: Sequence[str]) -> dict[str, Any]:
    """The fields of `--json`: `classes` in label order, and for each image all probabilities."""
    return {
        "classes": list(names),
        "images": [
            {
                "image": one.image, "label": one.label, "predicted": names[one.label],
                "probabilities": dict(zip(names, one.probabilities.tolist(), strict=True)),
            }
            for one in predictions
        ],
    }  # fmt: skip
