"""What training would take is what `compile` then plans."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from microtune import pipeline
from microtune.ir.builder import Builder
from microtune.ir.graph import Quant
from microtune.ir.modelfile import ModelFile
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


def test_a_model_without_a_place_for_a_head_is_still_shown(tmp_path: Path) -> None:
    """A classifier on an image: nothing can be planned, which is said once."""
    builder, model = Builder("spatial"), tmp_path / "spatial.mt"
    x, rng = builder.input((1, 8, 8, 3), 1 / 64, 0), np.random.default_rng(0)
    for name, shape in (("first", (4, 1, 1, 3)), ("second", (5, 1, 1, 4))):
        weight = rng.integers(-9, 10, shape).astype(np.int8)
        bias = np.zeros(shape[0], np.int32)
        x = builder.conv2d(name, x, weight, [0.01] * shape[0], bias, Quant(0.05, 0))
    preprocessing = {"height": 8, "width": 8, "channels": 3, "resize_ratio": 1.0}
    ModelFile(builder.finish(x), preprocessing, "").save(model)
    done = microtune("inspect", model)
    assert done.returncode == 0 and "first" in done.stdout and "Go on" not in done.stdout
    assert done.stderr.count("training cannot be planned") == 1 and "pool first" in done.stderr
