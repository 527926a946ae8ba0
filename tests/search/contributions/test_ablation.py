"""Contribution analysis: paired statistics, halving, and interpolation."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from microtune.parallel.tasks import Backend, TaskSession
from microtune.search.cache import Cache
from microtune.search.contributions.ablation import (
    ContributionAnalysis,
    evenly_spaced_depths,
    measure_contributions,
    reference_depth,
    reference_depths,
    undecided_candidates,
)
from microtune.search.problem import HEAD_ONLY, Choice, Selection
from microtune.search.trials.gains import NO_GAIN, Gain
from microtune.search.trials.runner import TrialRunner
from microtune.search.trials.trial import Trial, TrialSettings, open_trial_setup
from tests.search.tiny import tiny_model, write_images

HALF, WHOLE = Fraction(1, 2), Fraction(1)


NO_POINTS = NO_GAIN.points


def selections(*nats_and_errors: tuple[float, float]) -> dict[Selection, Gain]:
    return {
        Selection(depth, ()): Gain(nats, error, NO_POINTS, 1, 0.0)
        for depth, (nats, error) in enumerate(nats_and_errors, start=1)
    }


def independent(
    gains: dict[Selection, Gain],
) -> Callable[[Selection, Selection], tuple[float, float]]:
    return lambda a, b: (
        gains[a].nats - gains[b].nats, math.hypot(gains[a].standard_error, gains[b].standard_error),
    )  # fmt: skip


def test_only_what_is_near_a_decision_goes_on() -> None:
    surely_good, surely_bad = (0.9, 0.01), (-0.5, 0.01)
    gains = selections(surely_good, surely_bad, (0.1, 0.1), (0.12, 0.1), (-0.3, 0.1), (-0.31, 0.1))
    assert undecided_candidates(gains, independent(gains)) == [Selection(4, ()), Selection(3, ())]
    sure = selections(surely_good, surely_bad)
    assert undecided_candidates(sure, independent(sure)) == []


def test_neighbours_that_surely_differ_are_decided() -> None:
    gains = selections((0.9, 0.1), (0.7, 0.1))
    assert undecided_candidates(gains, independent(gains)) == [Selection(1, ())]
    assert undecided_candidates(gains, lambda *_: (0.2, 0.01)) == []


def test_at_most_half_go_on() -> None:
    close = selections(*[(0.01 * k, 0.1) for k in range(7)])
    assert undecided_candidates(close, independent(close)) == [Selection(k, ()) for k in (7, 6, 5)]


def test_depths_are_spread() -> None:
    assert evenly_spaced_depths(range(1, 6)) == [1, 2, 3, 4, 5]
    rungs = evenly_spaced_depths(range(1, 43))
    assert len(rungs) == 8 and rungs[0] == 1 and rungs[-1] == 42


def test_levels_cover_all_layers() -> None:
    assert reference_depths(42) == [21, 32, 42] and reference_depths(1) == [1]
    assert [reference_depth(42, d) for d in (1, 21, 22, 33, 42)] == [21, 21, 32, 42, 42]


def test_a_sure_increment_counts_whatever_the_training_loss() -> None:
    """Gains over the head alone are all as unsure as the head; what sets two depths apart is not.
    Seven depths learn alike and are worth the same, the eighth is surely worth more."""
    steps = {k: Gain(0.01, 0.01, NO_POINTS, 3, 0.01) for k in range(1, 8)}
    steps[8] = Gain(0.2, 0.01, NO_POINTS, 3, 0.0)
    biases = {k: Gain(0.01 * k, 0.1, NO_POINTS, 3, 0.01 * k) for k in range(1, 8)}
    biases[8] = Gain(0.27, 0.1, NO_POINTS, 3, 0.07)
    depths = ContributionAnalysis(biases, steps, {}, 50.0, 8).contributions.biases
    assert depths[8] - depths[7] > 0.15
    assert [depths[k] for k in range(1, 8)] == pytest.approx([0.01 * k for k in range(1, 8)])


@pytest.fixture(scope="module")
def runner(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> TrialRunner:
    folder = tmp_path_factory.mktemp("analysis")
    data = write_images(folder / "images.npz", 120)
    setup = open_trial_setup(tiny_model(), data, kept, "val")
    return TrialRunner(setup, Cache(folder), TaskSession(Backend(workers=1)), lambda *_: None)


def test_an_analysis_is_of_real_trials(runner: TrialRunner) -> None:
    choices = [Choice(layer, ratio) for layer in (2, 3) for ratio in (HALF, WHOLE)]
    training = TrialSettings(0.02, 2, 2)
    found = measure_contributions(runner, 2, choices, training)
    assert set(found.biases) == {1, 2} and set(found.weights) == set(choices)
    base, cand = Selection(2, ()), Selection(2, (choices[3],))

    def mean(selection: Selection, seeds: int) -> float:
        trials = [Trial(selection, 0.02, seed, 2) for seed in range(seeds)]
        return float(np.mean([o.log_loss.mean() for o in runner.results(trials)]))

    # What others are compared with has all seeds.
    ours = found.weights[choices[3]]
    assert ours.nats == pytest.approx(mean(base, ours.seeds) - mean(cand, ours.seeds))
    assert {gain.seeds for gain in found.weights.values()} >= {1, 2}
    assert found.biases[2].nats == pytest.approx(mean(HEAD_ONLY, 2) - mean(base, 2))
    assert found.biases[2].seeds == 2 and found.biases[2].standard_error > 0
    assert set(found.depth_increments) == {1, 2}
    shallow = found.depth_increments[1]
    assert shallow.nats == found.biases[1].nats and shallow.seeds == found.biases[1].seeds
    seeds = found.depth_increments[2].seeds
    assert found.depth_increments[2].nats == pytest.approx(
        mean(Selection(1, ()), seeds) - mean(base, seeds)
    )
    both = shallow.nats + found.depth_increments[2].nats
    assert found.contributions.biases[2] == pytest.approx(both)
    ran = runner.trained
    assert measure_contributions(runner, 2, choices[::-1], training) == found
    assert runner.trained == ran


def test_two_workers_find_the_same(runner: TrialRunner, tmp_path: Path) -> None:
    trials = [Trial(Selection(k, ()), 0.02, 0, 1) for k in (0, 1)]
    with TaskSession(Backend(workers=2)) as session:
        other = TrialRunner(runner.setup, Cache(tmp_path), session, lambda *_: None)
        ours, others = runner.results(trials), other.results(trials)
    assert other.trained == 2
    assert [o.parameters_sha256 for o in ours] == [o.parameters_sha256 for o in others]
