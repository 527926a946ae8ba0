"""Imported `.tflite` models learn what they have not met, on the emulated Cortex-M7.

    python benchmarks/learn_tflite.py [--only vww_96,words] [--local] [--docs]

For each task: the linear probe, head-only and `--scheme auto`, within 256 KB of SRAM and 1 MB of
flash. Rates are chosen on validation samples (one seed), test samples are looked at with the chosen
one (three seeds). The generated C trains on the host; the emulated chip repeats the first steps of
the first run, and the hashes of parameters and outputs are compared. --local adds sets that may not
be published from. Writes out/learn_tflite.json; with --docs it fills docs/learning.md. Needs the
optional data folder and the Arm tools.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from common import DOCS, OUT, data_folder, put_tables, run
from instructions_tables import new_table
from learn_tasks import FEW, Samples, fan, photos, words
from rich.console import Console
from rich.table import Table

import microtune as mt
from microtune.run.runners import BackEnd

RATES = (0.000125, 0.0005, 0.002, 0.008, 0.032, 0.128)
VALUE_RATES = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0)
SCHEMES = ("head-only", "auto")
SEEDS = (0, 1, 2)
CHIP_STEPS = 40
PLACES: tuple[BackEnd, ...] = ("host", "qemu")
SRAM, FLASH = "256KB", "1MB"
console = Console(width=132, highlight=False)


@dataclass(frozen=True)
class Task:
    """A model, what it is to learn, and for how long.

    `head` is that of `compile`; `keep` where the classes are the model's own, so that it has an
    accuracy before. `local`: the data may not be published from.
    """

    name: str
    model: str
    samples: Callable[[mt.Model], Samples]
    epochs: int
    head: str = "new"
    local: bool = False


TASKS = (
    Task("vww_96", "mlcommons_tiny/vww_96_int8", lambda m: photos(m, "person_cc.tar"), 5, "keep"),
    Task("vww", "mit_tinyengine/vww", lambda m: photos(m, "person_cc.tar"), 5, "keep"),
    Task("hand signs", "mlcommons_tiny/pretrainedResnet_quant",
         lambda m: photos(m, "signdigits10.tar"), 5),
    Task("garments", "mlcommons_tiny/pretrainedResnet_quant",
         lambda m: photos(m, "clothing10.tar"), 3),
    Task("cifar10", "mlcommons_tiny/pretrainedResnet_quant",
         lambda m: photos(m, "cifar10_6k.npz"), 2, local=True),
    Task("words", "mlcommons_tiny/kws_ref_model", lambda _: words("pretrain"), 20),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What one scheme made of a task; shares are of the test samples, 0 to 1."""

    task: str
    scheme: str
    rate: float
    before: float | None
    probe: float | None
    after: tuple[float, ...]
    sram: int
    flash: int
    step_instructions: int
    host_hash: str
    same_bits: bool


def compiled(*args: object, **options: object) -> mt.Project:
    """`mt.compile` within the budget."""
    return mt.compile(*args, sram=SRAM, flash=FLASH, **options)  # type: ignore[arg-type]


def say(row: Row) -> None:
    """Print what was found, while other tasks still run."""
    same = "equal" if row.same_bits else "DIFFERENT"
    console.print(
        f"{row.task}, {row.scheme}, rate {row.rate:g}: {', '.join(f'{v:.3f}' for v in row.after)}; "
        f"{CHIP_STEPS} steps, host and chip: {same} ({row.host_hash})"
    )


def own_accuracy(model: mt.Model, data: Path, folder: Path) -> float:
    """The model's own answers on the test samples, as the device gives them."""
    project = compiled(model, data=data, head="keep", scheme="none", output=folder)
    return project.evaluate(data).accuracy


def measured(project: mt.Project) -> tuple[int, int, int]:
    """(SRAM, flash, instructions of a training step) in the emulator; refused if it is too big."""
    figures = project.measure().to_json()
    return figures["sram_bytes"], figures["flash_bytes"], figures["train_instructions"]


def learn(task: Task) -> list[Row]:
    """All rows of a task of classes."""
    model = mt.load(data_folder() / "models" / f"{task.model}.tflite")
    samples, folder = task.samples(model), OUT / "learn" / task.name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    choice = samples.write(folder / "choice.npz", ["train"], "val")
    final = samples.write(folder / "final.npz", ["train", "val"], "test")
    chip = samples.write(folder / "chip.npz", ["train", "val"], "test", FEW)
    before = own_accuracy(model, final, folder / "own") if task.head == "keep" else None
    probe, rows = None, []
    for scheme in SCHEMES:
        project = compiled(model, data=final, head=task.head, scheme=scheme, output=folder / scheme)
        if probe is None:
            probe = project.linear_probe(final)
        rate = max(RATES, key=lambda r: accuracy(project, choice, task.epochs, r, 0))
        found = tuple(accuracy(project, final, task.epochs, rate, s, scheme) for s in SEEDS)
        digest, same = chip_hashes(project, chip, task.epochs, rate)
        rows.append(Row(task.name, scheme, rate, before, probe, found, *measured(project),
                        digest, same))  # fmt: skip
        say(rows[-1])
    return rows


def accuracy(
    project: mt.Project, data: Path, epochs: int, rate: float, seed: int, keep: str | None = None
) -> float:
    """The accuracy on the test samples of `data`; `keep` is the scheme whose state is kept."""
    state = data.with_name(f"{keep}-{seed}.bin") if keep else None
    outcome = project.train(
        data, epochs=epochs, lr=rate, seed=seed, save=state, evaluate="at-the-end"
    )
    return outcome.accuracy


def chip_hashes(project: mt.Project, data: Path, epochs: int, rate: float) -> tuple[str, bool]:
    """(the host's hash, whether the chip has the same) after the first steps of seed 0.

    Parameters and the outputs of every step are compared. `data` has the training samples of the
    run in their order, so these are the run's first steps.
    """
    found = []
    for place in PLACES:
        if project.learns_values:
            values = project.regression.train(data, epochs=epochs, steps=CHIP_STEPS, lr=rate,
                                              on=place)  # fmt: skip
            found.append((values.parameters_sha256, values.outputs_sha256))
        else:
            outcome = project.train(data, epochs=epochs, steps=CHIP_STEPS, lr=rate, on=place,
                                    evaluate="at-the-end")  # fmt: skip
            found.append((outcome.parameters_sha256, outcome.logits_sha256))
    return found[0][0][:12], found[0] == found[1]


def other_voices(rows: list[Row]) -> list[Row]:
    """The networks that learnt the words go on with two voices that they have not heard."""
    samples, folder = words("personal"), OUT / "learn" / "words"
    final = samples.write(folder / "personal.npz", ["train", "val"], "test")
    chip = samples.write(folder / "personal-chip.npz", ["train", "val"], "test", FEW)
    made = []
    for row in rows:
        project = mt.open(folder / row.scheme)
        before, after = [], []
        for seed in SEEDS:
            state = folder / f"{row.scheme}-{seed}.bin"
            before.append(project.evaluate(final, load=state).accuracy)
            outcome = project.train(final, epochs=20, lr=row.rate, seed=seed, load=state, anew=True,
                                    evaluate="at-the-end")  # fmt: skip
            after.append(outcome.accuracy)
        digest, same = chip_hashes(project, chip, 20, row.rate)
        made.append(Row("words, other voices", row.scheme, row.rate, float(np.mean(before)), None,
                        tuple(after), row.sram, row.flash, row.step_instructions, digest,
                        same))  # fmt: skip
        say(made[-1])
    return made


# -- the fan --------------------------------------------------------------------------------------


def learn_fan() -> tuple[list[Row], float]:
    """(rows whose figures are AUC, the AUC of a Mahalanobis distance on the same windows).

    Rates are chosen by the error on held out windows of the normal fan: no anomaly is needed.
    """
    model = mt.load(data_folder() / "models/mlcommons_tiny/ad01_int8.tflite")
    data, folder, epochs = fan(), OUT / "learn" / "fan", 40
    folder.mkdir(parents=True, exist_ok=True)
    choice = data.samples.write(folder / "choice.npz", ["train"], "val")
    final = data.samples.write(folder / "final.npz", ["train", "val"], "test")
    chip = data.samples.write(folder / "chip.npz", ["train", "val"], "test", FEW)
    rows = []
    for scheme in SCHEMES:
        project = compiled(model, outputs=640, scheme=scheme, output=folder / scheme)
        network = project.regression
        errors = {r: network.train(choice, epochs=epochs, lr=r).test_loss for r in VALUE_RATES}
        rate = min(VALUE_RATES, key=lambda r: errors[r] or 0.0)
        found = [network.train(final, epochs=epochs, lr=rate, seed=seed) for seed in SEEDS]
        untaught = network.train(final, epochs=1, steps=1, lr=0.0).anomaly
        digest, same = chip_hashes(project, chip, epochs, rate)
        rows.append(Row("fan", scheme, rate, _auc(untaught), None,
                        tuple(_auc(one.anomaly) for one in found), *measured(project), digest,
                        same))  # fmt: skip
        say(rows[-1])
    return rows, data.distance_auc


def _auc(anomaly: object) -> float:
    value = getattr(anomaly, "auc", None)
    if value is None:
        raise mt.MicrotuneError("the test samples of the fan have no anomaly score")
    return float(value)


# -- tables ---------------------------------------------------------------------------------------


def accuracy_table(rows: list[Row]) -> Table:
    """Accuracy of every task and scheme."""
    columns = ["task", "trained", "rate", "before", "linear probe", "after", "SRAM", "flash",
               "M instr. a step", "host = chip"]  # fmt: skip
    table = new_table("Test accuracy in %, mean ± deviation of 3 seeds", columns, left=2)
    for number, row in enumerate(rows):
        if number and rows[number - 1].task != row.task:
            table.add_section()
        table.add_row(row.task, row.scheme, f"{row.rate:g}", _percent(row.before),
                      _percent(row.probe), _spread(row.after, 100, 1), *_costs(row))  # fmt: skip
    return table


def fan_table(rows: list[Row], distance: float) -> Table:
    """The area under the ROC curve of the fan's anomaly scores."""
    columns = ["scores", "rate", "before", "AUC after", "SRAM", "flash", "M instr. a step",
               "host = chip"]  # fmt: skip
    table = new_table("A fan's vibration: AUC, mean ± deviation of 3 seeds", columns)
    table.add_row("Mahalanobis, as published with the data", "", "", "0.886", *[""] * 4)
    table.add_row("Mahalanobis, the same windows as below", "", "", f"{distance:.3f}", *[""] * 4)
    for row in rows:
        table.add_row(f"ad01_int8, {row.scheme}", f"{row.rate:g}", f"{row.before or 0:.3f}",
                      _spread(row.after, 1, 3), *_costs(row))  # fmt: skip
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _spread(values: tuple[float, ...], unit: float, digits: int) -> str:
    mean, deviation = unit * np.mean(values), unit * np.std(values, ddof=1)
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def _costs(row: Row) -> list[str]:
    same = f"{row.host_hash}" if row.same_bits else "DIFFERENT"
    return [f"{row.sram:,}", f"{row.flash:,}", f"{row.step_instructions / 1e6:.1f}", same]


def main() -> None:
    """Print the tables and write out/learn_tflite.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    known = [*(task.name for task in TASKS), "fan"]
    parser.add_argument("--only", default="", help=f"of {', '.join(known)}; with commas")
    parser.add_argument("--local", action="store_true", help="sets not to be published from too")
    parser.add_argument("--docs", action="store_true", help="fill docs/learning.md")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else known
    if unknown := set(chosen) - set(known):
        parser.error(f"--only {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    if options.docs and (options.only or options.local):
        parser.error("--docs takes all tasks that may be published from, and no other")
    warnings.simplefilter("ignore", mt.MicrotuneWarning)  # notes; the tables say what matters
    rows: list[Row] = []
    for task in TASKS:
        if task.name in chosen and (options.local or not task.local):
            found = learn(task)
            rows += [*found, *(other_voices(found) if task.name == "words" else [])]
    shown = {"classes": [accuracy_table(rows)] if rows else []}
    if "fan" in chosen:
        values, distance = learn_fan()
        rows += values
        shown["fan"] = [fan_table(values, distance)]
    for tables in shown.values():
        console.print(*tables)
    text = json.dumps([asdict(row) for row in rows], indent=1)
    (OUT / "learn_tflite.json").write_text(text + "\n", encoding="utf-8")
    if options.docs:
        put_tables(DOCS / "learning.md", shown, console.width)
    if not all(row.same_bits for row in rows):
        raise mt.MicrotuneError("host and chip differ: see the tables")


if __name__ == "__main__":
    run(main)
