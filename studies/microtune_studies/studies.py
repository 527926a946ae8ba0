"""The studies by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.table import Table

from microtune.errors import MicrotuneError
from microtune.run.runners import cores
from microtune.train.trainer import Progress
from microtune_studies import ablation, qas, small_steps, sparse, streams, two_classes
from microtune_studies.pictures import save_curves, save_ratios, save_sparse
from microtune_studies.ratios import run_ratios
from microtune_studies.runs import Run, Store
from microtune_studies.sources import Sources
from microtune_studies.work import Work


@dataclass(frozen=True)
class Settings:
    """How much of a study to run: paired seeds, epochs, data sets and models (none: all)."""

    epochs: int = 10
    seeds: int = 5
    data: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


def make_work(sources: Path, output: Path, workers: int | None, progress: Progress) -> Work:
    """A `Work` with results in `output`/runs and latents in `output`/latents."""
    for part in ("data", "models"):
        if not (sources / part).is_dir():
            raise MicrotuneError(f"--sources {sources}: there is no folder {part} in it")
    places = Sources(sources, output / "latents")
    store = Store(output / "runs", places.identity)
    return Work(places, store, workers or cores(), progress)


@dataclass(frozen=True)
class Findings:
    """The findings of a study: tables, and functions by file name that draw pictures."""

    tables: Sequence[Table]
    pictures: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)


def run_study(name: str, work: Work, settings: Settings) -> Findings:
    """Run what is missing of a study and return its findings."""
    if name not in STUDIES:
        raise MicrotuneError(f"no study {name}; there are: {', '.join(STUDIES)}")
    if settings.models and name != "sparse":
        raise MicrotuneError(f"--models {','.join(settings.models)}: only the study sparse has any")
    return STUDIES[name](work, settings)


def _qas(work: Work, settings: Settings) -> Findings:
    data = settings.data or qas.DATA
    found = qas.run_qas(work, data, settings.seeds, settings.epochs)
    run = Run(qas.MODEL, data[0], qas.SCHEME, qas.REFERENCE, 0.0, 0, 1)
    ratios = run_ratios(work, run)
    title = f"{qas.MODEL}, {data[0].partition('.')[0]}: weights over gradients, by trained tensor"
    return Findings(
        qas.qas_tables(found), {"ratios.png": lambda path: save_ratios(path, ratios, title)}
    )


def _sparse(work: Work, settings: Settings) -> Findings:
    pairs = [
        (model, data)
        for model, data in sparse.PAIRS
        if model in (settings.models or (model,)) and data in (settings.data or (data,))
    ]
    if not pairs:
        asked = [f"--models {','.join(settings.models)}"] if settings.models else []
        asked += [f"--data {','.join(settings.data)}"] if settings.data else []
        known = ", ".join(f"{model} on {data}" for model, data in sparse.PAIRS)
        raise MicrotuneError(f"{' '.join(asked)}: sparse has {known}")
    points = sparse.run_sparse(work, pairs, settings.seeds, settings.epochs)
    return Findings(
        sparse.sparse_tables(points), {"sparse.png": lambda path: save_sparse(path, points)}
    )


def _ablation(variants: Sequence[ablation.Variant], work: Work, settings: Settings) -> Findings:
    return Findings([
        ablation.ablation_table(
            ablation.run_ablation(work, variants, data, settings.seeds, settings.epochs)
        )
        for data in settings.data or (ablation.DATA,)
    ])  # fmt: skip


def _streams(work: Work, settings: Settings) -> Findings:
    tables: list[Table] = []
    pictures: dict[str, Callable[[Path], None]] = {}
    for data in settings.data or (streams.DATA,):
        cells = streams.run_domains(work, data, settings.seeds, settings.epochs)
        tables += [
            streams.few_table(streams.run_few(work, data, settings.seeds)),
            streams.ordered_table(streams.run_ordered(work, data, settings.seeds)),
            streams.domain_table(cells),
        ]
        curves = streams.curves(cells)
        pictures[f"domains-{data.partition('.')[0]}.png"] = partial(save_curves, curves=curves)
    return Findings(tables, pictures)


def _two_classes(work: Work, settings: Settings) -> Findings:
    data = settings.data or (two_classes.DATA,)
    return Findings(
        [
            two_classes.two_classes_table(
                two_classes.run_two_classes(work, name, settings.seeds, settings.epochs)
            )
            for name in data
        ]
    )


def _small_steps(work: Work, settings: Settings) -> Findings:
    data = settings.data or (small_steps.DATA,)
    return Findings(
        [
            small_steps.small_steps_table(
                small_steps.run_small_steps(work, name, settings.seeds, settings.epochs)
            )
            for name in data
        ]
    )


STUDIES: Mapping[str, Callable[[Work, Settings], Findings]] = {
    "qas": _qas, "sparse": _sparse, "ablation": partial(_ablation, ablation.DEVICE),
    "ablation-simulated": partial(_ablation, ablation.SIMULATED), "streams": _streams,
    "two-classes": _two_classes, "small-steps": _small_steps,
}  # fmt: skip
