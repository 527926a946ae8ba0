"""What momentum buys: SGD against SGD with momentum 0.9 at their best learning rates.

    python benchmarks/momentum.py [--epochs 3] [--docs]

mcunet-5fps with the 49KB scheme learns clothing10 and signdigits10 on the host, in the generated C.
Each optimiser has two learning rates. One run per rate, whose seed is not reported, is judged on
the validation images; three seeds at the best rate are judged on the test images.
What was run is kept in out/momentum.json, so that an interrupted measurement goes on. --docs puts
the table into docs/training.md. Needs the optional data folder.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from common import DOCS, OUT, data_folder, put_tables, run
from rich.console import Console
from rich.table import Table

import microtune as mt
from microtune.api.arguments import SplitName
from microtune.tools.files import write_whole

MODEL, SCHEME, CLASSES = "mcunet-5fps", "49KB", 10
DATA = ("clothing10", "signdigits10")
SEEDS, CHOOSING_SEED = (0, 1, 2), 100
# A velocity adds up about ten steps, so that the rates of momentum are a tenth of those of SGD.
RATES = {"sgd": (0.004, 0.008), "momentum": (0.0004, 0.0008)}


@dataclass
class Bench:
    """The projects, one an optimiser, and the results so far by what was run."""

    folder: Path
    epochs: int
    results: Path
    found: dict[str, float]

    @cached_property
    def projects(self) -> dict[str, mt.Project]:
        """The projects by optimiser, each compiled for a chip without limits."""
        model = next((data_folder() / "models").rglob(f"{MODEL}.pkl"))
        return {
            name: mt.compile(
                model, output=self.folder / name, scheme=SCHEME, classes=CLASSES, sram="16MB",
                flash="16MB", input="rows", optimizer=name,  # type: ignore[arg-type]
            )
            for name in RATES
        }  # fmt: skip

    def run(self, name: str, data: str, rate: float, seed: int) -> float:
        """Accuracy after the last epoch: on test images, or for CHOOSING_SEED on those of val."""
        key = f"{name} {data} {rate:g} seed {seed} epochs {self.epochs}"
        if key not in self.found:
            project, images = self.projects[name], data_folder() / "data" / f"{data}.tar"
            state = self.folder / "state.bin"
            state.unlink(missing_ok=True)
            project.train(
                images, epochs=self.epochs, lr=rate, seed=seed, save=state, latents=True,
                note=lambda _: None,
            )  # fmt: skip
            split: SplitName = "val" if seed == CHOOSING_SEED else "test"
            outcome = project.evaluate(images, load=state, split=split, note=lambda _: None)
            self.found[key] = outcome.accuracy
            self.results.parent.mkdir(exist_ok=True)
            write_whole(self.results, json.dumps(self.found, indent=1).encode())
            print(key, self.found[key], flush=True)
        return self.found[key]

    def best_rate(self, name: str, data: str) -> float:
        """The rate with the best accuracy on validation images; of equal ones the lowest."""
        return max(RATES[name], key=lambda rate: self.run(name, data, rate, CHOOSING_SEED))


def table(bench: Bench) -> Table:
    """One row for each data set and optimiser."""
    result = Table(
        "data", "optimiser", "learning rate", "test accuracy, %", "seeds", "SRAM, bytes",
        title=f"{MODEL}, {SCHEME} scheme, generated C, input by rows, {len(SEEDS)} seeds, "
        f"{bench.epochs} epochs",
    )  # fmt: skip
    for data in DATA:
        for name, project in bench.projects.items():
            rate = bench.best_rate(name, data)
            each = [100 * bench.run(name, data, rate, seed) for seed in SEEDS]
            result.add_row(
                data, name, f"{rate:g}", f"{np.mean(each):.1f} ± {np.std(each, ddof=1):.1f}",
                ", ".join(f"{value:.1f}" for value in each),
                f"{project.figures.planned_sram_bytes:,}",
            )  # fmt: skip
    return result


def main() -> None:
    """Measure what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    results = OUT / "momentum.json"
    found = json.loads(results.read_text()) if results.is_file() else {}
    with tempfile.TemporaryDirectory(prefix="microtune-momentum-") as name:
        made = table(Bench(Path(name), options.epochs, results, found))
    Console(width=110, highlight=False).print(made)
    if options.docs:
        put_tables(DOCS / "training.md", {"momentum": [made]}, 110)


if __name__ == "__main__":
    run(main)
