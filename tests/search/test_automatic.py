"""`--scheme auto`: without data, within the budgets, the same for everybody."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

import microtune as mt
from microtune import embedded, pipeline
from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph
from microtune.search.automatic import LEAST_GAIN, automatic_scheme
from microtune.search.contributions.prior import (
    PRIOR,
    choice_scores,
    expected_contributions,
    synthetic_scores,
)
from microtune.search.costs.lower_bounds import LowerBounds
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.problem import Choice, Contributions, Selection
from microtune.search.selection import exact
from microtune.training.optimisers import make_optimizer
from microtune.training.scheme import backbone_layers
from microtune.training.tasks import REGRESS
from tests.processes import microtune
from tests.search.small import all_selections, random_costs, request, some_space
from tests.search.tiny import CLASSES, tiny_model, write_images

LAYERS = ("first", "depthwise", "dense", "pointwise")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return tiny_model().graph


def budgeted(sram: int) -> pipeline.Request:
    return replace(request(CLASSES, "rows"), sram_bytes=sram)


def test_scores_need_no_data_and_are_the_same_every_time(graph: Graph) -> None:
    one, other = synthetic_scores(graph, CLASSES), synthetic_scores(graph, CLASSES)
    assert sorted(one.biases) == sorted(backbone_layers(graph))
    assert one.biases == other.biases
    assert all((one.channels[name] == other.channels[name]).all() for name in LAYERS)
    assert min(one.biases.values()) > 0


def test_a_dead_channel_is_worth_nothing(graph: Graph) -> None:
    dead = graph.copy()
    weight = dead.data["depthwise.weight"].copy()
    weight[3] = 0
    dead.data = dead.data | {"depthwise.weight": weight}
    assert synthetic_scores(dead, CLASSES).channels["depthwise"][3] == 0


def test_values_have_scores_too(graph: Graph) -> None:
    assert min(synthetic_scores(graph, 2, REGRESS).biases.values()) > 0


def test_gains_rise_with_depth_and_with_scores() -> None:
    """All biases gain 1; near the input nothing is expected; a doubled score gains less than
    twice as much."""
    layers = [f"layer{number}" for number in range(20)]
    biases = dict.fromkeys(layers, 3.0)
    half, whole = Fraction(1, 2), Fraction(1)
    choices = {Choice(layer, ratio): 2.0 * float(ratio) for layer in (0, 8, 19) for ratio in
               (half, whole)}  # fmt: skip
    found = expected_contributions(layers, biases, range(1, 21), choices)
    depths = list(found.biases.values())
    assert depths == sorted(depths) and depths[-1] == pytest.approx(1)
    assert depths[19] == depths[17]  # the first layers add nothing
    gains = found.weights
    assert gains[Choice(0, whole)] == 0 < gains[Choice(8, whole)] < gains[Choice(19, whole)]
    for layer in (8, 19):
        small, large = gains[Choice(layer, half)], gains[Choice(layer, whole)]
        assert large / small == pytest.approx(2**PRIOR.exponent)


def test_the_unit_of_scores_does_not_matter() -> None:
    layers, choice = ["a", "b", "c"], Choice(2, Fraction(1))
    one = expected_contributions(layers, {"a": 1.0, "b": 2.0, "c": 3.0}, [2], {choice: 5.0})
    other = expected_contributions(layers, {"a": 7.0, "b": 14.0, "c": 21.0}, [2], {choice: 35.0})
    assert one.biases == pytest.approx(other.biases)
    assert one.weights == pytest.approx(other.weights)


def test_a_choice_scores_the_channels_that_it_trains(graph: Graph) -> None:
    scores = synthetic_scores(graph, CLASSES)
    part, whole = Choice(2, Fraction(1, 8)), Choice(2, Fraction(1))
    found = choice_scores(graph, scores, [part, whole])
    assert 0 < found[part] < found[whole]
    assert found[whole] == pytest.approx(scores.channels["dense"].sum())


def test_what_is_chosen_fits_and_grows_with_the_budget() -> None:
    model = tiny_model()
    trained = []
    for sram in (4_500, 5_200, 6_500, 60_000):
        found = automatic_scheme(model, budgeted(sram))
        costs = SelectionCosts(model, budgeted(sram))
        assert costs.sram(found.selection) == found.sram <= sram
        scores = synthetic_scores(model.graph, CLASSES)
        gains = expected_contributions(
            costs.layers, scores.biases, range(1, 5),
            choice_scores(model.graph, scores, found.selection.choices),
        )  # fmt: skip
        assert all(gain >= LEAST_GAIN for gain in gains.weights.values())
        trained.append(gains.objective(found.selection))
    assert trained == sorted(trained) and trained[0] < trained[-1]


def test_a_budget_below_the_head_alone_is_an_error() -> None:
    with pytest.raises(MicrotuneError, match="nothing can be trained in 1,000 bytes of SRAM"):
        automatic_scheme(tiny_model(), budgeted(1_000))


def test_instructions_are_a_budget_too() -> None:
    model, most = tiny_model(), 330_000
    free = automatic_scheme(model, budgeted(60_000))
    found = automatic_scheme(model, budgeted(60_000), most)
    assert found.instructions <= most < free.instructions


def test_a_replay_memory_is_paid_for_and_keeps_the_first_layer_frozen() -> None:
    model = tiny_model()
    asked = replace(budgeted(60_000), replay_bytes=4_096)
    found = automatic_scheme(model, asked)
    assert found.selection.bias_layers < 4 and all(c.layer for c in found.selection.choices)
    graph, _ = pipeline.training_graph(model, replace(asked, scheme=found.scheme))
    assert pipeline.planned_sram(graph, pipeline.plan_graph(graph, asked)) <= found.sram


@pytest.mark.parametrize("seed", [3, 8])
def test_velocities_are_within_the_lower_bounds(seed: int) -> None:
    """The plan has a velocity for each trained parameter, and the bounds know it."""
    sgd = random_costs(seed)
    costs = SelectionCosts(sgd.model, replace(sgd.request, optimizer=make_optimizer("momentum")))
    depths, choices = some_space(costs)
    bounds, plain = (
        LowerBounds(costs, [0, *depths], choices),
        LowerBounds(sgd, [0, *depths], choices),
    )
    for selection in all_selections(costs, depths, choices)[::5]:
        bound = bounds.lower_bound(selection).sram_bytes
        assert plain.lower_bound(selection).sram_bytes < bound <= costs.sram(selection)


def test_compile_chooses_without_a_scheme_and_says_what(tmp_path: Path) -> None:
    folder, model = tmp_path / "p", tmp_path / "tiny.mt"
    tiny_model().save(model)
    words = ("--classes", 3, "--sram", "6KB", "--input", "rows")
    done = microtune("compile", model, *words, "-o", folder)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "note: --scheme auto trains the head and the biases of the last" in said
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["scheme"]["name"] == "auto"


def test_a_limit_of_instructions_is_for_auto_only(tmp_path: Path) -> None:
    words = ("--classes", 3, "--scheme", "head-only", "--step-instructions", 5)
    done = microtune("compile", embedded.MODEL, *words, "-o", tmp_path / "p")
    assert (
        done.returncode == 2 and "--step-instructions is a limit for --scheme auto" in done.stderr
    )
    assert not (tmp_path / "p").exists()


def test_a_limit_of_flash_that_the_bounds_miss_is_met_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Offsets of gradients are not in the lower bounds of flash. The next choice needs less flash;
    it is not looked for in steps of SRAM."""
    solved = []

    class Counted(exact._DepthPrograms):
        def best(self) -> tuple[Selection, float, bool]:
            solved.append(1)
            return super().best()

    monkeypatch.setattr(exact, "_DepthPrograms", Counted)
    most = Selection(4, (Choice(2, Fraction(1)), Choice(3, Fraction(1))))
    costs = SelectionCosts(tiny_model(), budgeted(60_000))
    gains = Contributions({1: 0.2, 4: 1.0}, dict.fromkeys(most.choices, 0.5))
    limits = Limits(60_000, costs.flash(most) - 1)
    found = exact.nearly_best_selection(gains, costs, limits)
    assert costs.fits(found, limits) and len(solved) <= 4


def test_what_no_scheme_changes_is_printed_without_choosing() -> None:
    done = microtune("compile", embedded.MODEL, "--classes", 3, "--emit", "graph")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("microtune graph 1")


def test_a_place_that_is_not_ours_is_refused_before_choosing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(*_: object) -> None:
        pytest.fail("it was chosen what to train, for nothing")

    monkeypatch.setattr("microtune.api.compiling.automatic_scheme", chosen)
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(MicrotuneError, match="is not a microtune project"):
        mt.compile(embedded.MODEL, classes=3, output=tmp_path)


def test_what_was_learnt_under_other_budgets_says_by_what_auto_chooses(tmp_path: Path) -> None:
    model, saved = tiny_model(), tmp_path / "learnt.bin"
    data = write_images(tmp_path / "images.npz", 60)
    folders = [tmp_path / name for name in ("small", "large")]
    small = mt.compile(model, classes=3, sram=5_200, input="rows", output=folders[0], note=_quiet)
    small.train(data, steps=3, save=saved, note=_quiet)
    with pytest.raises(MicrotuneError, match="than auto chooses here, by --sram"):
        mt.compile(
            model, classes=3, sram=60_000, input="rows", learnt=saved, output=folders[1],
            note=_quiet,
        )  # fmt: skip
    assert not folders[1].exists()


def _quiet(_: str) -> None:
    """A note that is not looked at."""
