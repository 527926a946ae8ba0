"""The reference step on the emulated chip: bytes, instructions, and the host's hash.

    python benchmarks/reference_step.py [--schemes 49KB,99KB] [--steps 200]

Compiles mcunet-5fps for 10 classes, measures the firmware in QEMU (Cortex-M7), then trains the same
steps on real images on the host and on the chip and compares the canonical hashes. Needs the
optional data folder and the Arm tools.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from common import OUT, data_folder

from microtune import pipeline
from microtune.importers import load_any
from microtune.measure.measure import measure
from microtune.report.console import progress
from microtune.targets import load_target
from microtune.train.session import Session
from microtune.train.trainer import DEFAULT_LEARNING_RATE, TrainingPlan

SRAM, FLASH = 256 * 1024, 1024 * 1024
NAMES = (
    "arena_bytes", "static_bytes", "stack_bytes", "sram_bytes", "flash_bytes",
    "infer_instructions", "train_instructions", "infer_macs", "train_macs",
)  # fmt: skip


def same_bits(project: Path, data: Path, steps: int) -> tuple[bool, str]:
    """Whether host and chip agree after `steps` steps, and the host's parameter hash."""
    plan = TrainingPlan(10, DEFAULT_LEARNING_RATE, "cosine", 0, steps)
    found = []
    for place in ("host", "qemu"):
        with progress(f"{steps} steps on {place}") as bar:
            session = Session.open(project, data, "qemu" if place == "qemu" else "host", bar)
            report = replace(session, test_split=None).train(plan, bar)
        found.append((report.parameters_sha256, report.logits_sha256))
    return found[0] == found[1], found[0][0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="mcunet-5fps")
    parser.add_argument("--schemes", default="49KB,99KB")
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    folder = data_folder()
    model = load_any(next((folder / "models").rglob(f"{options.model}.pkl")))
    for scheme in options.schemes.split(","):
        project = OUT / f"step-{options.model}-{scheme}"
        request = pipeline.Request(10, scheme, load_target("cortex-m7"), SRAM, FLASH)
        pipeline.compile_model(model, request, project)
        figures = measure(project).to_json()
        print(f"\n{options.model}, {scheme}, {figures['compiler']} {figures['optimisation']}")
        for name in NAMES:
            print(f"{name:>20} {figures[name]:>14,}")
        if options.steps:
            same, digest = same_bits(project, folder / "data/clothing10.tar", options.steps)
            word = "equal" if same else "DIFFERENT"
            print(f"{options.steps} steps, host and chip: {word} ({digest[:16]})")


if __name__ == "__main__":
    main()
