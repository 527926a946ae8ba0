"""What --balance is worth where one class is rare: the embedded images, most of one class left out.

    python benchmarks/balance.py [--keep 10] [--scheme last-6] [--epochs 5]

Trains the generated C on the host with the seeds 0 to 4, with and without --balance, on all test
images (120 of each class), and prints the table of docs/training.md.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from microtune import embedded, pipeline
from microtune.importers import load_any
from microtune.report.console import progress
from microtune.targets import load_target
from microtune.train.outcome import Outcome, pooled
from microtune.train.session import Session
from microtune.train.trainer import TrainingPlan

SEEDS = range(5)
RATE = 0.02
SRAM, FLASH = 256 * 1024, 1024 * 1024


def rare(session: Session, label: int, keep: int) -> Session:
    """The session with the first `keep` training images of a class."""
    labels = session.train_split.labels
    chosen = np.sort(np.r_[np.flatnonzero(labels != label), np.flatnonzero(labels == label)[:keep]])
    return replace(session, train_split=session.train_split.take(chosen))


def outcome(session: Session, epochs: int, *, balance: bool) -> Outcome:
    """All seeds together."""
    plan = TrainingPlan(epochs, RATE, "cosine", 0, evaluate="at-the-end", balance=balance)
    with progress("compiling") as bar:
        runs = session.seed_runs(plan, list(SEEDS), bar)
    with runs, progress("training") as bar:
        reports = runs.reports(bar)
    found = pooled([report.outcome for report in reports if report.outcome is not None])
    assert found is not None
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keep", type=int, default=10)
    parser.add_argument("--scheme", default="last-6")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        project = Path(name) / "p"
        request = pipeline.Request(5, options.scheme, load_target("cortex-m7"), SRAM, FLASH)
        pipeline.compile_model(load_any(embedded.MODEL), request, project)
        with progress("reading images") as bar:
            session = Session.open(project, embedded.DATA, "host", bar)
        print("| rare class | all images | with --balance | the class | with --balance |")
        print("|---|---|---|---|---|")
        for label, rare_name in enumerate(session.classes):
            few = rare(session, label, options.keep)
            plain, balanced = (outcome(few, options.epochs, balance=b) for b in (False, True))
            shares = (
                plain.accuracy,
                balanced.accuracy,
                plain.by_class[label],
                balanced.by_class[label],
            )
            print("|", " | ".join([rare_name, *(f"{100 * (s or 0):.1f}" for s in shares)]), "|")


if __name__ == "__main__":
    main()
