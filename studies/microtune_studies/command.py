"""The command `study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microtune.report.console import console, progress


def _names(listed: str | None) -> tuple[str, ...]:
    """The names in a text such as "A,B"; none for None."""
    return tuple(name for name in (listed or "").split(",") if name)


def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help="qas: beside float32 and other "
                    "optimisers; sparse: accuracy against memory; ablation: what each rule of "
                    "the arithmetic is worth; ablation-simulated: more bits, float32, momentum; "
                    "streams: little data, ordered data, other domains; two-classes; "
                    "small-steps.")],
    sources: Annotated[Path, typer.Option("--sources", metavar="DIR", envvar="MICROTUNE_DATA",
                       help="Folder with data/ and models/.")],
    output: Annotated[Path, typer.Option("-o", metavar="DIR", help="Raw results; finished runs "
                      "that lie there are not repeated.")] = Path("out/study"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 10,
    seeds: Annotated[int, typer.Option(min=1, help="Paired runs of each method.")] = 5,
    data: Annotated[str | None, typer.Option(metavar="A.tar,B.tar", help="Fewer data sets.")]
    = None,
    models: Annotated[str | None, typer.Option(metavar="A,B", help="Fewer models (sparse).")]
    = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: all cores).")]
    = None,
) -> None:  # fmt: skip
    """Measure how well the generated C learns; resumes where it was stopped."""
    from microtune_studies.studies import Settings, make_work, run_study

    settings = Settings(epochs, seeds, _names(data), _names(models))
    with progress(f"study {name}", resumable=True) as bar:
        found = run_study(name, make_work(sources, output, workers, bar), settings)
    console.print(*found.tables)
    for file, save in found.pictures.items():
        save(output / file)
        console.print(f"written: {output / file}")
