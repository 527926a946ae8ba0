"""Instructions of one inference and one training step, exact, layer by layer, and the ladder.

    python benchmarks/instructions.py [--only goals,layers,builds,ladder] [--no-clang] [--docs]

Compiles the reference models for 10 classes, links firmware for several cores, compilers and flags
and counts every instruction in QEMU. Figures of other engines are those of
benchmarks/published.json, which says where they come from. Writes out/instructions.json,
out/instructions.png and out/instructions-ladder.png; with --docs also the tables and pictures of
docs/instructions.md. Needs the optional data folder and the Arm tools; Clang (ziglang) if it is
there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import instructions_tables as tables
from common import DOCS, OUT, data_folder, put_tables
from rich.console import Console
from rich.table import Table

from microtune import pipeline
from microtune.codegen.instructions_bound import MULTIPLY_ONLY, instruction_set
from microtune.importers import load_any
from microtune.measure.cycles import CORTEX_M4, CORTEX_M7, ModelledCycles, model_cycles
from microtune.measure.instruction_rows import Row, layer_rows, rows_by_kind, rows_by_shape
from microtune.measure.profile import Build, Profile, merge, profile_project
from microtune.report.instructions_picture import save_ladder, save_reference
from microtune.report.instructions_text import functions_table, rows_table
from microtune.targets import Target, load_target
from microtune.tools.toolchain import FirmwareCompiler

PUBLISHED = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
MODELS = ("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3")
REFERENCE = "mcunet-5fps"
CLASSES, UNLIMITED = 10, 1 << 26
SECTIONS = ("goals", "layers", "builds", "ladder")
TEXT_MUST = 48 * 1024
# (compiler, flags) beside GCC -O3. zig makes -O3 of -O2.
BUILDS: dict[str, tuple[tuple[FirmwareCompiler, str], ...]] = {
    "cortex-m7": (("gcc", "-O2"), ("gcc", "-Ofast"), ("gcc", "-Os"), ("zig", "-O3"),
                  ("zig", "-Os")),
    "cortex-m4": (("gcc", "-O2"), ("gcc", "-Os"), ("zig", "-O3")),
    "cortex-m55": (("gcc", "-O2"), ("gcc", "-Os"), ("zig", "-O3"), ("zig", "-Os")),
    "cortex-m33": (), "cortex-m3": (("gcc", "-Os"),), "cortex-m0plus": (("gcc", "-Os"),),
}  # fmt: skip
CYCLE_MODELS = {"cortex-m7": CORTEX_M7, "cortex-m4": CORTEX_M4}
console = Console(width=140, highlight=False)  # the same in a file and on a screen


@dataclass(frozen=True)
class Step:
    """What is compiled and how it is built."""

    build: Build
    model: str = REFERENCE
    scheme: str = "49KB"
    input: pipeline.InputMode = "resident"
    schedule: pipeline.Schedule = "stream"

    @property
    def project(self) -> str:
        """Folder of the C project: one for all builds."""
        plan = [self.model, self.scheme, self.input, self.schedule]
        return "-".join(["instructions", *plan, _planned_for(self).name])


@dataclass(frozen=True)
class Counted:
    """What one firmware executed, and the bytes of its kernels' code."""

    step: Step
    compiler: str
    text_bytes: int
    infer: int
    train: int
    infer_rows: tuple[Row, ...]
    train_rows: tuple[Row, ...]
    functions: Mapping[str, int]
    train_cycles: ModelledCycles | None

    def to_json(self) -> dict[str, Any]:
        """Totals and rows."""
        step = self.step
        return {
            "model": step.model, "scheme": step.scheme, "input": step.input,
            "schedule": step.schedule, "build": step.build.name, "compiler": self.compiler,
            "infer": self.infer, "train": self.train, "kernel_text_bytes": self.text_bytes,
            "infer_layers": [row.to_json() for row in self.infer_rows],
            "train_layers": [row.to_json() for row in self.train_rows],
            "train_functions": dict(self.functions),
            "model_cycles": self.train_cycles.cycles if self.train_cycles else None,
        }  # fmt: skip


COMPILED: set[Path] = set()
SHOWN: dict[str, list[Table]] = {}  # the tables of each block of docs/instructions.md
RESULTS: dict[Step, Counted] = {}


def _planned_for(step: Step) -> Target:
    return load_target("cortex-m7-psram" if step.scheme == "full" else "cortex-m7")


def compiled(step: Step) -> Path:
    """The C project of a step, written once; its build does not matter."""
    folder = OUT / step.project
    if folder not in COMPILED:
        model = load_any(next((data_folder() / "models").rglob(f"{step.model}.pkl")))
        request = pipeline.Request(
            CLASSES, step.scheme, _planned_for(step), UNLIMITED, UNLIMITED, input=step.input,
            schedule=step.schedule,
        )  # fmt: skip
        pipeline.compile_model(model, request, folder)
        COMPILED.add(folder)
    return folder


def counted(step: Step) -> Counted:
    """Compile, build, run and count, once; says on the console what it found."""
    if step in RESULTS:
        return RESULTS[step]
    begin = time.monotonic()
    profile = profile_project(compiled(step), step.build)
    result = _summary(step, profile)
    seconds = time.monotonic() - begin
    what = f"{step.model} {step.scheme} {step.input} {step.schedule}"
    console.print(
        f"{what:<38} {step.build.name:<34} {result.infer:>12,} {result.train:>12,} {seconds:5.1f} s"
    )
    RESULTS[step] = result
    return result


def _summary(step: Step, profile: Profile) -> Counted:
    build = step.build
    model = CYCLE_MODELS.get(build.target.name)
    counts = merge(part.counts for part in profile.train)
    return Counted(
        step, profile.firmware.compiler, profile.text_bytes,
        profile.total(profile.infer), profile.total(profile.train),
        tuple(layer_rows(profile, profile.infer, build)),
        tuple(layer_rows(profile, profile.train, build)),
        profile.functions(profile.train),
        model_cycles(profile.code, counts, model) if model else None,
    )  # fmt: skip


def reference(target: str, **changes: Any) -> Step:
    """The reference step on a core, GCC -O3."""
    return Step(Build(load_target(target)), **changes)


def show(block: str, table: Table) -> None:
    """Print a table and keep it for the docs."""
    console.print(table)
    SHOWN.setdefault(block, []).append(table)


def write_docs() -> None:
    """Put the tables between the marks of docs/instructions.md, and the pictures beside it."""
    put_tables(DOCS / "instructions.md", SHOWN, console.width)
    for name in ("instructions.png", "instructions-ladder.png"):
        if (OUT / name).is_file():
            shutil.copyfile(OUT / name, DOCS / "images" / name)


# -- sections -------------------------------------------------------------------------------------


def goals() -> dict[str, Any]:
    """The figures of the goals, and the other engines beside them."""
    cores = {name: counted(reference(name)) for name in ("cortex-m7", "cortex-m4", "cortex-m55")}
    streaming = {}
    for name in ("cortex-m7", "cortex-m55"):
        layers = counted(reference(name, schedule="layers"))
        by_rows = counted(reference(name, input="rows"))
        for mode, step in (("rows", by_rows), ("resident", cores[name])):
            streaming[f"{name} {mode}"] = {
                "infer": step.infer / layers.infer - 1,
                "train": step.train / layers.train - 1,
            }
        plain, streamed = (rows_by_kind(c.train_rows) for c in (layers, by_rows))
        show("streaming", tables.streaming_table(name, plain, streamed))
    found = {name: {"infer": c.infer, "train": c.train} for name, c in cores.items()}
    show("goals", tables.goals_table(found, streaming, PUBLISHED))
    kinds = {name: rows_by_kind(c.train_rows) for name, c in cores.items()}
    show("classes", tables.classes_table(kinds, PUBLISHED))
    modelled = {name: c.train_cycles for name, c in cores.items() if c.train_cycles}
    show("cycles", tables.cycles_table(modelled, PUBLISHED))
    save_reference(OUT / "instructions.png", kinds["cortex-m7"], found, PUBLISHED)
    return {"cores": found, "streaming": streaming}


def layers() -> dict[str, Any]:
    """Each kernel and shape beside the bound of its instruction set."""
    for name in ("cortex-m7", "cortex-m55"):
        step = counted(reference(name))
        alone = MULTIPLY_ONLY[instruction_set(step.step.build.target.isa)]
        title = f"{step.step.build.name}, one training step; the multiplication alone: {alone:.4g}"
        show(f"layers {name}", rows_table(f"{title} per MAC", rows_by_shape(step.train_rows)))
        show("kernels", rows_table(title, rows_by_kind(step.train_rows), layers=False))
        console.print(functions_table(f"{name}: functions", step.functions))
    return {}


def builds(clang: bool) -> dict[str, Any]:
    """The same step by other compilers and flags, with the bytes of the kernels."""
    found = []
    for target, others in BUILDS.items():
        first = reference(target)
        for compiler, flag in (("gcc", "-O3"), *others):
            if compiler == "zig" and not clang:
                continue
            build = Build(first.build.target, flag, compiler)
            found.append(counted(Step(build)))
    rows = [(c.step.build.name, c.compiler, c.infer, c.train, c.text_bytes) for c in found]
    show("builds", tables.builds_table(rows, TEXT_MUST))
    return {}


def ladder() -> dict[str, Any]:
    """Full update on portable kernels, sparse on portable, sparse on tuned, for the models."""
    found: dict[str, dict[str, int]] = {}
    psram, chip = load_target("cortex-m7-psram"), load_target("cortex-m7")
    for model in MODELS:
        full = Step(Build(psram, portable=True), model, "full", "resident", "layers")
        sparse = Step(Build(chip, portable=True), model, "49KB")
        tuned = Step(Build(chip), model, "49KB")
        found[model] = {
            "full update, portable kernels": counted(full).train,
            "sparse (49KB), portable kernels": counted(sparse).train,
            "sparse (49KB), tuned kernels": counted(tuned).train,
        }
    show("ladder", tables.ladder_table(found, PUBLISHED))
    save_ladder(OUT / "instructions-ladder.png", found)
    return {"ladder": found}


def main() -> None:
    """Print the tables, write JSON and pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas")
    parser.add_argument("--docs", action="store_true", help="fill docs/instructions.md")
    parser.add_argument("--no-clang", action="store_true", help="GCC alone")
    options = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    clang = find_spec("ziglang") is not None and not options.no_clang
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(SECTIONS):
        parser.error(f"unknown sections: {', '.join(sorted(unknown))}")
    results: dict[str, Any] = {}
    steps = {"goals": goals, "layers": layers, "builds": lambda: builds(clang), "ladder": ladder}
    for name in SECTIONS:
        if name in chosen:
            results |= steps[name]()
    results |= {"steps": [c.to_json() for c in RESULTS.values()], "published": PUBLISHED}
    text = json.dumps(results, indent=1)
    (OUT / "instructions.json").write_text(text + "\n", encoding="utf-8")
    if options.docs:
        write_docs()


if __name__ == "__main__":
    main()
