"""Does it learn, and does the backbone help? Test accuracy of the generated C on the host.

    python benchmarks/accuracy.py [--data clothing10.tar] [--schemes 99KB,49KB,head-only]

Trains with device arithmetic at batch 1, default learning rate and schedule, and reports the last
epoch, never the best. Each finished run is kept in `out/accuracy.json`, so the script resumes. The
images and the model are the optional data folder's (MICROTUNE_DATA).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from microtune import pipeline
from microtune.codegen.project import Project
from microtune.datasets import Preprocessing, open_dataset
from microtune.importers import load_any
from microtune.ir.modelfile import ModelFile
from microtune.simulate.runners import HostRunner
from microtune.simulate.session import write_whole
from microtune.simulate.trainer import DEFAULT_LEARNING_RATE, TrainingPlan, run_training
from microtune.targets import load_target
from microtune.training.build import Formats

OUT = Path("out")
HUGE = 2**28


def data_folder() -> Path:
    """The optional data folder; exits with a message where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("MICROTUNE_DATA", beside))
    if not folder.is_dir():
        raise SystemExit("set MICROTUNE_DATA to the folder with data/ and models/")
    return folder


def run_one(
    model: str, data: str, scheme: str, seed: int, epochs: int, lr: float, validate: bool,
    bias: str = "int16", head: str = "int16",
) -> dict[str, object]:  # fmt: skip
    """One training run in a process of its own."""
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = data_folder()
    source = load_any(next((folder / "models").rglob(f"{model}.pkl")))
    dataset = open_dataset(folder / "data" / data)
    preprocessing = Preprocessing.from_json(source.preprocessing)
    if validate:
        train, test = dataset.load_choice(preprocessing)
    else:
        train, test = dataset.load("train", preprocessing), dataset.load("test", preprocessing)
    project_dir = OUT / f"project-{model}-{data}-{scheme}-{bias}-{head}-{os.getpid()}"
    project = compile_for_host(source, len(dataset.classes), scheme, project_dir, bias, head)
    plan = TrainingPlan(epochs, lr, "cosine", seed)
    report = run_training(HostRunner(project_dir, seed), project.graph, plan, train, test)
    return {
        "model": model, "data": data, "scheme": scheme, "seed": seed, "epochs": epochs, "lr": lr,
        "validate": validate, "bias": bias, "head": head, "accuracy": report.test_accuracy,
        "seconds": report.seconds, "parameters_sha256": report.parameters_sha256,
        "arena_bytes": project.plan.arena_bytes,
        "sram_bytes": pipeline.planned_sram(project.graph, project.plan),
    }  # fmt: skip


def compile_for_host(
    source: ModelFile, classes: int, scheme: str, folder: Path, bias: str, head: str
) -> Project:
    """Compile without a budget: what fits is `measure`'s question."""
    formats = Formats(
        "int16" if bias == "int16" else "int32", "float32" if head == "float32" else "int16"
    )
    request = pipeline.Request(classes, scheme, load_target("cortex-m7"), HUGE, HUGE, formats)
    return pipeline.compile_model(source, request, folder)


Key = tuple[str, str, str, int, int, float, bool, str, str]


def run_all(keys: list[Key], store: Path, workers: int) -> list[dict[str, object]]:
    """Run what `store` does not hold yet; returns the results of all keys."""
    names = ("model", "data", "scheme", "seed", "epochs", "lr", "validate", "bias", "head")
    known = json.loads(store.read_text()) if store.is_file() else []
    have = {tuple(r[n] for n in names): r for r in known}
    todo = [key for key in keys if key not in have]
    print(f"{len(keys) - len(todo)} of {len(keys)} runs are done already", flush=True)
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(run_one, *key) for key in todo]
        for number, future in enumerate(as_completed(futures), 1):
            result = future.result()
            have[tuple(result[n] for n in names)] = result
            write_whole(store, (json.dumps(list(have.values()), indent=1) + "\n").encode())
            percent, seconds = 100 * float(str(result["accuracy"])), float(str(result["seconds"]))
            what = " ".join(str(result[n]) for n in ("scheme", "bias", "head", "lr", "seed"))
            print(f"[{number}/{len(todo)}] {what}: {percent:.1f} % in {seconds:.0f} s", flush=True)
    return [have[key] for key in keys]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="mcunet-5fps")
    parser.add_argument("--data", default="clothing10.tar")
    parser.add_argument("--schemes", default="99KB,head-only,49KB")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=DEFAULT_LEARNING_RATE)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    keys: list[Key] = [
        (options.model, options.data, scheme, seed, options.epochs, options.lr, False,
         "int16", "int16")
        for scheme in options.schemes.split(",") for seed in range(options.seeds)
    ]  # fmt: skip
    results = run_all(keys, OUT / "accuracy.json", options.workers)
    print(
        f"\n{options.model}, {options.data}, {options.epochs} epochs, lr {options.lr}, last epoch"
    )
    print(f"{'scheme':>12} {'test accuracy':>22} {'mean':>7} {'planned SRAM':>13}")
    for scheme in options.schemes.split(","):
        rows = [r for r in results if r["scheme"] == scheme]
        values = [100 * float(str(r["accuracy"])) for r in rows]
        listed = " ".join(f"{v:.1f}" for v in values)
        print(
            f"{scheme:>12} {listed:>22} {statistics.mean(values):7.2f} {rows[0]['sram_bytes']:>13,}"
        )


if __name__ == "__main__":
    main()
