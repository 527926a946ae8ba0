"""What augmentation costs on the chip: instructions of a training step with each change, exact.

    python benchmarks/augmentation.py

The reference step (mcunet-5fps, 49KB scheme, 10 classes) on the emulated Cortex-M7, resident and by
rows. A changed frame is another frame, so that the step itself differs a little too (gradients that
are zero are skipped). Needs the optional data folder and the Arm tools.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from common import data_folder
from rich.console import Console
from rich.table import Table

from microtune import pipeline
from microtune.data.image.augment import NONE, Augmentation
from microtune.importers import load_any
from microtune.run.emulator import run_firmware
from microtune.run.job import JOB_NAME, Call, Record, write_job
from microtune.targets import load_target
from microtune.tools.toolchain import build_firmware
from microtune.training.calibrate import synthetic_frame

UNLIMITED, CLASSES = 1 << 24, 10
CHANGES = {
    "none": NONE, "mirrored": Augmentation(1), "up to 8 rows": Augmentation(0, 8),
    "up to 25 codes": Augmentation(0, 0, 25), "all three": Augmentation(1, 8, 25),
}  # fmt: skip


def count(mode: pipeline.InputMode) -> tuple[list[int], int]:
    """(Instructions of a step with each change, bytes of flash)."""
    chip = load_target("cortex-m7")
    model = load_any(next((data_folder() / "models").rglob("mcunet-5fps.pkl")))
    request = pipeline.Request(CLASSES, "49KB", chip, UNLIMITED, UNLIMITED, input=mode)
    with tempfile.TemporaryDirectory(prefix="microtune-augment-") as name:
        folder = Path(name)
        graph = pipeline.compile_model(model, request, folder / "p").graph
        firmware = build_firmware(folder / "p", chip, folder / "f.elf", augment=True)
        shape = graph.tensors["input"].shape
        records = [
            Record(Call.TRAIN, synthetic_frame(shape, 1000), 1, 0.001, change)
            for change in (NONE, *CHANGES.values())
        ]
        write_job(folder / JOB_NAME, 1, records, graph.tensors["input"].bytes, CLASSES)
        done = run_firmware(firmware.elf, chip, folder, plugin=True)
        done.require_success()
        return list(done.call_instructions[1:]), firmware.sizes.flash_bytes


def main() -> None:
    """Print the table."""
    table = Table("frame", title="instructions of one training step, Cortex-M7")
    counts = []
    for mode in ("resident", "rows"):
        table.add_column(f"--input {mode}", justify="right")
        table.add_column("more", justify="right")
        counts.append(count(mode)[0])
    for index, name in enumerate(CHANGES):
        cells = [(n[index], n[index] / n[0] - 1) for n in counts]
        table.add_row(name, *(text for n, more in cells for text in (f"{n:,}", f"{more:+.2%}")))
    Console(width=100, highlight=False).print(table)


if __name__ == "__main__":
    main()
