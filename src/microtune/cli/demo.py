"""The command `demo`: the whole way on the embedded model, told as it happens.

It is written on the public Python alone, as a user's own script would be.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

import microtune as mt
from microtune import embedded
from microtune.cli.bars import Bars, say
from microtune.report.console import console

SCHEME = "last-13"
SEED = 0
LEARNING_RATE = 0.02
TARGET = "cortex-m7"


@dataclass(frozen=True)
class Runs:
    """What the demo ran: the same training on host and chip, and head-only beside it."""

    before: mt.Outcome
    host: mt.TrainingOutcome
    chip: mt.TrainingOutcome | None
    head_only: mt.TrainingOutcome
    probe_accuracy: float

    @property
    def after(self) -> mt.TrainingOutcome:
        """What the chip learnt; where it cannot be emulated, what the host learnt."""
        return self.chip or self.host


def demo(
    output: Annotated[Path, typer.Option("-o", metavar="DIR", help="Where to put the results.")]
    = Path("microtune-demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 3,
) -> None:  # fmt: skip
    """The whole way on the embedded model: an emulated Cortex-M7 learns new garments."""
    run_demo(output, epochs)


def run_demo(output: Path, epochs: int) -> None:
    """Compile, train on the chip and on the host, compare, draw; results go to `output`."""
    from microtune.report.pictures import save_predictions

    model = mt.load(embedded.MODEL)
    project = _compiled(model, SCHEME, output / "project")
    images = project.frames(embedded.DATA, split="train")
    console.print(
        f"A network that has only seen {', '.join(model.classes)} learns "
        f"{', '.join(project.class_names)} from {len(images.labels)} images."
    )
    missing = mt.missing_tools()
    for problem in missing:
        console.print(f"The chip's part is skipped: {problem}")
    baseline = _compiled(model, "head-only", output / "head-only")
    runs = Runs(
        host=_train(project, "host", epochs),
        before=project.evaluate(embedded.DATA, note=_quiet),
        chip=None if missing else _train(project, "qemu", epochs),
        head_only=_train(baseline, "host", epochs),
        probe_accuracy=project.linear_probe(embedded.DATA),
    )
    console.print(_table(runs, {} if missing else project.measure().to_json()))
    _verdict(runs)
    picture = output / "predictions.png"
    test = project.frames(embedded.DATA)
    predictions = runs.before.predictions, runs.after.predictions
    save_predictions(picture, test, project.class_names, *predictions)
    console.print(f"Predictions before and after: {picture}")


def _compiled(model: mt.Model, scheme: str, folder: Path) -> mt.Project:
    return mt.compile(model, output=folder, scheme=scheme, data=embedded.DATA, target=TARGET)


def _train(project: mt.Project, on: Literal["host", "qemu"], epochs: int) -> mt.TrainingOutcome:
    with Bars() as bars:
        return project.train(
            embedded.DATA, epochs=epochs, lr=LEARNING_RATE, seed=SEED, on=on,
            evaluate="at-the-end", progress=bars, note=say,
        )  # fmt: skip


def _quiet(_: str) -> None:
    """The table says that nothing was learnt yet."""


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _table(runs: Runs, figures: dict[str, Any]) -> Table:
    table = Table(title="What the device learnt", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    place = "emulated Cortex-M7" if runs.chip else "host"
    table.add_row("test accuracy before", _percent(runs.before.accuracy))
    table.add_row(f"after training on the {place}", _percent(runs.after.accuracy))
    table.add_row("head-only, same steps", _percent(runs.head_only.accuracy))
    table.add_row("linear probe on the same features", _percent(runs.probe_accuracy))
    for name, label in (
        ("sram_bytes", "SRAM, bytes"), ("flash_bytes", "flash, bytes"),
        ("infer_instructions", "instructions, one inference"),
        ("train_instructions", "instructions, one training step"),
    ):  # fmt: skip
        table.add_row(label, f"{figures[name]:,}" if name in figures else "needs the Arm tools")
    table.add_row("host hash", runs.host.parameters_sha256[:16])
    if runs.chip is not None:
        table.add_row("chip hash", runs.chip.parameters_sha256[:16])
        same = runs.chip.parameters_sha256 == runs.host.parameters_sha256
        table.add_row("host hash = chip hash", "yes" if same else "NO")
    return table


def _verdict(runs: Runs) -> None:
    gain = 100 * (runs.after.accuracy - runs.head_only.accuracy)
    helped = "helped" if gain > 0 else "did not help"
    console.print(f"Training the backbone {helped}: {gain:+.1f} points over head-only.")
    if runs.chip is not None and (
        runs.chip.parameters_sha256 != runs.host.parameters_sha256
        or runs.chip.logits_sha256 != runs.host.logits_sha256
    ):
        raise mt.MicrotuneError("host and chip differ: that is a bug; please report this output")
