"""Training steps a second of the generated C on one core of this machine.

    python benchmarks/host_speed.py [--models mcunet-5fps] [--steps 100] [--rounds 7]

For every model and its 49 KB- and 99 KB-class schemes (10 classes, clothing10, batch 1): medians of
processor time over rounds in which the kernels of this machine and the portable ones take turns on
the same images, and the median of the ratios round by round, which holds when the speed of a shared
machine drifts. Both must have learnt the same bits. Needs the optional data folder.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from common import OUT, data_folder

from microtune import pipeline
from microtune.data import Preprocessing, Split, open_dataset
from microtune.importers import load_any
from microtune.ir.graph import Array
from microtune.run.host import HostLibrary
from microtune.targets import load_target

HUGE = 1 << 28  # what fits is the question of `compile`

SCHEMES = {
    "mcunet-5fps": ("49KB", "99KB"),
    "mbv2-w0.35": ("49KB", "99KB"),
    "proxyless-w0.3": ("49KB", "98KB"),
}
LEARNING_RATE = 0.002
FLAGS = ("-O3", "-march=native")


def seconds_a_step(library: HostLibrary, images: Split, order: Array) -> float:
    """Processor time of a training step, seconds."""
    start = time.process_time()
    for index in order:
        library.train_step(images.frames[index], int(images.labels[index]))
    return (time.process_time() - start) / len(order)


def compare(
    libraries: list[HostLibrary], images: Split, steps: int, rounds: int
) -> tuple[list[float], float]:
    """Median steps a second of each, and the median ratio of the first to the second."""
    random = np.random.default_rng(0)
    times: list[list[float]] = []
    for library in libraries:
        library.set_learning_rate(LEARNING_RATE)
    for number in range(rounds + 1):
        order = random.integers(0, len(images.labels), steps if number else steps // 10 + 1)
        times.append([seconds_a_step(library, images, order) for library in libraries])
    del times[0]  # the caches were cold
    if libraries[0].save() != libraries[1].save():
        raise SystemExit("the kernels have learnt different bits")
    speeds = [1 / statistics.median(column) for column in zip(*times, strict=True)]
    return speeds, statistics.median(slow / fast for fast, slow in times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", default=",".join(SCHEMES))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    folder = data_folder()
    dataset = open_dataset(folder / "data/clothing10.tar")
    print(f"{'model':>15} {'scheme':>7} {'steps/s':>8} {'portable':>9} {'ratio':>6}")
    for name in options.models.split(","):
        model = load_any(folder / "models/mit_tiny-training" / f"{name}.pkl")
        images = dataset.load("train", Preprocessing.from_json(model.preprocessing))
        for scheme in SCHEMES[name]:
            project = OUT / f"speed-{name}-{scheme}"
            request = pipeline.Request(10, scheme, load_target("cortex-m7"), HUGE, HUGE)
            pipeline.compile_model(model, request, project)
            libraries = [
                HostLibrary(project, 0, "default", flags)
                for flags in (FLAGS, (*FLAGS, "-DMT_PORTABLE"))
            ]
            speeds, ratio = compare(libraries, images, options.steps, options.rounds)
            figures = f"{speeds[0]:>8.1f} {speeds[1]:>9.1f} {ratio:>6.2f}"
            print(f"{name:>15} {scheme:>7} {figures}", flush=True)


if __name__ == "__main__":
    main()
