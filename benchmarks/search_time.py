"""How long a search takes from cold, and how long one for another budget with the cache warm.

    python benchmarks/search_time.py [--model mcunet-5fps --data clothing10] [--sram 128KB]

Three searches, input by rows, on all cores: by the estimate with nothing in the cache, measured and
verified with nothing in the cache, and for the other budget with what the second left there, until
the choice is made. Prints minutes of wall-clock time and training runs. Without arguments the
embedded model on its images, in minutes; others need the optional data folder and take most
of an hour. Not resumable: its caches are new and removed at the end.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import OUT, data_folder, run
from rich.console import Console
from rich.table import Table

from microtune import embedded, pipeline
from microtune.importers import load_any
from microtune.ir.modelfile import ModelFile
from microtune.report.console import progress
from microtune.report.sizes import parse_bytes
from microtune.search.costs import Limits
from microtune.search.search import Options, search
from microtune.study.sources import Sources
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
    options = Options(request, limits, case.cache, case.fast, verify=case.verify)
    begun = time.monotonic()
    with progress(case.name) as bar:
        finding = search(model, data, options, bar)
    return (time.monotonic() - begun) / 60, finding.trials


def chosen(args: argparse.Namespace) -> tuple[ModelFile, Path]:
    """Model and data of the command line, the embedded ones without."""
    if args.model is None:
        return load_any(embedded.MODEL), embedded.DATA
    folder = data_folder()
    return Sources(folder, OUT).model(args.model), folder / "data" / f"{args.data}.tar"


def main() -> None:
    """Search three times, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--data", default="clothing10")
    parser.add_argument("--sram", default="128KB")
    parser.add_argument("--other", default="100KB")
    args = parser.parse_args()
    model, data = chosen(args)
    table = Table("search", "SRAM", "minutes", "training runs", title=model.graph.name)
    with tempfile.TemporaryDirectory() as folder:
        estimated, measured = Path(folder, "estimated"), Path(folder, "measured")
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
