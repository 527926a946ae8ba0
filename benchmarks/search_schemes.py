"""What the search finds at the budgets of the published schemes, and what that is worth elsewhere.

    python benchmarks/search_schemes.py [--data clothing10,grocery81] [--budgets 49KB,99KB] [--fast]
    python benchmarks/search_schemes.py --transfer

For every data set and budget (the planned SRAM of the published scheme, input by rows) one search
with its verification: the found scheme and the published one, trained by the same seeds and
evaluated once on the test split. --record keeps the schemes, with all their evidence, in
benchmarks/results/search, --docs puts the table of each data set into docs/search.md. --transfer
searches nothing: it trains the schemes that are recorded of all these data sets on each of them.
Resumable: finished training runs are in the cache of the output folder. Needs the optional data
folder.
"""

from __future__ import annotations

import argparse
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from common import DOCS, OUT, data_folder, put_tables, run
from microtune_studies.sources import Sources
from rich.console import Console
from rich.table import Table

from microtune import pipeline
from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile
from microtune.parallel.tasks import Backend, TaskSession
from microtune.report.console import progress
from microtune.report.search_text import search_tables, verification_tables
from microtune.search.cache import Cache
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.known_schemes import published_selections
from microtune.search.problem import Choice, Selection
from microtune.search.scheme_file import save_scheme
from microtune.search.search import SearchOptions, SearchResult, search, trial_setup
from microtune.search.trials.gains import Gain, paired_gain, seed_variance_ratio
from microtune.search.trials.runner import TrialRunner
from microtune.search.trials.trial import Trial, TrialResult, TrialSettings
from microtune.targets import load_target
from microtune.train.trainer import Progress

WIDTH = 120
RESULTS = Path(__file__).parent / "results" / "search"
DATA = ("clothing10", "grocery81", "signdigits10")
BUDGETS = ("49KB", "99KB")
FLASH = 1 << 20
_ROOMY = 1 << 28


@dataclass(frozen=True)
class Search:
    """One search: where, at whose budget in bytes, what came out, and the published scheme's
    selection with its estimated instructions of a step."""

    data: str
    budget: str
    result: SearchResult
    published: Selection
    published_instructions: int

    @property
    def schemes(self) -> tuple[Selection, Selection]:
        """What was found, and the published one."""
        return self.result.solution.selection, self.published


class Bench:
    """The model with its data sets, and trials of any selection on any of them."""

    def __init__(self, model: ModelFile, folder: Path, options: SearchOptions) -> None:
        self.model, self.folder, self.options = model, folder, options
        self.session = TaskSession(options.backend)
        self._runners: dict[str, TrialRunner] = {}

    def source(self, data: str) -> Path:
        """The archive of a data set."""
        return self.folder / "data" / f"{data}.tar"

    def search(self, data: str, budget: str, bar: Progress) -> Search:
        """At the planned SRAM of the published scheme of that name."""
        classes = self.runner(data, bar).setup.classes
        costs = SelectionCosts(self.model, replace(self.options.request, classes=classes))
        known = published_selections(costs)
        if budget not in known:
            raise MicrotuneError(f"--budgets {budget}: {self.model.graph.name} has {list(known)}")
        published = known[budget]
        limits = Limits(costs.sram(published), FLASH)
        request = replace(self.options.request, sram_bytes=limits.sram_bytes)
        options = replace(self.options, limits=limits, request=request)
        result = search(self.model, self.source(data), options, bar)
        return Search(data, budget, result, published, costs.instructions(published))

    def runner(self, data: str, bar: Progress) -> TrialRunner:
        """Trials that are trained on all of train and evaluated on the test split."""
        if data not in self._runners:
            setup = trial_setup(self.model, self.source(data), self.options, "test")
            cache = Cache(self.options.cache)
            self._runners[data] = TrialRunner(setup, cache, self.session, bar)
        runner = self._runners[data]
        runner.progress = bar
        return runner

    def gain(self, data: str, one: Selection, other: Selection, bar: Progress) -> Gain:
        """What `one` gains over `other` on the test split; the variance between seeds is that of
        all schemes that were trained over `other`."""
        runner = self.runner(data, bar)
        labels = runner.setup.evaluation_split.labels
        schemes = dict.fromkeys(trial.selection for trial in runner.known_results)
        theirs = self._results(runner, other)
        seeds = seed_variance_ratio([(self._results(runner, s), theirs) for s in schemes], labels)
        return paired_gain(self._results(runner, one), theirs, labels, seeds)

    def train(self, data: str, selections: Sequence[Selection], bar: Progress) -> None:
        """All of them by all seeds, for the test split."""
        runner = self.runner(data, bar)
        runner.results([trial for s in selections for trial in self._trials(s)])

    def accuracy(self, data: str, selection: Selection, bar: Progress) -> float:
        """Mean over seeds on the test split, in percent."""
        runner = self.runner(data, bar)
        labels = runner.setup.evaluation_split.labels
        results = self._results(runner, selection)
        return 100 * sum(float((o.predicted == labels).mean()) for o in results) / len(results)

    def _results(self, runner: TrialRunner, selection: Selection) -> list[TrialResult]:
        return runner.results(self._trials(selection))

    def _trials(self, selection: Selection) -> list[Trial]:
        how = self.options
        return TrialSettings(how.lr, how.epochs, how.seeds).trials(selection)


def against_published(bench: Bench, searches: Sequence[Search], bar: Progress) -> Table:
    """Each found scheme beside the published one of its budget."""
    runs = f"{bench.options.seeds} seeds, {bench.options.epochs} epochs"
    table = Table(
        "data, budget", "published", "found", "found − published", "log-loss, nats", "SRAM, B",
        "instr.", "written",
        title=f"{bench.model.graph.name}, test accuracy in %, {runs}",
    )  # fmt: skip
    for one in searches:
        result = one.result
        found = result.solution.selection
        instructions = result.costs.instructions(found) / one.published_instructions
        gain = bench.gain(one.data, found, one.published, bar)
        table.add_row(
            f"{one.data}, {one.budget}",
            f"{bench.accuracy(one.data, one.published, bar):.1f}",
            f"{bench.accuracy(one.data, found, bar):.1f}",
            str(gain.points), f"{-gain.nats:+.3f} ± {gain.standard_error:.3f}",
            f"{result.costs.sram(found):,}/{result.limits.sram_bytes:,}",
            f"{100 * instructions:.0f} %", result.chosen_name.removesuffix(f" {one.budget}"),
        )  # fmt: skip
    return table


def recorded(folder: Path, data: str, budget: str) -> Selection:
    """What a search found that was recorded. Raises MicrotuneError if none was."""
    path = folder / f"{data}-{budget}.toml"
    if not path.is_file():
        raise MicrotuneError(f"{path}: search with --record first")
    found = tomllib.loads(path.read_text(encoding="utf-8"))["evidence"]["found"]
    weights = found.get("weights", {}).items()
    choices = sorted(Choice(int(layer), Fraction(ratio)) for layer, ratio in weights)
    return Selection(found["bias_layers"], tuple(choices))


def transfer(
    bench: Bench, found: Mapping[tuple[str, str], Selection], names: Sequence[str], bar: Progress
) -> Table:
    """Each scheme found (data, budget), trained on every data set, less the published one of its
    budget there."""
    known = published_selections(SelectionCosts(bench.model, bench.options.request))
    table = Table("found on", *(f"trained on {name}" for name in names),
                  title="Found here, trained there: points over the published scheme")  # fmt: skip
    for name in names:
        bench.train(name, [*found.values(), *(known[budget] for _, budget in found)], bar)
    for (data, budget), selection in found.items():
        gains = [str(bench.gain(name, selection, known[budget], bar).points) for name in names]
        table.add_row(f"{data}, {budget}", *gains)
    return table


def searched(bench: Bench, data: str, budget: str, place: Path, console: Console) -> Search:
    """One search, printed and kept in `place`."""
    begun = time.monotonic()
    with progress(f"{data}, {budget}", resumable=True) as bar:
        one = bench.search(data, budget, bar)
    minutes = (time.monotonic() - begun) / 60
    console.print(f"{data}, {budget}: {one.result.trials} new runs, {minutes:.1f} minutes")
    console.print(*search_tables(one.result), *verification_tables(one.result))
    place.mkdir(parents=True, exist_ok=True)
    save_scheme(one.result, place / f"{data}-{budget}.toml")
    return one


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mcunet-5fps")
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--budgets", default=",".join(BUDGETS))
    parser.add_argument("--fast", action="store_true", help="choose by the estimate")
    parser.add_argument("--transfer", action="store_true", help="train what is recorded elsewhere")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--output", type=Path, default=OUT / "search")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--docs", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Search and compare, or train elsewhere what was found; print."""
    args = arguments()
    console = Console(width=WIDTH, highlight=False)
    folder = data_folder()
    request = pipeline.Request(2, "none", load_target("cortex-m7"), _ROOMY, FLASH, input="rows")
    options = SearchOptions(
        request, Limits(_ROOMY, FLASH), args.output / "cache", args.fast, False, args.epochs,
        args.seeds, backend=Backend(workers=args.workers), verify=True,
    )  # fmt: skip
    bench = Bench(Sources(folder, args.output).model(args.model), folder, options)
    names, budgets = args.data.split(","), args.budgets.split(",")
    kind = f"{args.model}-{'fast' if args.fast else 'measured'}"

    def show(name: str, table: Table) -> None:
        console.print(table)
        if args.docs:
            put_tables(DOCS / "search.md", {f"{kind}-{name}": [table]}, WIDTH)

    with bench.session:
        if args.transfer:
            found = {(n, b): recorded(RESULTS / kind, n, b) for n in names for b in budgets}
            with progress("transfer", resumable=True) as bar:
                show("transfer", transfer(bench, found, names, bar))
            return
        place = (RESULTS if args.record else args.output) / kind
        for name in names:
            searches = [searched(bench, name, budget, place, console) for budget in budgets]
            with progress(f"{name}, test", resumable=True) as bar:
                found_and_published = (s for one in searches for s in one.schemes)
                bench.train(name, list(found_and_published), bar)
                show(name, against_published(bench, searches, bar))


if __name__ == "__main__":
    run(main)
