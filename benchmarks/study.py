"""All studies of docs/accuracy.md, resumable; with --docs the page's tables and pictures.

    python benchmarks/study.py [--output out/study] [--only qas,sparse] [--docs] [--fresh]

The settings are those of the page; `microtune study NAME` runs one study with any other. Raw
results of the page's runs are recorded in benchmarks/results and not repeated, unless --fresh says
so (what lies in --output counts always: that is how it goes on after Ctrl-C); --record puts
there what the tables show, with --only beside what is recorded. Needs the optional data folder and
PyTorch (extra `torch`) for what is simulated.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from common import DOCS, OUT, data_folder, put_tables, run
from microtune_studies.runs import Store
from microtune_studies.sources import Sources
from microtune_studies.studies import STUDIES, Settings, make_work, run_study
from rich.console import Console
from rich.table import Table

from microtune.report.console import progress

WIDTH = 120
RECORDED = Path(__file__).parent / "results" / "study.jsonl.xz"
SETTINGS = {
    "qas": Settings(epochs=10, seeds=5),
    "sparse": Settings(epochs=10, seeds=2),
    "ablation": Settings(epochs=10, seeds=3),
    "ablation-simulated": Settings(epochs=10, seeds=2),
    "streams": Settings(epochs=3, seeds=3),
    "two-classes": Settings(epochs=10, seeds=5),
    "small-steps": Settings(epochs=2, seeds=2),
}


def _settings(name: str, data: str, models: str) -> Settings:
    sets, networks = (tuple(filter(None, text.split(","))) for text in (data, models))
    return replace(SETTINGS[name], data=sets, models=networks)


def main() -> None:
    """Run what is missing, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=OUT / "study")
    parser.add_argument("--only", default=",".join(STUDIES))
    parser.add_argument("--data", default="", help="only these sets, as clothing10.tar")
    parser.add_argument("--models", default="", help="of sparse: only these")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    names = args.only.split(",")
    if unknown := sorted(set(names) - set(STUDIES)):
        parser.error(f"--only {', '.join(unknown)}: there are {', '.join(STUDIES)}")
    part = bool(set(STUDIES) - set(names) or args.data or args.models)
    if args.docs and (args.data or args.models):
        parser.error("--docs with a part of a study would make its table shorter")
    if args.fresh and args.record and part:
        parser.error("--fresh --record with a part of the studies would forget all others")
    console = Console(width=WIDTH, highlight=False)
    store = Store(args.output / "runs", Sources(data_folder(), args.output).identity)
    known = store.unpack(RECORDED) if RECORDED.is_file() and not args.fresh else []
    if RECORDED.is_file() and not args.fresh and not known:
        console.print(f"{RECORDED} is of other numerics, models or images: everything runs again")
    shown = known if part else []
    times = Table("study", "runs", "core hours", "on two cores, h", title="How long the runs took")
    for name in names:
        with progress(f"study {name}") as bar:
            work = make_work(data_folder(), args.output, args.workers, bar)
            found = run_study(name, work, _settings(name, args.data, args.models))
        shown += work.seconds
        hours = sum(work.seconds.values()) / 3600
        times.add_row(name, str(len(work.seconds)), f"{hours:.2f}", f"{hours / 2:.2f}")
        console.print(*found.tables)
        for file, save in found.pictures.items():
            save(args.output / file)
            if args.docs:
                save(DOCS / "images" / file)
        if args.docs:
            put_tables(DOCS / "accuracy.md", {name: found.tables}, WIDTH, list(found.pictures))
    console.print(times)
    if args.docs and not part:
        put_tables(DOCS / "accuracy.md", {"times": [times]}, WIDTH)
    if args.record:
        store.pack(RECORDED, shown)


if __name__ == "__main__":
    run(main)
