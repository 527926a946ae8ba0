"""Bytes are a contract: plans and linked firmware must not grow past what is recorded.

`MICROTUNE_UPDATE_GOLDEN=1` records anew. Plans need CP-SAT to be the recorded ones; the firmware's
figures are those of one compiler.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import memory as reference
import pytest

from microtune import pipeline
from microtune.importers import load_any
from microtune.ir.modelfile import ModelFile
from microtune.measure.stack import parse_call_graph, stack_bounds
from microtune.memory.solver import available
from microtune.tools.toolchain import build_firmware, find_arm_gcc
from microtune.training.scheme import published_schemes

BUDGETS = Path(__file__).parent / "golden/budgets.json"
COMPILER = "12.2.1"
MODELS = ("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3")


def check(kind: str, found: dict[str, dict[str, int]]) -> None:
    """No recorded figure has grown; what is not recorded is an error."""
    budgets = json.loads(BUDGETS.read_text()) if BUDGETS.is_file() else {}
    recorded = budgets.setdefault(kind, {})
    if os.environ.get("MICROTUNE_UPDATE_GOLDEN"):
        recorded.update(found)
        budgets[kind] = dict(sorted(recorded.items()))
        BUDGETS.write_text(json.dumps(budgets, indent=1) + "\n")
    grown = [
        f"{name}: {key} {value:,} bytes, recorded {recorded[name][key]:,}"
        for name, figures in found.items()
        for key, value in figures.items()
        if value > recorded[name][key]
    ]
    assert not grown, "\n".join(grown)


def load(folder: Path, name: str) -> ModelFile:
    return load_any(folder / f"models/mit_tiny-training/{name}.pkl")


@pytest.mark.data
@pytest.mark.parametrize("name", MODELS)
def test_no_plan_grows(data_folder: Path, name: str) -> None:
    if not available():
        pytest.skip("ortools is not installed: plans are those of greedy packing")
    model, found = load(data_folder, name), {}
    for scheme in [*published_schemes(name), "head-only", "none"]:
        for mode in ("resident", "rows"):
            row = reference.Row(name, scheme, "rows" if mode == "rows" else "resident", 0, 0)
            graph, _ = pipeline.training_graph(model, reference.request_of(row))
            plan = pipeline.plan_graph(graph)
            found[row.name] = {
                "arena": plan.arena_bytes, "sram": pipeline.planned_sram(graph, plan),
                "flash_constants": pipeline.constant_bytes(graph),
                "not_proven": 0 if plan.optimal else plan.arena_bytes - plan.lower_bound,
            }  # fmt: skip
    check("plans", found)


@pytest.mark.data
@pytest.mark.chip
@pytest.mark.parametrize("row", reference.ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_no_firmware_grows(data_folder: Path, tmp_path: Path, row: reference.Row) -> None:
    """Arena, static data and the bound of the stack, as linked; flash of the 49KB scheme."""
    if COMPILER not in find_arm_gcc().version:
        pytest.skip(f"recorded with GCC {COMPILER}, this is {find_arm_gcc().version}")
    request = reference.request_of(row)
    pipeline.compile_model(load(data_folder, row.model), request, tmp_path / "p")
    firmware = build_firmware(tmp_path / "p", request.target, tmp_path / "firmware.elf")
    stack = stack_bounds(parse_call_graph(firmware.call_graph), request.target, firmware.elf).bytes
    sizes = firmware.sizes
    sram = sizes.arena_bytes + sizes.static_bytes + stack
    assert sram <= row.must
    if (row.model, row.scheme) == ("mcunet-5fps", "49KB"):
        assert sizes.flash_bytes <= reference.FLASH_MUST
    check("firmware", {row.name: {"sram": sram, "flash": sizes.flash_bytes}})
