"""How long a search takes from cold, and how long one for another budget with the cache warm.

    python benchmarks/search_time.py [--model mcunet-5fps --data clothing10] [--sram 128KB]

Three searches, input by rows, on all cores: by the estimate with nothing in the cache, measured and
verified with nothing in the cache, and for the other budget with what the second left there, until
the choice is made. Prints minutes of wall-clock time and training runs. Without arguments the
embedded model on its images, in minutes; others need the optional data folder and take most
of an hour. Not resumable: its caches are new. They are removed at the end, unless --keep names an
empty folder for them: `microtune search --cache FOLDER/measured` then goes on where the second
ended.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common import OUT, data_folder, run
from microtune_studies.sources import Sources
from rich.console import Console
from rich.table import Table

from microtune import embedded, pipeline
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir.modelfile import ModelFile
from microtune.report.console import progress
from microtune.report.sizes import parse_bytes
from microtune.search.costs.planned import Limits
from microtune.search.search import SearchOptions, search
from microtune.targets import load_target

WIDTH = 100
FLASH = 1 << 20


@dataclass(frozen=True)
class Case:
    """One search: its name, budget, cache, and how much of it is done."""

    name: str
    sram: str
    cache: Path
    fast: bool = False
    verify: bool = True


def timed(case: Case, model: ModelFile, data: Path) -> tuple[float, int]:
    """Search; (minutes, training runs)."""
    limits = Limits(parse_bytes(case.sram), FLASH)
    request = pipeline.Request(
        2, "head-only", load_target("cortex-m7"), limits.sram_bytes, FLASH, input="rows"
    )
    options = SearchOptions(request, limits, case.cache, case.fast, verify=case.verify)
    begun = time.monotonic()
    with progress(case.name) as bar:
        result = search(model, data, options, bar)
    return (time.monotonic() - begun) / 60, result.trials


def chosen(args: argparse.Namespace) -> tuple[ModelFile, Path]:
    """Model and data of the command line, the embedded ones without."""
    if args.model is None:
        return load_any(embedded.MODEL), embedded.DATA
    folder = data_folder()
    return Sources(folder, OUT).model(args.model), folder / "data" / f"{args.data}.tar"


@contextmanager
def caches(kept: Path | None) -> Iterator[Path]:
    """An empty folder: that one, which stays, or one that is removed. Raises MicrotuneError if
    `kept` is not empty: a warm cache would be timed as a cold one."""
    if kept is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    kept.mkdir(parents=True, exist_ok=True)
    if any(kept.iterdir()):
        raise MicrotuneError(f"--keep {kept}: not empty; name a new folder")
    yield kept


def main() -> None:
    """Search three times, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--data", default="clothing10")
    parser.add_argument("--sram", default="128KB")
    parser.add_argument("--other", default="100KB")
    parser.add_argument("--keep", type=Path, help="keep the caches in this empty folder")
    args = parser.parse_args()
    model, data = chosen(args)
    table = Table("search", "SRAM", "minutes", "training runs", title=model.graph.name)
    with caches(args.keep) as folder:
        estimated, measured = folder / "estimated", folder / "measured"
        for case in (
            Case("estimated, cold", args.sram, estimated, fast=True, verify=False),
            Case("measured and verified, cold", args.sram, measured),
            Case("measured, warm, to the choice", args.other, measured, verify=False),
        ):
            minutes, runs = timed(case, model, data)
            table.add_row(case.name, case.sram, f"{minutes:.1f}", f"{runs}")
    Console(width=WIDTH, highlight=False).print(table)


if __name__ == "__main__":
    run(main)
