"""What a scheme gains over another, and what is to be expected of many noisy gains."""

from __future__ import annotations

import numpy as np
import pytest

from microtune.search.trials.gains import NO_GAIN, Gain, Spread, between, gain, spread
from microtune.search.trials.trial import Outcome
from microtune.stats import Difference

NONE = Spread(0.0, 0.0)


def outcome(losses: list[float], predicted: list[int]) -> Outcome:
    return Outcome(np.array(losses), 1.0, np.array(predicted), 0.0, "", 0.0)


def test_a_gain_is_paired_by_image() -> None:
    labels = np.array([0, 1, 1, 0])
    noise = np.array([5.0, -3.0, 8.0, 0.0])
    ours = [outcome(noise.tolist(), [0, 1, 1, 0])]
    others = [outcome((noise + 0.5).tolist(), [0, 0, 1, 0])]
    found = gain(ours, others, labels, NONE)
    assert found.nats == pytest.approx(0.5) and found.error == pytest.approx(0.0, abs=1e-12)
    assert found.points.mean == pytest.approx(25.0) and found.seeds == 1


def test_a_gain_is_paired_by_seed() -> None:
    """A seed that is worse for both is no gain of the other, also where only one has more runs."""
    labels = np.zeros(2, int)
    others = [outcome([seed, seed], [0, 0]) for seed in (0.0, 9.0, -4.0)]
    ours = [outcome([seed - 0.25, seed - 0.25], [0, 0]) for seed in (0.0, 9.0)]
    for runs in (1, 2):
        found = gain(ours[:runs], others, labels, NONE)
        assert (found.nats, found.error, found.seeds) == (0.25, 0.0, runs)


def test_the_standard_error_is_over_images_and_seeds() -> None:
    labels, zero = np.zeros(4, int), outcome([0.0] * 4, [0] * 4)
    better = outcome([0.0, 0.0, -2.0, -2.0], [0] * 4)
    assert gain([better], [zero], labels, NONE).error == pytest.approx(np.sqrt(4 / 3 / 4))
    seeds = Spread(0.5, 0.0)
    assert gain([better], [zero], labels, seeds).error == pytest.approx(np.sqrt(4 / 3 * 0.75))
    twice = gain([better] * 2, [zero] * 2, labels, seeds)
    assert twice.error == pytest.approx(np.sqrt(4 / 3 * 0.5))


def test_a_scheme_gains_nothing_over_itself() -> None:
    runs = [outcome([1.0, 2.0], [0, 1]), outcome([3.0, 2.0], [1, 1])]
    found = gain(runs, runs, np.zeros(2, int), Spread(1.0, 1.0))
    assert (found.nats, found.error, found.points_error) == (0.0, 0.0, 0.0)


def test_the_spread_is_a_part_of_that_between_images() -> None:
    """Two pairs whose mean differs by 2 between seeds, with images that differ by 1 and by 3."""
    labels, zero = np.zeros(2, int), outcome([0.0] * 2, [0] * 2)
    pairs = [
        ([outcome([seed - by, seed + by], [0, 1]) for seed in (0.0, 2.0)], [zero] * 2)
        for by in (0.5, 1.5)
    ]
    found = spread(pairs, labels)
    assert found.log_loss == pytest.approx((2 / 0.5 + 2 / 4.5) / 2)
    assert found.accuracy == 0.0
    assert spread([([zero], [zero] * 3)], labels) == NONE


@pytest.mark.parametrize("noise", [(0.2, 1.0, 0.5), (0.0, 0.0, 1.0), (0.0, 1.0, 1.0)])
@pytest.mark.parametrize("runs", [1, 2, 3])
def test_errors_say_how_far_gains_are_off(runs: int, noise: tuple[float, float, float]) -> None:
    """Gains of no more than noise, of seeds, of images and of both, in schemes that differ by
    little and by much: in units of their error, 1."""
    draw = np.random.default_rng(runs)
    labels, zero, pairs = np.zeros(50, int), outcome([0.0] * 50, [0] * 50), []
    for size in np.exp(draw.normal(0, 1, 600)):
        of_seeds, of_images, of_both = (draw.normal(0, n, (3, 50)) for n in noise)
        losses = size * (of_seeds[:, :1] + of_images[:1] + of_both)
        pairs.append(([outcome(row.tolist(), [0] * 50) for row in losses], [zero] * 3))
    part = spread(pairs, labels)
    found = [gain(ours[:runs], others, labels, part) for ours, others in pairs]
    assert np.std([each.nats / each.error for each in found]) == pytest.approx(1, abs=0.1)


def test_between_is_as_unsure_as_the_less_sure_end() -> None:
    low, high = (
        Gain(1.0, 0.1, Difference(2.0, 1.0, 3.0), 1, 4.0),
        Gain(3.0, 0.3, NO_GAIN.points, 2, 8.0),
    )
    found = between(low, high, 0.25)
    assert (found.nats, found.error, found.seeds) == (1.5, 0.3, 0)
    assert found.learnt == 5.0
    points = found.points
    assert (points.mean, points.low, points.high) == pytest.approx((1.5, 0.5, 2.5))
