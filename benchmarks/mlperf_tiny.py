"""MLPerf Tiny's four networks, inference: instructions per MAC beside published cycles per MAC.

    python benchmarks/mlperf_tiny.py [--docs]

Imports the four `.tflite` files, compiles them for inference alone (`--scheme none`), and counts
instructions and bytes in QEMU on four cores. The figures of other engines are those of
benchmarks/published.json. They are cycles, ours are instructions, so the table says what follows
from both and no more. Needs the optional data folder and the Arm tools; with --docs it fills
docs/mlperf-tiny.md.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import DOCS, OUT, data_folder, put_tables, run
from instructions_tables import new_table
from rich.console import Console
from rich.table import Table

import microtune as mt
from microtune.measure.cycles import CORTEX_M4, CORTEX_M7, model_cycles
from microtune.measure.instruction_rows import Row, layer_rows, rows_by_kind, rows_by_shape
from microtune.measure.profile import Build, merge, profile_project
from microtune.pipeline import Schedule
from microtune.targets import load_target

PUBLISHED = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
OTHERS = PUBLISHED["mlperf_tiny"]
CORES = ("cortex-m4", "cortex-m7", "cortex-m0plus", "cortex-m55")
SCHEDULES: tuple[Schedule, ...] = ("stream", "layers")
CYCLE_MODELS = {"cortex-m4": CORTEX_M4, "cortex-m7": CORTEX_M7}
# The most instructions that a core retires in a cycle: so many are at least as many cycles.
RETIRED = {"cortex-m4": 1, "cortex-m0plus": 1, "cortex-m7": 2}
console = Console(width=132, highlight=False)


@dataclass(frozen=True)
class Network:
    """One of the four: short name, file, and `compile`'s options for its own output layer."""

    name: str
    file: str
    outputs: int
    values: bool = False


NETWORKS = (
    Network("VWW", "vww_96_int8", 2), Network("IC", "pretrainedResnet_quant", 10),
    Network("KWS", "kws_ref_model", 12), Network("AD", "ad01_int8", 640, values=True),
)  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """One inference of a network on a core."""

    rows: tuple[Row, ...]
    instructions: int
    macs: int
    modelled_cycles: float | None
    sram: int
    flash: int

    @property
    def per_mac(self) -> float:
        """Instructions per multiply-accumulate."""
        return self.instructions / self.macs


def compiled(path: Path, options: dict[str, Any], name: str, schedule: Schedule) -> mt.Project:
    """The project of a `.tflite` that infers and does not train."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mt.MicrotuneWarning)  # "the head is the model's own"
        return mt.compile(path, scheme="none", schedule=schedule, output=OUT / name, **options)


def counted(project: mt.Project, core: str) -> Counted:
    """Count one inference and the bytes of its firmware."""
    build = Build(load_target(core))
    profile = profile_project(project.path, build)
    rows = tuple(layer_rows(profile, profile.infer, build))
    figures = project.measure(target=core).to_json()
    total = profile.total(profile.infer)
    if total != figures["infer_instructions"]:
        raise mt.MicrotuneError(f"{project.path}: profile and measurement differ on {core}")
    model = CYCLE_MODELS.get(core)
    counts = merge(part.counts for part in profile.infer)
    cycles = model_cycles(profile.code, counts, model).cycles if model else None
    return Counted(
        rows, total, figures["infer_macs"], cycles, figures["sram_bytes"], figures["flash_bytes"]
    )


Results = dict[tuple[str, str, Schedule], Counted]


def _file(network: Network) -> Path:
    return data_folder() / "models/mlcommons_tiny" / f"{network.file}.tflite"


def measured() -> Results:
    """Every network, schedule and core."""
    found: Results = {}
    for network in NETWORKS:
        options = {"outputs" if network.values else "classes": network.outputs}
        for schedule in SCHEDULES:
            project = compiled(_file(network), options, f"tiny-{network.name}-{schedule}", schedule)
            for core in CORES:
                found[network.name, core, schedule] = counted(project, core)
    return found


# -- tables ---------------------------------------------------------------------------------------


def verdict(core: str, ours: float, theirs: float | None) -> str:
    """What instructions of ours and cycles of theirs prove: behind, or nothing yet."""
    if theirs is None:
        return ""
    if core not in RETIRED:
        return "other core"
    least = ours / RETIRED[core]
    return f"≥ {least / theirs:.2f}x behind" if least > theirs else "open"


def per_mac_table(found: Results) -> Table:
    """Instructions per MAC beside cycles per MAC."""
    names = [network.name for network in NETWORKS]
    table = new_table("One inference, per MAC", ["core", "engine", "unit", *names], left=3)
    for core in CORES:
        least = {name: min(found[name, core, s].per_mac for s in SCHEDULES) for name in names}
        for schedule in SCHEDULES:
            what = "by rows (default)" if schedule == "stream" else "--schedule layers"
            values = [f"{found[name, core, schedule].per_mac:.2f}" for name in names]
            table.add_row(core, f"microtune, {what}", "instructions", *values)
        if core in CYCLE_MODELS:
            cycles = [
                min((c.modelled_cycles or 0) / c.macs for c in _of(found, name, core))
                for name in names
            ]
            table.add_row(core, "microtune, the better", "cycles (a MODEL)",
                          *(f"{value:.2f}" for value in cycles))  # fmt: skip
        for other in OTHERS["cycles_per_mac"]:
            if other["core"] != core:
                continue
            shown = ["-" if value is None else f"{value:.2f}" for value in other["values"]]
            table.add_row("" if core == "cortex-m55" else core, other["engine"],
                          "cycles (published)", *shown)  # fmt: skip
            proven = [verdict(core, least[n], v)
                      for n, v in zip(names, other["values"], strict=True)]  # fmt: skip
            table.add_row("", "", "ours is", *proven)
        table.add_section()
    return table


def _of(found: Results, name: str, core: str) -> list[Counted]:
    return [found[name, core, schedule] for schedule in SCHEDULES]


def memory_table(found: Results) -> Table:
    """Bytes of the firmware beside the file, which TFLM keeps in flash, and what is published."""
    columns = ["network", "MAC", "SRAM by rows", "SRAM by layers", "flash", "the .tflite file"]
    title = "Bytes of the firmware on the Cortex-M7: SRAM is arena + static + stack"
    table = new_table(title, columns)
    for network in NETWORKS:
        rows, layers = _of(found, network.name, "cortex-m7")
        table.add_row(network.name, f"{rows.macs:,}", f"{rows.sram:,}", f"{layers.sram:,}",
                      f"{rows.flash:,}", f"{_file(network).stat().st_size:,}")  # fmt: skip
    theirs = OTHERS["tflm_keywords"]
    table.add_section()
    table.add_row("TFLM, a keyword network, whole Arduino firmware, M4", "", "",
                  f"{theirs['ram']:,}", f"{theirs['flash']:,}", "")  # fmt: skip
    return table


def kinds_table(found: Results) -> Table:
    """Where the instructions go: classes of kernels, beside CMSIS-NN's on other shapes."""
    cores = ("cortex-m4", "cortex-m7", "cortex-m55")
    columns = ["network", "kernel", "MAC", *cores]
    title = "Instructions per MAC of each class of kernel, the better schedule of the two"
    table = new_table(title, columns, left=2)
    for network in NETWORKS:
        chosen = {core: _kinds(min(_of(found, network.name, core), key=lambda c: c.per_mac))
                  for core in cores}  # fmt: skip
        for kind, row in chosen["cortex-m4"].items():
            if row.macs:
                values = [f"{chosen[core][kind].per_mac:.2f}" for core in cores]
                table.add_row(network.name, kind, f"{row.macs:,}", *values)
        table.add_section()
    for kind in PUBLISHED["cmsis_nn"]["cortex-m4"]["per_mac"]:
        values = [str(PUBLISHED["cmsis_nn"][core]["per_mac"][kind]) for core in cores]
        table.add_row("CMSIS-NN", f"{kind}, shapes of mcunet-5fps", "", *values)
    return table


def _kinds(one: Counted) -> dict[str, Row]:
    return {row.kind: row for row in rows_by_kind(one.rows)}


def layers_table(found: Results, name: str, core: str, most: int = 8) -> Table:
    """The layers that take most of an inference, by rows and by layers."""
    streamed, whole = (rows_by_shape(one.rows) for one in _of(found, name, core))
    others = {(row.kind, row.shape): row for row in whole}
    title = f"{name} on the {core}: where the instructions go"
    columns = ["kernel", "shape", "MAC", "by rows", "per MAC", "by layers", "per MAC"]
    table = new_table(title, columns, left=2)
    for row in sorted(streamed, key=lambda row: -row.instructions)[:most]:
        other = others.get((row.kind, row.shape))
        table.add_row(row.kind, row.shape, f"{row.macs:,}", f"{row.instructions:,}", _per(row),
                      f"{other.instructions:,}" if other else "-", _per(other))  # fmt: skip
    return table


def _per(row: Row | None) -> str:
    return "-" if row is None or row.per_mac is None else f"{row.per_mac:.2f}"


def published_engine_table() -> Table:
    """`vww.tflite` of the published engine, the one network that both of us ran in QEMU."""
    theirs = OTHERS["vww_80"]
    path = data_folder() / "models/mit_tinyengine/vww.tflite"
    title = "vww.tflite (80x80x3) on the Cortex-M7, the same emulator"
    table = new_table(title, ["engine", "instructions", "SRAM", "flash"])
    for schedule in SCHEDULES:
        project = compiled(path, {"classes": 2}, f"tiny-vww80-{schedule}", schedule)
        ours = counted(project, "cortex-m7")
        table.add_row(f"microtune, {schedule}", f"{ours.instructions:,}", f"{ours.sram:,}",
                      f"{ours.flash:,}")  # fmt: skip
    table.add_row("published engine", f"{theirs['infer']:,}", f"{theirs['sram']:,}",
                  f"{theirs['flash']:,}")  # fmt: skip
    return table


def main() -> None:
    """Print the tables and write out/mlperf_tiny.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--docs", action="store_true", help="fill docs/mlperf-tiny.md")
    options = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    found = measured()
    blocks: dict[str, Callable[[], list[Table]]] = {
        "per-mac": lambda: [per_mac_table(found)],
        "bytes": lambda: [memory_table(found), published_engine_table()],
        "kinds": lambda: [kinds_table(found)],
        "layers": lambda: [layers_table(found, "KWS", "cortex-m4"),
                           layers_table(found, "KWS", "cortex-m55"),
                           layers_table(found, "AD", "cortex-m4", 4)],
    }  # fmt: skip
    shown = {name: tables() for name, tables in blocks.items()}
    for tables in shown.values():
        console.print(*tables)
    figures = {
        "/".join(key): {
            "per_mac": one.per_mac, "instructions": one.instructions, "macs": one.macs,
            "modelled_cycles": one.modelled_cycles, "sram_bytes": one.sram,
            "flash_bytes": one.flash, "layers": [row.to_json() for row in one.rows],
        }
        for key, one in found.items()
    }  # fmt: skip
    text = json.dumps({"ours": figures, "published": OTHERS}, indent=1)
    (OUT / "mlperf_tiny.json").write_text(text + "\n", encoding="utf-8")
    if options.docs:
        put_tables(DOCS / "mlperf-tiny.md", shown, console.width)


if __name__ == "__main__":
    run(main)
