"""What a rule of the arithmetic costs on the chip: instructions of a training step, planned SRAM.

    python benchmarks/rule_costs.py [--docs]

The rules are those of `study.py --only ablation`: mcunet-5fps, scheme 99KB, Cortex-M7, counted in
QEMU. Other rules exist in the portable kernels only; so a row shows by how many instructions it
changes the portable step, and what share of the step with the product's kernels that would be.
Number formats are compiled and counted with the product's kernels. --docs puts the table into
docs/accuracy.md. Needs the optional data folder and the Arm tools.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from common import DOCS, data_folder, put_tables, run
from microtune_studies.overlay import lay_over
from microtune_studies.sources import Sources
from rich.console import Console
from rich.table import Table

from microtune import pipeline
from microtune.ir.modelfile import ModelFile
from microtune.measure.profile import Build, profile_project
from microtune.report.console import progress
from microtune.targets import load_target
from microtune.training.build import Formats

MODEL, SCHEME, CLASSES, ROOMY, WIDTH = "mcunet-5fps", "99KB", 10, 1 << 26, 120
CHIP = load_target("cortex-m7")
RULES = {
    "weights rounded to nearest": "MT_STUDY_WEIGHTS=MT_NEAREST",
    "gradients rounded to nearest": "MT_STUDY_GRADIENTS=MT_NEAREST",
    "exponent offsets fixed as calibrated": "MT_STUDY_EXPONENT=MT_FIXED_OFFSET",
}
FORMATS = {"biases int32": Formats("int32", "int16"), "head float32": Formats("int16", "float32")}


def compiled(model: ModelFile, formats: Formats, project: Path) -> int:
    """Write the C project; its planned SRAM in bytes."""
    request = pipeline.Request(CLASSES, SCHEME, CHIP, ROOMY, ROOMY, formats)
    graph, _ = pipeline.training_graph(model, request)
    pipeline.compile_model(model, request, project)
    return pipeline.planned_sram(graph, pipeline.plan_graph(graph))


def step_instructions(project: Path, *macros: str) -> int:
    """Of one training step, counted. The macros are those of the study overlay, or MT_PORTABLE."""
    flags = CHIP.gcc_flags + tuple(f"-D{macro}" for macro in macros)
    profile = profile_project(project, Build(replace(CHIP, gcc_flags=flags)))
    return profile.total(profile.train)


def costs(model: ModelFile, folder: Path) -> Table:
    """A table of each rule or format beside the reference rule."""
    table = Table(
        "one thing changed", "instructions of a step", "of the step", "planned SRAM, bytes",
        title=f"{MODEL}, {SCHEME}, {CHIP.name}: more or less than the law",
    )  # fmt: skip
    everything = 2 + len(RULES) + len(FORMATS)
    with progress("counting instructions") as bar:
        sram = compiled(model, Formats(), folder / "law")
        reference, portable = (
            step_instructions(folder / "law", *m) for m in ((), ("MT_PORTABLE",))
        )
        table.add_row("the law", f"{reference:,}", "", f"{sram:,}")
        lay_over(folder / "law/src")
        for done, (label, macro) in enumerate(RULES.items(), 2):
            bar(done, everything, label)
            other = step_instructions(folder / "law", "MT_PORTABLE", macro) - portable
            table.add_row(label, f"{other:+,}", f"{100 * other / reference:+.1f} %", "+0")
        for done, (label, formats) in enumerate(FORMATS.items(), 2 + len(RULES)):
            bar(done, everything, label)
            more = compiled(model, formats, folder / label) - sram
            other = step_instructions(folder / label) - reference
            table.add_row(label, f"{other:+,}", f"{100 * other / reference:+.1f} %", f"{more:+,}")
    return table


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="microtune-rules-") as name:
        folder = Path(name)
        table = costs(Sources(data_folder(), folder).model(MODEL), folder)
    Console(width=WIDTH, highlight=False).print(table)
    if options.docs:
        put_tables(DOCS / "accuracy.md", {"rule-costs": [table]}, WIDTH)


if __name__ == "__main__":
    run(main)
