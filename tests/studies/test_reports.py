"""Tables and pictures of studies, from results made up here."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from microtune_studies.ablation import Ablation, Variant, ablation_table
from microtune_studies.pictures import save_curves, save_ratios, save_sparse
from microtune_studies.qas import RATES, REFERENCE, QasTable, qas_tables
from microtune_studies.runs import OURS, Result, Run
from microtune_studies.small_steps import RULES, SMALL, SmallStepResult, small_steps_table
from microtune_studies.sparse import FLOAT, SchemeResult, sparse_tables
from microtune_studies.statistics import paired_difference
from microtune_studies.streams import StreamResult, curves, domain_table, few_table, ordered_table
from PIL import Image
from rich.console import Console
from rich.table import Table

IMAGES = 100


def result(run: Run, right: int) -> Result:
    """So many of 100 images right."""
    labels = [0] * IMAGES
    return Result(run, [0] * right + [1] * (IMAGES - right), labels, 0.1, 1.0,
                  curve=[[0, 50, 20], [40, 48, right]])  # fmt: skip


def results(run: Run, right: int, seeds: int = 3) -> list[Result]:
    return [result(replace(run, seed=seed), right + seed) for seed in range(seeds)]


def text_of(*tables: Table) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(*tables)
    return console.export_text()


RUN = Run("net", "set.tar", "last-6", OURS, 0.001, 0, 10)


def points() -> list[SchemeResult]:
    schemes = {"head-only": (40, 60), "last-6": (90, 70), "last-9": (150, 80), "49KB": (60, 80),
               "full": (900, 82), "bias-only": (45, 65)}  # fmt: skip
    own = [
        SchemeResult("net", scheme, size * 1024, (size - 30) * 1024, float(size), 0.001,
              results(replace(RUN, scheme=scheme), right))
        for scheme, (size, right) in schemes.items()
    ]  # fmt: skip
    floats = results(replace(RUN, scheme="full", method=FLOAT), 90)
    nearest = results(replace(RUN, scheme="full", rule="MT_STUDY_WEIGHTS=MT_NEAREST"), 86)
    return [*own, replace(own[4], results=floats), replace(own[4], results=nearest)]


def test_sparse_against_the_best_last_layers() -> None:
    text = text_of(*sparse_tables(points()))
    assert "last-9 81.0 %" in text
    assert "49KB 81.0 %" in text
    against, full = text.split("Full update, net, set")
    assert "4.0" in against.splitlines()[-3]
    assert "+4.0 [" in next(line for line in full.splitlines() if "weights to nearest" in line)
    assert text.index("head-only") < text.index("full")
    simulated = next(line for line in text.splitlines() if "simulated" in line)
    assert "91.0" in simulated and "921,600" not in simulated
    assert any("full, weights to nearest" in line and "87.0" in line for line in text.splitlines())


def test_qas_tables_mark_simulations_and_edges() -> None:
    found = {
        method: results(replace(RUN, method=method), 80 if method == REFERENCE else 79)
        for method in RATES
    }
    table = QasTable({"set.tar": found}, {"set.tar": {m: max(r) for m, r in RATES.items()}})
    text = text_of(*qas_tables(table))
    assert "ours (generated C, batch 1)" in text
    assert "fp32 SGD-M (simulated)" in text
    assert "-1.0 [-" in text
    assert text.count("(edge)") == len(RATES)


def test_ablation_compares_with_its_first_row() -> None:
    rows = [Ablation(Variant("the law"), 0.001, results(RUN, 80)),
            Ablation(Variant("worse"), 0.001, results(RUN, 70))]  # fmt: skip
    assert "-10.0 [" in text_of(ablation_table(rows))


def test_streams() -> None:
    few = [StreamResult(replace(RUN, per_class=n), results(RUN, 50 + n)) for n in (1, 5, 20)]
    assert "71.0 ± 1.0" in text_of(few_table(few))
    replay = replace(RUN, order="class by class", replay_bytes=16384, rehearse=1)
    ordered = [StreamResult(RUN, results(RUN, 80)),
               StreamResult(replace(RUN, order="class by class"), results(RUN, 20)),
               StreamResult(replay, results(RUN, 60))]  # fmt: skip
    assert "+40.0 [" in text_of(ordered_table(ordered))
    domains = [StreamResult(replace(RUN, domain="dark"), results(RUN, 30))]
    assert "20.0" in text_of(domain_table(domains))
    assert curves(domains)["dark"]["none"].shape == (2, 3)


def test_small_steps() -> None:
    cells = [SmallStepResult(rule, rate, results(RUN, 90 if rule == "to nearest" else 10))
             for rule in RULES for rate in SMALL]  # fmt: skip
    assert text_of(small_steps_table(cells)).count("91.0") == len(SMALL)


def test_pictures_are_written(tmp_path: Path) -> None:
    save_sparse(tmp_path / "sparse.png", points())
    save_ratios(tmp_path / "ratios.png", {"a": {"w": 1.0}, "b": {"w": 1e4}}, "ratios")
    curve = np.array([[0, 50, 20], [10, 49, 40]], float)
    save_curves(tmp_path / "curves.png", {"dark": {"none": curve}})
    for name in ("sparse", "ratios", "curves"):
        assert min(Image.open(tmp_path / f"{name}.png").size) > 300


def test_only_pairs_are_compared() -> None:
    with pytest.raises(ValueError, match="not a pair"):
        paired_difference([result(RUN, 1)], [result(replace(RUN, seed=1), 1)])
