"""What training would take is what `compile` then plans."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from microtune import pipeline
from microtune.search.outlook import FLASH, SRAM, scheme_plans
from microtune.targets import load_target, target_names
from tests.processes import microtune
from tests.search.tiny import CLASSES, tiny_model


def test_the_plans_are_those_of_compile() -> None:
    model = tiny_model()
    plans = {plan.scheme: plan for plan in scheme_plans(model, CLASSES)}
    assert list(plans) == ["none", "head-only", "auto", "full"]
    request = pipeline.Request(CLASSES, "full", load_target("cortex-m7"), SRAM, FLASH)
    for name in ("none", "head-only", "full"):
        sram: dict[pipeline.InputMode, int] = {
            "resident": plans[name].sram_bytes, "rows": plans[name].sram_rows_bytes,
        }  # fmt: skip
        for mode, planned in sram.items():
            asked = replace(request, scheme=name, input=mode)
            graph, _ = pipeline.training_graph(model, asked)
            assert pipeline.planned_sram(graph, pipeline.plan_graph(graph, asked)) == planned
    costs = [plan.sram_rows_bytes for plan in plans.values()]
    assert costs == sorted(costs) and plans["auto"].sram_rows_bytes <= SRAM
    for plan in plans.values():
        assert sorted([*plan.targets, *plan.too_small]) == list(target_names())


def test_inspect_shows_them_and_the_next_command(tmp_path: Path) -> None:
    model = tmp_path / "tiny.mt"
    tiny_model().save(model)
    done = microtune("inspect", model, "--classes", 3, "--json", tmp_path / "i.json")
    assert done.returncode == 0, done.stderr
    assert "With 3 new classes" in done.stdout and "all targets" in done.stdout
    assert f"Go on with: microtune compile {model} --classes 3 -o tiny" in done.stdout
    figures = json.loads((tmp_path / "i.json").read_text())
    assert (figures["plan_classes"], len(figures["plans"])) == (3, 4)
