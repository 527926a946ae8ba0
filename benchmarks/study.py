"""All studies of docs/accuracy.md, resumable; with --docs the page's tables and pictures.

    python benchmarks/study.py [--output out/study] [--only qas,sparse] [--docs]

The settings are those of the page; `microtune study NAME` runs one study with any other. Needs the
optional data folder and PyTorch (extra `torch`) for what is simulated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common import DOCS, OUT, data_folder, put_tables
from rich.console import Console

from microtune.report.console import progress
from microtune.study.studies import STUDIES, Settings, make_work, run_study

WIDTH = 120
SETTINGS = {
    "qas": Settings(epochs=10, seeds=5),
    "sparse": Settings(epochs=10, seeds=3),
    "ablation": Settings(epochs=10, seeds=3),
    "streams": Settings(epochs=3, seeds=3),
    "two-classes": Settings(epochs=10, seeds=5),
    "small-steps": Settings(epochs=2, seeds=2),
}


def main() -> None:
    """Run what is missing, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=OUT / "study")
    parser.add_argument("--only", default=",".join(STUDIES))
    parser.add_argument("--workers", type=int)
    parser.add_argument("--docs", action="store_true")
    args = parser.parse_args()
    console = Console(width=WIDTH, highlight=False)
    for name in args.only.split(","):
        with progress(f"study {name}") as bar:
            work = make_work(data_folder(), args.output, args.workers, bar)
            found = run_study(name, work, SETTINGS[name])
        console.print(*found.tables)
        for file, save in found.pictures.items():
            save(args.output / file)
            if args.docs:
                save(DOCS / "images" / file)
        if args.docs:
            put_tables(DOCS / "accuracy.md", {name: found.tables}, WIDTH)


if __name__ == "__main__":
    main()
