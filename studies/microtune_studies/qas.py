"""The QAS table: the last two blocks of MCUNet on four data sets, ours beside what others learn."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from microtune.stats import Difference
from microtune_studies.runs import OURS, Result, Run
from microtune_studies.statistics import mean_and_deviation, paired_difference
from microtune_studies.work import Work, at_edge

MODEL, SCHEME = "mcunet-5fps", "last-6"
REFERENCE = "fp32 SGD-M"
DATA = ("person_cc.tar", "signdigits10.tar", "clothing10.tar", "grocery81.tar")
# Candidates of each method, the same for all data sets; chosen on the validation split.
RATES: Mapping[str, tuple[float, ...]] = {
    "fp32 SGD-M": (0.0005, 0.0015, 0.0045),
    "int8 SGD-M": (0.01, 0.05, 0.25),
    "int8 Adam": (0.001, 0.01, 0.1),
    "int8 LARS": (0.1, 1.0, 10.0),
    "int8 SGD-M + QAS": (0.0005, 0.0015, 0.0045),
    OURS: (0.001, 0.002, 0.004),
}


@dataclass(frozen=True)
class QasTable:
    """`results[data][method]` has one result for each seed, `rates` has the chosen rates."""

    results: Mapping[str, Mapping[str, Sequence[Result]]]
    rates: Mapping[str, Mapping[str, float]]

    def differences(self) -> dict[str, Difference]:
        """The accuracy of ours minus that of float32, for each data set."""
        return {
            data: paired_difference(found[OURS], found[REFERENCE])
            for data, found in self.results.items()
        }


def run_qas(work: Work, data: Sequence[str], seeds: int, epochs: int) -> QasTable:
    """Choose every method's learning rate on every data set, then train with paired seeds."""
    asked = [
        (Run(MODEL, name, SCHEME, method, 0.0, 0, epochs), candidates)
        for name in data
        for method, candidates in RATES.items()
    ]
    chosen = work.best_rates(asked)
    results: dict[str, dict[str, list[Result]]] = {name: {} for name in data}
    for run, own in zip(chosen, work.seeded(chosen, seeds), strict=True):
        results[run.data][run.method] = own
    rates = {name: {r.method: r.lr for r in chosen if r.data == name} for name in data}
    return QasTable(results, rates)


def qas_tables(found: QasTable) -> list[Table]:
    """Tables of the accuracy of each method, of ours against float32, and of the rates."""
    names = [name.partition(".")[0] for name in found.results]
    accuracy = Table("test accuracy, %", *names, "mean", title=f"{MODEL}, {SCHEME}, last epoch")
    for method in RATES:
        pairs = [mean_and_deviation(results[method]) for results in found.results.values()]
        label = f"{method} (generated C, batch 1)" if method == OURS else f"{method} (simulated)"
        accuracy.add_row(
            label, *(f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in pairs),
            f"{statistics.mean(mean for mean, _ in pairs):.1f}",
        )  # fmt: skip
    differences = found.differences()
    accuracy.add_section()
    mean = statistics.mean(d.mean for d in differences.values())
    accuracy.add_row(f"{OURS} − {REFERENCE}", *map(str, differences.values()), f"{mean:+.1f}")
    rates = Table("learning rate", *names, title="chosen on the validation split, of")
    for method, candidates in RATES.items():
        listed = ", ".join(f"{rate:g}" for rate in candidates)
        chosen = [found.rates[name][method] for name in found.results]
        rates.add_row(f"{method}: {listed}", *(at_edge(rate, candidates) for rate in chosen))
    return [accuracy, rates]
