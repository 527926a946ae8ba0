"""What `--scheme auto` is worth, and where its constants come from.

    python benchmarks/automatic_scheme.py [--data clothing10,grocery81] [--budgets 49KB,99KB]
    python benchmarks/automatic_scheme.py --fit

The first trains, with equal seeds and evaluated on the test split, what `auto` chooses at the
planned SRAM of a published scheme, that published scheme, and the head alone. --docs puts the table
into docs/schemes.md. Resumable: finished training runs are in the cache of the output folder.

--fit fits the constants of `search/contributions/prior.py` to the gains that the recorded searches
measured (benchmarks/results/search), and says how well constants that were fitted without a network
or a data set rank its measured gains. Both need the optional data folder.
"""

from __future__ import annotations

import argparse
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from common import DOCS, OUT, data_folder, put_tables, run
from microtune_studies.sources import Sources
from rich.console import Console
from rich.table import Table
from scipy.optimize import least_squares
from scipy.stats import spearmanr
from search_schemes import FLASH, RESULTS, Bench

from microtune import pipeline
from microtune.importers import load_any
from microtune.parallel.tasks import Backend
from microtune.report.console import progress
from microtune.search.automatic import AutomaticScheme, automatic_scheme
from microtune.search.contributions.prior import (
    PRIOR,
    Prior,
    choice_scores,
    expected_contributions,
    synthetic_scores,
)
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.known_schemes import published_selections
from microtune.search.problem import HEAD_ONLY, Choice, Selection
from microtune.search.search import SearchOptions
from microtune.targets import load_target
from microtune.train.trainer import Progress
from microtune.training.scheme import backbone_layers

WIDTH = 120
DATA = ("clothing10", "signdigits10", "grocery81")
# (network, data, recorded search): the widest search of each.
MEASURED = (
    ("mcunet-5fps", "clothing10", "99KB"), ("mcunet-5fps", "signdigits10", "99KB"),
    ("mcunet-5fps", "grocery81", "99KB"), ("mbv2-w0.35", "clothing10", "49KB"),
    ("proxyless-w0.3", "clothing10", "49KB"),
)  # fmt: skip
# Errors that are no noise of measurement: of a sum of layers that share what they can gain.
WEIGHT_SLACK, BIAS_SLACK = 0.02, 0.05
_ROOMY = 1 << 28


# -- accuracy -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choosing:
    """What `auto` chose at a budget, in how many seconds, and the published scheme there."""

    data: str
    budget: str
    found: AutomaticScheme
    seconds: float
    published: Selection
    limit: int
    instructions: int


def chosen(bench: Bench, data: str, budget: str, bar: Progress) -> Choosing:
    """What `auto` chooses within the planned SRAM of the published scheme."""
    classes = bench.runner(data, bar).setup.classes
    request = replace(bench.options.request, classes=classes)
    costs = SelectionCosts(bench.model, request)
    published = published_selections(costs)[budget]
    limit = costs.sram(published)
    begun = time.monotonic()
    found = automatic_scheme(bench.model, replace(request, sram_bytes=limit), progress=bar)
    seconds = time.monotonic() - begun
    return Choosing(data, budget, found, seconds, published, limit, costs.instructions(published))


def accuracies(bench: Bench, rows: Sequence[Choosing], bar: Progress) -> Table:
    """Each choice beside the published scheme of its bytes and the head alone."""
    runs = f"{bench.options.seeds} seeds, {bench.options.epochs} epochs"
    table = Table(
        "data, budget", "head", "published", "auto", "auto − published", "log-loss",
        "SRAM, B", "instr.", "took",
        title=f"{bench.model.graph.name}, test accuracy in %, {runs}",
    )  # fmt: skip
    for one in rows:
        bench.train(one.data, [HEAD_ONLY, one.published, one.found.selection], bar)
        schemes = (HEAD_ONLY, one.published, one.found.selection)
        gain = bench.gain(one.data, one.found.selection, one.published, bar)
        table.add_row(
            f"{one.data}, {one.budget}",
            *(f"{bench.accuracy(one.data, s, bar):.1f}" for s in schemes),
            str(gain.points), f"{-gain.nats:+.3f} ± {gain.standard_error:.3f}",
            f"{one.found.sram:,}/{one.limit:,}",
            f"{100 * one.found.instructions / one.instructions:.0f} %", f"{one.seconds:.0f} s",
        )  # fmt: skip
    return table


# -- the constants --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measurement:
    """The measured gains of one search, over the largest gain of its biases, with their standard
    errors, beside the scores that predict them."""

    network: str
    data: str
    layers: Sequence[str]
    scores: dict[str, float]
    choices: dict[Choice, float]
    weights: dict[Choice, tuple[float, float]]
    biases: dict[int, tuple[float, float]]

    def predicted(self, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
        """(gains of the measured weights, gains of the measured bias depths)."""
        found = expected_contributions(
            self.layers, self.scores, list(self.biases), self.choices, prior
        )
        return np.array(list(found.weights.values())), np.array(list(found.biases.values()))

    def errors(self, prior: Prior) -> np.ndarray:
        """Differences to what was measured, in standard errors; weights count as much as biases."""
        weights, biases = self.predicted(prior)
        return np.concatenate([
            _errors(weights, list(self.weights.values()), WEIGHT_SLACK),
            _errors(biases, list(self.biases.values()), BIAS_SLACK),
        ])  # fmt: skip


def _errors(
    predicted: np.ndarray, measured: Sequence[tuple[float, float]], slack: float
) -> np.ndarray:
    """Differences of predicted and measured gains, so weighted that their number does not count."""
    gain, error = np.array(measured).T
    found: np.ndarray = (predicted - gain) / (error + slack) / len(gain) ** 0.5
    return found


def measurement(folder: Path, network: str, data: str, budget: str) -> Measurement:
    """The recorded search, and the synthetic scores of its network."""
    graph = load_any(folder / "models" / "mit_tiny-training" / f"{network}.pkl").graph
    path = RESULTS / f"{network}-measured" / f"{data}-{budget}.toml"
    evidence = tomllib.loads(path.read_text(encoding="utf-8"))["evidence"]
    unit = max(row["nats"] for row in evidence["biases"])
    weights = {
        Choice(row["layer"], Fraction(row["ratio"])):
        (row["nats"] / unit, row["standard_error"] / unit)
        for row in evidence["weights"] if row["seeds"]
    }  # fmt: skip
    biases = {
        row["layers"]: (row["nats"] / unit, row["standard_error"] / unit)
        for row in evidence["biases"] if row.get("seeds", 1)
    }  # fmt: skip
    scores = synthetic_scores(graph, 10)
    return Measurement(
        network, data, backbone_layers(graph), dict(scores.biases),
        choice_scores(graph, scores, list(weights)), weights, biases,
    )  # fmt: skip


def prior_of(values: Sequence[float]) -> Prior:
    """The constants as the fit has them: two ramps, level, exponent."""
    a, b, c, d, level, exponent = values
    return Prior((a, b), (c, d), level, exponent)


def fitted(measurements: Sequence[Measurement]) -> Prior:
    """The constants that predict these measurements best."""
    start = [*PRIOR.bias_ramp, *PRIOR.weight_ramp, PRIOR.level, PRIOR.exponent]
    bounds = ([-0.5, 0.3, -0.5, 0.5, 0.0, 0.2], [0.28, 1.2, 0.48, 1.3, 2.0, 1.2])

    def errors(values: np.ndarray) -> np.ndarray:
        prior = prior_of(values.tolist())
        return np.concatenate([one.errors(prior) for one in measurements])

    return prior_of(least_squares(errors, start, bounds=bounds).x.tolist())


def fits(measurements: Sequence[Measurement]) -> Table:
    """The constants fitted to all, and without each network or data set: do they rank it?"""
    table = Table(
        "predicted", "fitted to", "bias ramp", "weight ramp", "level", "exponent",
        "rank correlation", title="Gains of weights: predicted and measured",
    )  # fmt: skip

    def row(name: str, basis: str, prior: Prior, of: Sequence[Measurement]) -> None:
        ranks = [
            spearmanr(one.predicted(prior)[0], [gain for gain, _ in one.weights.values()])[0]
            for one in of
        ]
        ramps = (f"{a:.2f}-{b:.2f}" for a, b in (prior.bias_ramp, prior.weight_ramp))
        table.add_row(name, basis, *ramps, f"{prior.level:.2f}", f"{prior.exponent:.2f}",
                      ", ".join(f"{rank:.2f}" for rank in ranks))  # fmt: skip

    row("all five", "as shipped", PRIOR, measurements)
    row("all five", "all five", fitted(measurements), measurements)
    networks = list(dict.fromkeys(one.network for one in measurements))
    for network in networks:
        rest = [one for one in measurements if one.network != network]
        row(network, "other networks", fitted(rest), [m for m in measurements if m not in rest])
    for data in dict.fromkeys(one.data for one in measurements):
        rest = [one for one in measurements if one.data != data]
        row(data, "other data", fitted(rest), [m for m in measurements if m not in rest])
    return table


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", action="store_true", help="fit the constants; nothing is trained")
    parser.add_argument("--model", default="mcunet-5fps")
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--budgets", default="49KB")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--output", type=Path, default=OUT / "automatic")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/schemes.md")
    return parser.parse_args()


def main() -> None:
    """Train and compare, or fit; print."""
    args = arguments()
    console, folder = Console(width=WIDTH, highlight=False), data_folder()

    def show(name: str, table: Table) -> None:
        console.print(table)
        if args.docs:
            put_tables(DOCS / "schemes.md", {name: [table]}, WIDTH)

    if args.fit:
        show("automatic-fit", fits([measurement(folder, *each) for each in MEASURED]))
        return
    request = pipeline.Request(2, "none", load_target("cortex-m7"), _ROOMY, FLASH, input="rows")
    options = SearchOptions(
        request, Limits(_ROOMY, FLASH), args.output / "cache", epochs=args.epochs,
        seeds=args.seeds, backend=Backend(workers=args.workers),
    )  # fmt: skip
    bench = Bench(Sources(folder, args.output).model(args.model), folder, options)
    with bench.session, progress("automatic schemes", resumable=True) as bar:
        rows = [
            chosen(bench, data, budget, bar)
            for data in args.data.split(",")
            for budget in args.budgets.split(",")
        ]
        table = accuracies(bench, rows, bar)
    show(f"automatic-{args.model}", table)


if __name__ == "__main__":
    run(main)
