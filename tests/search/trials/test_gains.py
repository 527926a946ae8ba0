"""What a scheme gains over another, and what is to be expected of many noisy gains."""

from __future__ import annotations

import numpy as np
import pytest

from microtune.search.trials.gains import (
    NO_GAIN,
    Gain,
    SeedVarianceRatio,
    interpolated_gain,
    paired_gain,
    seed_variance_ratio,
)
from microtune.search.trials.trial import TrialResult
from microtune.stats import Difference

NONE = SeedVarianceRatio(0.0, 0.0)


def result(losses: list[float], predicted: list[int]) -> TrialResult:
    return TrialResult(np.array(losses), 1.0, np.array(predicted), 0.0, "", 0.0)


def test_a_gain_is_paired_by_image() -> None:
    labels = np.array([0, 1, 1, 0])
    noise = np.array([5.0, -3.0, 8.0, 0.0])
    ours = [result(noise.tolist(), [0, 1, 1, 0])]
    others = [result((noise + 0.5).tolist(), [0, 0, 1, 0])]
    found = paired_gain(ours, others, labels, NONE)
    assert found.nats == pytest.approx(0.5) and found.standard_error == pytest.approx(
        0.0, abs=1e-12
    )
    assert found.points.mean == pytest.approx(25.0) and found.seeds == 1


def test_a_gain_is_paired_by_seed() -> None:
    """A seed that is worse for both is no gain of the other, also where only one has more runs."""
    labels = np.zeros(2, int)
    others = [result([seed, seed], [0, 0]) for seed in (0.0, 9.0, -4.0)]
    ours = [result([seed - 0.25, seed - 0.25], [0, 0]) for seed in (0.0, 9.0)]
    for runs in (1, 2):
        found = paired_gain(ours[:runs], others, labels, NONE)
        assert (found.nats, found.standard_error, found.seeds) == (0.25, 0.0, runs)


def test_the_standard_error_is_over_images_and_seeds() -> None:
    labels, zero = np.zeros(4, int), result([0.0] * 4, [0] * 4)
    better = result([0.0, 0.0, -2.0, -2.0], [0] * 4)
    assert paired_gain([better], [zero], labels, NONE).standard_error == pytest.approx(
        np.sqrt(4 / 3 / 4)
    )
    seeds = SeedVarianceRatio(0.5, 0.0)
    assert paired_gain([better], [zero], labels, seeds).standard_error == pytest.approx(
        np.sqrt(4 / 3 * 0.75)
    )
    twice = paired_gain([better] * 2, [zero] * 2, labels, seeds)
    assert twice.standard_error == pytest.approx(np.sqrt(4 / 3 * 0.5))


def test_a_scheme_gains_nothing_over_itself() -> None:
    runs = [result([1.0, 2.0], [0, 1]), result([3.0, 2.0], [1, 1])]
    found = paired_gain(runs, runs, np.zeros(2, int), SeedVarianceRatio(1.0, 1.0))
    assert (found.nats, found.standard_error, found.points_standard_error) == (0.0, 0.0, 0.0)


def test_the_spread_is_a_part_of_that_between_images() -> None:
    """Two pairs whose mean differs by 2 between seeds, with images that differ by 1 and by 3."""
    labels, zero = np.zeros(2, int), result([0.0] * 2, [0] * 2)
    pairs = [
        ([result([seed - by, seed + by], [0, 1]) for seed in (0.0, 2.0)], [zero] * 2)
        for by in (0.5, 1.5)
    ]
    found = seed_variance_ratio(pairs, labels)
    assert found.log_loss == pytest.approx((2 / 0.5 + 2 / 4.5) / 2)
    assert found.accuracy == 0.0
    assert seed_variance_ratio([([zero], [zero] * 3)], labels) == NONE


@pytest.mark.parametrize("noise", [(0.2, 1.0, 0.5), (0.0, 0.0, 1.0), (0.0, 1.0, 1.0)])
@pytest.mark.parametrize("runs", [1, 2, 3])
def test_errors_say_how_far_gains_are_off(runs: int, noise: tuple[float, float, float]) -> None:
    """Gains of no more than noise, of seeds, of images and of both, in schemes that differ by
    little and by much: in units of their error, 1."""
    draw = np.random.default_rng(runs)
    labels, zero, pairs = np.zeros(50, int), result([0.0] * 50, [0] * 50), []
    for size in np.exp(draw.normal(0, 1, 600)):
        of_seeds, of_images, of_both = (draw.normal(0, n, (3, 50)) for n in noise)
        losses = size * (of_seeds[:, :1] + of_images[:1] + of_both)
        pairs.append(([result(row.tolist(), [0] * 50) for row in losses], [zero] * 3))
    part = seed_variance_ratio(pairs, labels)
    found = [paired_gain(ours[:runs], others, labels, part) for ours, others in pairs]
    assert np.std([each.nats / each.standard_error for each in found]) == pytest.approx(1, abs=0.1)


def test_between_is_as_unsure_as_the_less_sure_end() -> None:
    low, high = (
        Gain(1.0, 0.1, Difference(2.0, 1.0, 3.0), 1, 4.0),
        Gain(3.0, 0.3, NO_GAIN.points, 2, 8.0),
    )
    found = interpolated_gain(low, high, 0.25)
    assert (found.nats, found.standard_error, found.seeds) == (1.5, 0.3, 0)
    assert found.training_nats == 5.0
    points = found.points
    assert (points.mean, points.low, points.high) == pytest.approx((1.5, 0.5, 2.5))
