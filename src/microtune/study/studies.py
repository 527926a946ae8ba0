"""The studies by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from microtune.errors import MicrotuneError
from microtune.simulate.runners import cores
from microtune.study import ablation, qas, sparse, streams, two_classes
from microtune.study.runs import Store
from microtune.study.sources import Sources
from microtune.study.work import Progress, Work


@dataclass(frozen=True)
class Settings:
    """How much of a study to run: paired seeds, epochs, which data sets and models (none: all)."""

    epochs: int = 10
    seeds: int = 5
    data: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


def make_work(sources: Path, output: Path, workers: int | None, progress: Progress) -> Work:
    """Results go to `output`/runs, latents to `output`/latents."""
    for part in ("data", "models"):
        if not (sources / part).is_dir():
            raise MicrotuneError(f"--sources {sources}: there is no folder {part} in it")
    places = Sources(sources, output / "latents")
    return Work(places, Store(output / "runs"), workers or cores(), progress)


def run_study(name: str, work: Work, settings: Settings) -> list[Table]:
    """Run what is missing of a study and return its tables."""
    if name not in STUDIES:
        raise MicrotuneError(f"no study {name}; there are: {', '.join(STUDIES)}")
    return STUDIES[name](work, settings)


def _qas(work: Work, settings: Settings) -> list[Table]:
    return qas.qas_tables(
        qas.run_qas(work, settings.data or qas.DATA, settings.seeds, settings.epochs)
    )


def _sparse(work: Work, settings: Settings) -> list[Table]:
    points: list[sparse.Point] = []
    for data in settings.data or (sparse.DATA,):
        models = settings.models or sparse.MODELS
        points += sparse.run_sparse(work, models, data, settings.seeds, settings.epochs)
    return sparse.sparse_tables(points)


def _ablation(work: Work, settings: Settings) -> list[Table]:
    tables: list[Table] = []
    for data in settings.data or (ablation.DATA,):
        for variants in (ablation.DEVICE, ablation.SIMULATED):
            found = ablation.run_ablation(work, variants, data, settings.seeds, settings.epochs)
            tables.append(ablation.ablation_table(found))
    return tables


def _streams(work: Work, settings: Settings) -> list[Table]:
    tables: list[Table] = []
    for data in settings.data or (streams.DATA,):
        tables += [
            streams.few_table(streams.run_few(work, data, settings.seeds)),
            streams.ordered_table(streams.run_ordered(work, data, settings.seeds)),
            streams.domain_table(streams.run_domains(work, data, settings.seeds, settings.epochs)),
        ]
    return tables


def _two_classes(work: Work, settings: Settings) -> list[Table]:
    data = settings.data or (two_classes.DATA,)
    return [
        two_classes.two_classes_table(
            two_classes.run_two_classes(work, name, settings.seeds, settings.epochs)
        )
        for name in data
    ]


STUDIES: Mapping[str, Callable[[Work, Settings], list[Table]]] = {
    "qas": _qas, "sparse": _sparse, "ablation": _ablation, "streams": _streams,
    "two-classes": _two_classes,
}  # fmt: skip
