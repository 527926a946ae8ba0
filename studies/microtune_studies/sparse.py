"""Accuracy against memory: head-only, bias-only, last-k, published sparse schemes, full update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from rich.table import Table

from microtune import pipeline
from microtune.training.scheme import analytic_kb, published_schemes
from microtune_studies.device import request_of
from microtune_studies.qas import RATES as QAS_RATES
from microtune_studies.runs import OURS, Result, Run
from microtune_studies.statistics import mean_and_deviation, paired_difference
from microtune_studies.work import Work, at_edge

MODELS = ("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3")
PAIRS = (*((model, "clothing10.tar") for model in MODELS), ("mcunet-5fps", "signdigits10.tar"))
GENERAL = ("head-only", "bias-only", "last-3", "last-6", "last-9", "last-12", "full")
RATES = (0.0005, 0.001, 0.002)
# Training everything moves more weights at random in each step and wants smaller steps.
FULL_RATES = (0.00025, 0.0005, 0.001)
# What everything learns in float32, simulated (its rates are those of the QAS table), and with one
# rule of the arithmetic replaced.
FULL_PAIR, FLOAT = ("mcunet-5fps", "clothing10.tar"), "fp32 SGD-M"
_FULL_RULES = {
    "MT_STUDY_WEIGHTS=MT_NEAREST": "weights to nearest",
    "MT_STUDY_GRADIENTS=MT_NEAREST": "gradients to nearest",
}
_ROUNDS = 1
_CLASSES_FOR_PLAN = 10


@dataclass(frozen=True)
class SchemeResult:
    """One scheme with its costs and its results.

    Costs are bytes with input by rows, in all and beyond inference, and the KB of the published
    formula.
    """

    model: str
    scheme: str
    planned_bytes: int
    extra_bytes: int
    analytic_kb: float | None
    rate: float
    results: Sequence[Result]

    @property
    def accuracy(self) -> float:
        """The mean accuracy over the seeds, in percent."""
        return mean_and_deviation(self.results)[0]

    @property
    def simulated(self) -> bool:
        """Whether the results are those of a simulation, not of the generated C."""
        return self.results[0].run.method != OURS

    @property
    def kind(self) -> str:
        """The kind of the scheme, for pictures.

        One of head-only, bias-only, full, last (k layers), published, simulated, or by another
        rule.
        """
        if self.simulated:
            return "simulated"
        if rule := self.results[0].run.rule:
            return _FULL_RULES[rule]
        if self.scheme in ("head-only", "bias-only", "full"):
            return self.scheme
        return "last" if self.scheme.startswith("last-") else "published"

    @property
    def label(self) -> str:
        """The scheme, and how its training differs from the reference rule."""
        if self.simulated:
            return f"{self.scheme}, {FLOAT}, simulated"
        return f"{self.scheme}, {self.kind}" if self.results[0].run.rule else self.scheme


def run_sparse(
    work: Work, pairs: Sequence[tuple[str, str]], seeds: int, epochs: int
) -> list[SchemeResult]:
    """Train every scheme of every (model, data) at the best of its rates.

    Rates are chosen on the validation split after a third of the epochs.
    """
    asked = [
        Run(model, data, scheme, OURS, 0.0, 0, epochs)
        for model, data in pairs
        for scheme in (*GENERAL, *published_schemes(model))
    ]
    if FULL_PAIR in pairs:
        full = Run(*FULL_PAIR, "full", OURS, 0.0, 0, epochs)
        asked += [replace(full, method=FLOAT), *(replace(full, rule=rule) for rule in _FULL_RULES)]
    chosen = work.best_rates([(run, _candidates(run)) for run in asked], _ROUNDS)
    results = work.seeded(chosen, seeds)

    @cache
    def cost(model: str, scheme: str) -> tuple[int, int, float | None]:
        return _cost(work, model, scheme)

    return [
        SchemeResult(run.model, run.scheme, *cost(run.model, run.scheme), run.lr, own)
        for run, own in zip(chosen, results, strict=True)
    ]


def _candidates(run: Run) -> Sequence[float]:
    if run.method != OURS:
        return QAS_RATES[run.method]
    return FULL_RATES if run.scheme == "full" else RATES


def _cost(work: Work, name: str, scheme_name: str) -> tuple[int, int, float | None]:
    """The costs of the device, also if a simulation trained the scheme."""
    model = work.sources.model(name)
    run = Run(name, "", scheme_name, OURS, 0.0, 0, 0)
    request = replace(request_of(run, _CLASSES_FOR_PLAN), input="rows")
    graph, scheme = pipeline.training_graph(model, request)
    inference, _ = pipeline.training_graph(model, replace(request, scheme="none"))
    planned, least = (pipeline.planned_sram(g, pipeline.plan_graph(g)) for g in (graph, inference))
    return planned, planned - least, analytic_kb(model.graph, scheme)


def panels(points: Sequence[SchemeResult]) -> dict[str, list[SchemeResult]]:
    """ "model, data" -> its points, by ascending memory."""
    found: dict[str, list[SchemeResult]] = {}
    for point in sorted(points, key=lambda p: p.planned_bytes):
        data = point.results[0].run.data.partition(".")[0]
        found.setdefault(f"{point.model}, {data}", []).append(point)
    return {key: found[key] for key in sorted(found)}


def sparse_tables(points: Sequence[SchemeResult]) -> list[Table]:
    """A table for each model and data set, one of sparse against last k, one of full updates."""
    tables = []
    for name, own in panels(points).items():
        run = own[0].results[0].run
        table = Table(
            "scheme", "planned SRAM, bytes", "beyond inference", "analytic KB", "rate",
            "test accuracy, %",
            title=f"{name}, generated C, input by rows, {len(own[0].results)} seeds, "
            f"{run.epochs} epochs, the last one",
        )  # fmt: skip
        for point in own:
            mean, deviation = mean_and_deviation(point.results)
            analytic = "" if point.analytic_kb is None else f"{point.analytic_kb:.1f}"
            costs = [f"{point.planned_bytes:,}", f"{point.extra_bytes:,}", analytic]
            if point.simulated:
                costs = ["", "", ""]
            rate = at_edge(point.rate, _candidates(point.results[0].run))
            table.add_row(point.label, *costs, rate, f"{mean:.1f} ± {deviation:.1f}")
        tables.append(table)
    return [*tables, _against_last(points), *_full_tables(points)]


def _against_last(points: Sequence[SchemeResult]) -> Table:
    """Each sparse scheme beside the best last-k scheme of its network and data."""
    table = Table("", "best last k", "sparse", "difference of accuracy", "extra bytes, ratio",
                  title="Sparse update against the last k layers")  # fmt: skip
    for name, own in panels(points).items():
        last = max((p for p in own if p.kind == "last"), key=lambda p: p.accuracy, default=None)
        sparse = [p for p in own if p.kind == "published"]
        if last is None or not sparse:
            continue
        shown = [name, f"{last.scheme} {last.accuracy:.1f} %"]
        for point in sparse:
            table.add_row(
                *shown, f"{point.scheme} {point.accuracy:.1f} %",
                str(paired_difference(point.results, last.results)),
                f"{last.extra_bytes / point.extra_bytes:.1f}",
            )  # fmt: skip
            shown = ["", ""]
        table.add_section()
    return table


def _full_tables(points: Sequence[SchemeResult]) -> list[Table]:
    """Full updates by other rules, minus that by the reference rule, if there are any."""
    tables = []
    for name, own in panels(points).items():
        full = {p.label: p for p in own if p.scheme == "full"}
        if len(full) < 2 or "full" not in full:
            continue
        reference = full.pop("full")
        table = Table("", "test accuracy, %", "less the first row", title=f"Full update, {name}")
        table.add_row("the law", f"{reference.accuracy:.1f}", "")
        for label, point in full.items():
            difference = str(paired_difference(point.results, reference.results))
            table.add_row(label.removeprefix("full, "), f"{point.accuracy:.1f}", difference)
        tables.append(table)
    return tables
