"""The report of `search --pareto`: schemes have their costs, files have all of the report."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microtune import pipeline
from microtune.errors import MicrotuneError
from microtune.parallel.tasks import Backend
from microtune.report import search_files as module
from microtune.report.search_files import prepare, publish
from microtune.report.search_page import page
from microtune.report.search_pictures import (
    comparison_png,
    contributions_png,
    kind_of,
    pareto_png,
    trained_marks,
)
from microtune.search.budgets.report import (
    EVOLUTION,
    EXACT,
    RANDOM,
    SEEDS,
    BudgetReport,
    budget_report,
    report_json,
)
from microtune.search.budgets.training import train_schemes
from microtune.search.contributions.ablation import ContributionAnalysis
from microtune.search.costs.planned import UNPLACEABLE, Limits
from microtune.search.problem import HEAD_ONLY, Choice, Contributions, Selection
from microtune.search.search import SearchOptions, SearchResult, search
from microtune.search.selection.evolution import Trace
from microtune.search.selection.exact import best_selection
from microtune.search.trials.gains import Gain
from microtune.search.trials.trial import EvaluationSplit
from microtune.search.verification import VerifiedScheme
from microtune.stats import Difference
from microtune.targets import load_target
from tests.processes import INTERRUPTIBLE, microtune
from tests.search.test_search import arguments
from tests.search.tiny import tiny_model, write_images

for needed in ("ortools", "optuna", "plotly"):
    pytest.importorskip(needed, reason="the report needs the extra search")
PLANS = 6
FILES = {
    "pareto.json", "pareto.png", "contributions.png", "search-comparison.png", "pareto.html",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images") / "images.npz", 90)


@pytest.fixture(scope="module")
def options(kept: Path) -> SearchOptions:
    """Estimated; the budget is less than everything takes."""
    limits = Limits(4800, 1 << 20)
    request = pipeline.Request(
        2, "none", load_target("cortex-m7"), limits.sram_bytes, limits.flash_bytes
    )
    return SearchOptions(
        request, limits, kept, fast=True, all_layers=True, epochs=1, backend=Backend(workers=1)
    )


@pytest.fixture(scope="module")
def result(options: SearchOptions, data: Path) -> SearchResult:
    return search(tiny_model(), data, options, lambda *_: None)


@pytest.fixture(scope="module")
def steps() -> list[tuple[int, int, str]]:
    return []


@pytest.fixture(scope="module")
def found(result: SearchResult, steps: list[tuple[int, int, str]]) -> BudgetReport:
    return budget_report(result, lambda *step: steps.append(step), PLANS)


@pytest.fixture(scope="module")
def measured(found: BudgetReport) -> BudgetReport:
    """As if all had been measured and the scheme verified; one ratio is interpolated."""
    points = Difference(1.0, 0.5, 1.5)

    def gain(nats: float, seeds: int) -> Gain:
        return Gain(nats, 0.01, points, seeds, nats)

    biases = found.all_contributions.biases
    analysis = ContributionAnalysis(
        {depth: gain(nats, 3 if depth in (1, 4) else 0) for depth, nats in biases.items()},
        {1: gain(biases[1], 3), 4: gain(biases[4] - biases[1], 3)},
        {choice: gain(nats, 0 if choice.ratio == Fraction(1, 2) else 1) for choice, nats in
         found.all_contributions.weights.items()},
        head_accuracy=70.0, layers=len(found.layers),
    )  # fmt: skip
    chosen = found.chosen.selection
    schemes = {HEAD_ONLY: 70.0, Selection(chosen.bias_layers, ()): 75.0, chosen: 80.25}
    splits: tuple[tuple[EvaluationSplit, float], ...] = (("val", 10.0), ("test", 0.0))
    verified = {
        s: [
            VerifiedScheme("", s, split, 3, 2, 0.5, at + m, 1.5, gain(0.1, 3))
            for split, m in splits
        ]
        for s, at in schemes.items()
    }
    return replace(found, analysis=analysis, verified=verified)


def test_marks_have_their_costs(found: BudgetReport, result: SearchResult) -> None:
    costs = result.costs
    assert len(found.sram_front) > 2 and len(found.instruction_front) > 2
    for mark in found.schemes:
        assert mark.sram_bytes == costs.sram(mark.selection)
        assert mark.instructions == costs.instructions(mark.selection)
        assert mark.predicted == pytest.approx(result.contributions.objective(mark.selection))
    assert {"last-3", "bias-only", "head-only"} <= {m.name for m in found.others}


def test_fronts_end_at_what_was_found(found: BudgetReport, result: SearchResult) -> None:
    for front in (found.sram_front, found.instruction_front):
        assert front[0].selection == HEAD_ONLY
        assert front[-1].predicted == pytest.approx(result.solution.objective, abs=1e-6)
        assert all(m.sram_bytes <= result.limits.sram_bytes for m in front)


def test_searches_are_compared_with_equal_plans(found: BudgetReport, result: SearchResult) -> None:
    assert list(found.traces) == [EXACT, EVOLUTION, RANDOM]
    [exact] = found.traces[EXACT]
    best = exact[-1]
    assert best == pytest.approx(result.solution.objective)
    for name in (EVOLUTION, RANDOM):
        assert len(found.traces[name]) == SEEDS
        for trace in found.traces[name]:
            assert len(trace) == PLANS and trace[-1] is not None
            assert trace[-1] <= (best or 0) + 1e-6


def test_the_comparison_shows_the_spread_of_the_seeds(found: BudgetReport) -> None:
    """Also where no seed finds anything."""
    lucky: list[Trace] = [[None, 0.1], [0.2, 0.3, 0.4], [None, 0.05]]
    cases: tuple[list[Trace], ...] = (lucky, lucky[:1] * 3, [[None]] * 3)
    pictures = {
        comparison_png(replace(found, traces={**found.traces, RANDOM: traces})) for traces in cases
    }
    assert len(pictures) == 3


def test_progress_never_goes_back(found: BudgetReport, steps: list[tuple[int, int, str]]) -> None:
    assert found.traces
    numbers = [done for done, _, _ in steps]
    assert numbers == sorted(numbers)
    assert {total for _, total, _ in steps} == {numbers[-1]}


def test_the_json_has_every_mark(measured: BudgetReport, result: SearchResult) -> None:
    content = json.loads(json.dumps(report_json(measured)))
    for part in ("sram_front", "instruction_front", "others"):
        marks = getattr(measured, part)
        assert [row["sram_bytes"] for row in content[part]] == [m.sram_bytes for m in marks]
        for row in content[part]:
            choices = tuple(Choice(int(n), Fraction(r)) for n, r in row["weights"].items())
            selection = Selection(row["bias_layers"], choices)
            assert row["flash_bytes"] == result.costs.flash(selection)
            assert row["step_instructions"] == result.costs.instructions(selection)
    assert content["chosen"]["accuracy"] == {
        "percent": 80.25, "deviation": 1.5, "split": "test", "seeds": 3,
    }  # fmt: skip
    trained = [row["name"] for row in content["others"] if row["accuracy"] is not None]
    assert "head-only" in trained and "last-3" not in trained
    assert content["contributions"] == "measured"


def test_a_scheme_without_place_is_in_no_picture(found: BudgetReport) -> None:
    lost = replace(found.others[0], name="last-lost", sram_bytes=UNPLACEABLE)
    one = replace(found, others=[*found.others, lost])
    assert report_json(one)["others"][-1]["sram_bytes"] is None
    assert "last-lost" not in page(one) and "last-3" in page(one)


class _Scripts(HTMLParser):
    """Tags, and the addresses that they would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [f"{name}={value}" for name, value in attrs if name in ("src", "href")]


def test_the_page_stands_alone_and_names_every_scheme(measured: BudgetReport) -> None:
    html = page(measured)
    parser = _Scripts()
    parser.feed(html)
    assert parser.loaded == [] and {"html", "body", "script"} <= set(parser.tags)
    # The script's calls come last; before them stands the library.
    marks = html[html.rindex("Plotly.newPlot") :]
    for mark in measured.schemes:
        shown = "search" if mark in measured.sram_front else mark.name
        assert shown in marks and f"planned SRAM {mark.sram_bytes:,} bytes" in marks
        assert f"{mark.flash_bytes:,}" in marks and f"{mark.instructions:,}" in marks
        assert f"{mark.predicted:.4f} nats" in marks
    assert "80.2 \\u00b1 1.5 %" in marks and "test accuracy" in marks


def test_a_gain_that_is_not_known_is_said(found: BudgetReport) -> None:
    others = [replace(m, predicted=None) for m in found.others]
    assert "not known" in page(replace(found, others=others)) and "not known" not in page(found)


def _pixels(content: bytes) -> np.ndarray:
    image = Image.open(BytesIO(content))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def test_pictures_show_what_was_trained(
    found: BudgetReport, measured: BudgetReport, tmp_path: Path
) -> None:
    paths = publish(measured, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == FILES == {p.name for p in paths}
    pictures = {name: _pixels((tmp_path / name).read_bytes()) for name in FILES if "png" in name}
    assert all(len(np.unique(p[..., 0])) > 20 for p in pictures.values())
    # Accuracies are panels of their own, errors are drawn.
    estimated = _pixels(pareto_png(found))
    assert pictures["pareto.png"].shape[0] == 2 * estimated.shape[0]
    plain = _pixels(contributions_png(found))
    assert plain.shape == pictures["contributions.png"].shape
    assert not np.array_equal(plain, pictures["contributions.png"])


def test_kinds(found: BudgetReport) -> None:
    kinds = {m.name: kind_of(m) for m in found.others}
    assert kinds == {"last-3": "last", "bias-only": "bias-only", "head-only": "head-only"}
    assert kind_of(found.chosen) == kind_of(replace(found.others[-1], name="found")) == "found"
    assert kind_of(replace(found.chosen, name="written")) == "written"
    assert kind_of(replace(found.chosen, name="49KB")) == "published"


def test_every_mark_that_fits_is_trained(
    found: BudgetReport, options: SearchOptions, data: Path
) -> None:
    steps: list[tuple[int, int]] = []
    limits = replace(found.limits, sram_bytes=found.sram_front[-2].sram_bytes)
    report = train_schemes(
        replace(found, limits=limits), tiny_model(), data, options,
        lambda done, total, _: steps.append((done, total)),
    )  # fmt: skip
    fitting = {m.selection for m in found.schemes if m.sram_bytes <= limits.sram_bytes}
    assert set(report.verified) == fitting < {m.selection for m in found.schemes}
    rows = [row for own in report.verified.values() for row in own]
    assert {(row.split, row.seeds, row.epochs) for row in rows} == {("val", options.seeds, 1)}
    assert steps[-1] == (len(fitting) * options.seeds,) * 2
    shown = trained_marks(report, found.sram_front)
    assert [m.selection for m, _ in shown["front"]] == [
        m.selection for m in found.sram_front if m.selection in fitting
    ]
    again = train_schemes(report, tiny_model(), data, options, lambda *_: None)
    assert again.verified == report.verified


def test_the_front_has_accuracies_only_if_it_was_trained(measured: BudgetReport) -> None:
    assert set(trained_marks(measured, measured.sram_front)) >= {"found", "head-only"}
    assert "front" not in trained_marks(measured, measured.sram_front)


@pytest.mark.parametrize(
    ("more", "message"),
    [([], "add --pareto"), (["--pareto", "{tmp}/report", "--seeds", "2"], "--seeds 2")],
)
def test_marks_that_cannot_be_trained_are_refused(
    tmp_path: Path, data: Path, more: list[str], message: str
) -> None:
    words = [word.replace("{tmp}", str(tmp_path)) for word in more]
    given = arguments(tmp_path, data, "--fast", "--train-marks", *words)
    done = microtune(*given[len(INTERRUPTIBLE) :])
    assert done.returncode == 2 and message in " ".join(done.stderr.split())
    assert not (tmp_path / "cache").exists() and not (tmp_path / "report").exists()


def test_what_would_fail_is_refused_before(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MicrotuneError, match="cannot make the folder"):
        prepare(tmp_path / "file")
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "plotly" else name)
    with pytest.raises(MicrotuneError, match=r"plotly.*microtune\[search\]"):
        prepare(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_but_the_head_fits(result: SearchResult, tmp_path: Path) -> None:
    limits = replace(result.limits, sram_bytes=result.costs.sram(HEAD_ONLY))
    solution = best_selection(Contributions({}, {}), result.costs, limits)
    alone = replace(
        result, limits=limits, contributions=Contributions({}, {}), solution=solution,
            chosen=solution.selection,
    )  # fmt: skip
    report = budget_report(alone, lambda *_: None, PLANS)
    assert [m.selection for m in report.sram_front] == [HEAD_ONLY] == [report.chosen.selection]
    assert [{t[-1] for t in traces} for traces in report.traces.values()] == [{0.0}] * 3
    assert len(publish(report, tmp_path)) == len(FILES)


def test_the_command_writes_all_files(
    result: SearchResult, kept: Path, tmp_path: Path, data: Path
) -> None:
    folder, sram = tmp_path / "report", str(result.limits.sram_bytes)
    more = ["--fast", "--all-layers", "--sram", sram, "--lr", "0.002", "--cache", str(kept)]
    done = subprocess.run(
        arguments(tmp_path, data, *more, "--pareto", str(folder), "--compare-plans", "2"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == FILES
    assert all(name in done.stdout for name in (*FILES, "found.toml"))
    content = json.loads((folder / "pareto.json").read_text())
    assert content["chosen"]["sram_bytes"] == result.planned.sram
    for name in (EVOLUTION, RANDOM):
        assert [len(trace) for trace in content["comparison"][name]] == [2] * SEEDS
