"""Where the SRAM goes: the reference rows as linked firmware, and the ladder of savings.

    python benchmarks/memory.py [--models mcunet-5fps,mbv2-w0.35,proxyless-w0.3] [--steps 20]

The rows are compiled, linked and run in QEMU (Cortex-M7, GCC -O3): arena + static data + stack, and
flash; then the same steps are trained on the host and compared with the layer-by-layer plan of the
same numerics. The ladder is planned bytes, beside PyTorch measured at batch 1. Pictures go to
out/memory-MODEL.png, all figures to out/memory.json. Needs the optional data folder and the Arm
tools; PyTorch if it is there.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from common import OUT, data_folder
from memory_torch import torch_peak
from rich.console import Console
from rich.table import Table

from microtune import pipeline
from microtune.data import Split
from microtune.importers import load_any
from microtune.ir.modelfile import ModelFile
from microtune.measure.measure import measure
from microtune.run.canonical import LogitsHash, parameters_sha256
from microtune.run.runners import HostRunner
from microtune.targets import load_target
from microtune.train.trainer import TrainingPlan, training_records
from microtune.training.build import Formats

KB = 1024
console = Console(width=118, highlight=False)  # the same table in a file and on a screen
CLASSES = 10
UNLIMITED = 1 << 26
PUBLISHED = {"mcunet-5fps": 253_340}  # bytes of the published engine, measured the same way


@dataclass(frozen=True)
class Row:
    """One reference figure: what is compiled, the bytes it must not exceed and those aimed at."""

    model: str
    scheme: str
    input: pipeline.InputMode
    must: int
    aim: int
    formats: Formats = field(default_factory=Formats)

    @property
    def name(self) -> str:
        """As in tables and file names."""
        wide = " int32 bias" if self.formats.bias == "int32" else ""
        return f"{self.model} {self.scheme} {self.input}{wide}"


ROWS = (
    Row("mcunet-5fps", "49KB", "resident", 131_072, 112 * KB),
    Row("mcunet-5fps", "49KB", "rows", 90_112, 64 * KB),
    Row("mcunet-5fps", "49KB", "rows", 90_112, 64 * KB, Formats(bias="int32")),
    Row("mcunet-5fps", "99KB", "resident", 180_224, 160 * KB),
    Row("mcunet-5fps", "99KB", "rows", 131_072, 112 * KB),
    Row("mcunet-5fps", "99KB", "rows", 131_072, 112 * KB, Formats(bias="int32")),
    Row("mbv2-w0.35", "49KB", "rows", 114_688, 80 * KB),
    Row("proxyless-w0.3", "49KB", "rows", 114_688, 80 * KB),
    Row("mcunet-5fps", "none", "rows", 49_152, 40 * KB),
)
FLASH_MUST, FLASH_AIM = 600_000, 540_000
# (label, scheme, input, schedule): each step of the ladder adds one thing.
LADDER: tuple[tuple[str, str, pipeline.InputMode, pipeline.Schedule], ...] = (
    ("full update", "full", "resident", "layers"),
    ("sparse (49KB)", "49KB", "resident", "layers"),
    ("+ reorder, in place", "49KB", "resident", "in-place"),
    ("+ row streaming", "49KB", "resident", "stream"),
    ("+ input by rows", "49KB", "rows", "stream"),
)


def request_of(row: Row, schedule: pipeline.Schedule = "stream") -> pipeline.Request:
    """What `microtune compile` is asked for; no budget refuses it."""
    return pipeline.Request(
        CLASSES, row.scheme, load_target("cortex-m7"), UNLIMITED, UNLIMITED, row.formats,
        row.input, schedule,
    )  # fmt: skip


def load_model(name: str) -> ModelFile:
    """A reference model of the data folder."""
    return load_any(next((data_folder() / "models").rglob(f"{name}.pkl")))


def steps_hash(project: Path, graph_of: ModelFile, row: Row, steps: int) -> str:
    """Hash of parameters and logits after `steps` steps on the host on random frames."""
    compiled = pipeline.training_graph(graph_of, request_of(row))[0]
    rng = np.random.default_rng(0)
    shape = (steps, *compiled.tensors["input"].shape[1:])
    frames = rng.integers(-128, 128, shape).astype(np.int8)
    labels = (np.arange(steps) % CLASSES).astype(np.int32)
    train = Split(frames, labels, [str(i) for i in range(steps)])
    runner, logits = HostRunner(project, 0), LogitsHash()
    plan = TrainingPlan(1, 0.002, "constant", 0, steps)
    for result in runner.run(training_records(plan, train, None)):
        logits.update(result.logits)
    return parameters_sha256(compiled, runner.parameters())[:16] + logits.hexdigest()[:16]


def measured(row: Row, model: ModelFile, steps: int) -> dict[str, Any]:
    """Bytes of the linked firmware, and whether it learns the bits of the layer-by-layer plan."""
    project = OUT / f"memory-{row.name.replace(' ', '-')}"
    pipeline.compile_model(model, request_of(row), project)
    figures = measure(project).to_json()
    result = {
        name: figures[name]
        for name in ("arena_bytes", "static_bytes", "stack_bytes", "sram_bytes", "flash_bytes")
    }
    if steps and row.scheme != "none":
        plain = project.with_name(project.name + "-layers")
        reference = Row(row.model, row.scheme, "resident", 0, 0, row.formats)
        pipeline.compile_model(model, request_of(reference, "layers"), plain)
        found = steps_hash(project, model, row, steps)
        result["same_bits"] = found == steps_hash(plain, model, row, steps)
    return {"name": row.name, "must": row.must, "aim": row.aim, **result}


def unfused(name: str, model: ModelFile) -> str:
    """The passes over gradients that are kernels of their own, in one line."""
    graph = pipeline.training_graph(model, request_of(Row(name, "49KB", "rows", 0, 0)))[0]
    sizes = {
        op: [graph.tensors[n.inputs[0]].elements for n in graph.nodes if n.op == op]
        for op in ("q_mask_gradient", "bias_update")
    }
    masks, sums = sizes["q_mask_gradient"], sizes["bias_update"]
    return (
        f"{name} 49KB, kernels of their own: {len(masks)} masks on a branch of a residual over "
        f"{sum(masks):,} elements; bias sums, which read {sum(sums):,} elements"
    )


def ladder(name: str, model: ModelFile) -> dict[str, Any]:
    """Planned SRAM of each step, and PyTorch's measured peak."""
    planned = {}
    for label, scheme, input_mode, level in LADDER:
        request = request_of(Row(name, scheme, input_mode, 0, 0), level)
        graph, _ = pipeline.training_graph(model, request)
        planned[label] = pipeline.planned_sram(graph, pipeline.plan_graph(graph))
    return {"model": name, "planned": planned, "pytorch": torch_peak(name)}


def rows_table(results: list[dict[str, Any]]) -> Table:
    """Point by point: measured bytes against must and aim."""
    table = Table(title="Linked firmware, Cortex-M7, bytes", title_justify="left")
    for column in ("", "arena", "static", "stack", "SRAM", "must", "aim", "flash", "same bits"):
        table.add_column(column, justify="left" if not column else "right")
    for row in results:
        verdict = {True: "yes", False: "NO", None: "-"}[row.get("same_bits")]
        mark = "" if row["sram_bytes"] <= row["must"] else " !"
        table.add_row(
            row["name"], *(f"{row[f'{k}_bytes']:,}" for k in ("arena", "static", "stack")),
            f"{row['sram_bytes']:,}{mark}", f"{row['must']:,}", f"{row['aim']:,}",
            f"{row['flash_bytes']:,}", verdict,
        )  # fmt: skip
    return table


def ladder_table(result: dict[str, Any]) -> Table:
    """Planned bytes of each step and how many times less than the first, and than PyTorch."""
    planned, pytorch = result["planned"], result["pytorch"]
    table = Table(title=f"{result['model']}: planned SRAM of a step", title_justify="left")
    for column in ("", "bytes", "less than full", "less than PyTorch's tensors", "its process"):
        table.add_column(column, justify="left" if not column else "right")
    full = next(iter(planned.values()))
    peaks = [pytorch.get(key) for key in ("tensor_peak_bytes", "process_peak_bytes")]
    for label, size in planned.items():
        ratios = [f"{peak / size:,.0f} x" if peak else "-" for peak in peaks]
        table.add_row(label, f"{size:,}", f"{full / size:.1f} x", *ratios)
    if "skipped" not in pytorch:
        table.add_row("PyTorch, full, batch 1: tensors", f"{peaks[0]:,}")
        table.add_row("PyTorch, full, batch 1: process", f"{peaks[1]:,}")
    return table


def save_chart(path: Path, result: dict[str, Any]) -> None:
    """Bars on a logarithmic scale, PyTorch on top."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars = {"PyTorch, full update: process": result["pytorch"].get("process_peak_bytes"),
            "PyTorch, full update: tensors": result["pytorch"].get("tensor_peak_bytes"),
            **result["planned"]}  # fmt: skip
    bars = {label: size for label, size in bars.items() if size}
    figure, axis = pyplot.subplots(figsize=(8, 3.2), constrained_layout=True)
    colours = ["#98a2b3" if "PyTorch" in label else "#1570ef" for label in bars]
    drawn = axis.barh(list(bars), [size / KB for size in bars.values()], color=colours)
    labels = [f"{size / KB:,.0f} KB" for size in bars.values()]
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axis.bar_label(drawn, labels, padding=4, bbox=box)
    axis.set_xscale("log")
    axis.invert_yaxis()
    axis.set_xlim(20, max(bars.values()) / KB * 6)
    axis.axvline(256, color="#d92d20", linewidth=1, linestyle="--")
    axis.annotate("256 KB", (256, -0.75), color="#d92d20", ha="center", annotation_clip=False)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("SRAM of one training step, KB (logarithmic)")
    axis.set_title(f"{result['model']}, 10 classes, batch 1", pad=18, loc="left")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> None:
    """Print the tables and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", default="mcunet-5fps,mbv2-w0.35,proxyless-w0.3")
    parser.add_argument("--steps", type=int, default=20, help="steps compared; 0: none")
    options = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    models = {name: load_model(name) for name in options.models.split(",")}
    rows = [measured(r, models[r.model], options.steps) for r in ROWS if r.model in models]
    console.print(rows_table(rows))
    for name, size in PUBLISHED.items():
        console.print(f"published engine, {name} 49KB, measured the same way: {size:,} bytes")
    console.print(f"flash of the 49KB scheme: must {FLASH_MUST:,}, aim {FLASH_AIM:,}")
    for name, model in models.items():
        console.print(unfused(name, model))
    ladders = [ladder(name, model) for name, model in models.items()]
    for result in ladders:
        console.print(ladder_table(result))
        save_chart(OUT / f"memory-{result['model']}.png", result)
    text = json.dumps({"rows": rows, "ladders": ladders}, indent=1)
    (OUT / "memory.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
