"""Accuracy against memory: head-only, bias-only, last-k, published sparse schemes, full update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from microtune import pipeline
from microtune.study.device import request_of
from microtune.study.runs import OURS, Result, Run
from microtune.study.statistics import mean_and_deviation
from microtune.study.work import Work
from microtune.training.scheme import analytic_kb, published_schemes

MODELS = ("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3")
PAIRS = (*((model, "clothing10.tar") for model in MODELS), ("mcunet-5fps", "signdigits10.tar"))
GENERAL = ("head-only", "bias-only", "last-3", "last-6", "last-9", "last-12", "full")
RATES = (0.0005, 0.001, 0.002)
_ROUNDS = 1
_CLASSES_FOR_PLAN = 10


@dataclass(frozen=True)
class Point:
    """One scheme: what it costs (bytes by rows; the published formula in KB) and what it learns."""

    model: str
    scheme: str
    planned_bytes: int
    analytic_kb: float | None
    rate: float
    results: Sequence[Result]


def run_sparse(
    work: Work, models: Sequence[str], data: str, seeds: int, epochs: int
) -> list[Point]:
    """Every scheme of every model, each with the best of RATES on the validation split, after
    a third of the epochs."""
    points = []
    for model in models:
        for scheme in (*GENERAL, *published_schemes(model)):
            run = Run(model, data, scheme, OURS, RATES[0], 0, epochs)
            rate = work.best_rate(run, RATES, _ROUNDS)
            results = work.results([replace(run, lr=rate, seed=seed) for seed in range(seeds)])
            points.append(Point(model, scheme, *_cost(work, run), rate, results))
    return points


def _cost(work: Work, run: Run) -> tuple[int, float | None]:
    model = work.sources.model(run.model)
    request = replace(request_of(run, _CLASSES_FOR_PLAN), input="rows")
    graph, scheme = pipeline.training_graph(model, request)
    planned = pipeline.planned_sram(graph, pipeline.plan_graph(graph))
    return planned, analytic_kb(model.graph, scheme)


def sparse_tables(points: Sequence[Point]) -> list[Table]:
    """A table a model, least memory first."""
    tables = []
    for model in dict.fromkeys(point.model for point in points):
        own = sorted((p for p in points if p.model == model), key=lambda p: p.planned_bytes)
        data = own[0].results[0].run.data.partition(".")[0]
        table = Table(
            "scheme", "planned SRAM, bytes", "analytic KB", "rate", "test accuracy, %",
            title=f"{model}, {data}, generated C, input by rows, last epoch",
        )  # fmt: skip
        for point in own:
            mean, deviation = mean_and_deviation(point.results)
            analytic = "" if point.analytic_kb is None else f"{point.analytic_kb:.1f}"
            table.add_row(
                point.scheme, f"{point.planned_bytes:,}", analytic, f"{point.rate:g}",
                f"{mean:.1f} ± {deviation:.1f}",
            )  # fmt: skip
        tables.append(table)
    return tables
