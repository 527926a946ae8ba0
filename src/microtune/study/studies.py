"""The studies by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from microtune.errors import MicrotuneError
from microtune.simulate.runners import cores
from microtune.study.execute import Sources
from microtune.study.qas import DATA, qas_tables, run_qas
from microtune.study.runs import Store
from microtune.study.work import Progress, Work

NAMES = ("qas",)


@dataclass(frozen=True)
class Settings:
    """How much of a study to run: paired seeds, epochs, which data sets (none: all of them)."""

    epochs: int = 10
    seeds: int = 5
    data: tuple[str, ...] = ()


def make_work(sources: Path, output: Path, workers: int | None, progress: Progress) -> Work:
    """Results go to `output`/runs, latents to `output`/latents."""
    for part in ("data", "models"):
        if not (sources / part).is_dir():
            raise MicrotuneError(f"--sources {sources}: there is no folder {part} in it")
    places = Sources(sources, output / "latents")
    return Work(places, Store(output / "runs"), workers or cores(), progress)


def run_study(name: str, work: Work, settings: Settings) -> list[Table]:
    """Run what is missing of a study and return its tables."""
    if name not in NAMES:
        raise MicrotuneError(f"no study {name}; there are: {', '.join(NAMES)}")
    found = run_qas(work, settings.data or DATA, settings.seeds, settings.epochs)
    return qas_tables(found)
