"""What a scheme gains over another, and what is to be expected of many noisy gains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtune.search.gains import (
    NO_GAIN,
    Gain,
    Spread,
    between,
    expected,
    expected_points,
    gain,
    spread,
)
from microtune.search.trials import Outcome
from microtune.study.statistics import Difference

NONE = Spread(0.0, 0.0)


def outcome(losses: list[float], predicted: list[int]) -> Outcome:
    return Outcome(np.array(losses), 1.0, np.array(predicted), 0.0, "", 0.0)


def test_a_gain_is_paired_by_image() -> None:
    labels = np.array([0, 1, 1, 0])
    noise = np.array([5.0, -3.0, 8.0, 0.0])
    ours = [outcome((noise + s).tolist(), [0, 1, 1, 0]) for s in (0.0, 10.0)]
    others = [outcome((noise + 5.5).tolist(), [0, 0, 1, 0])]
    found = gain(ours, others, labels, NONE)
    assert found.nats == pytest.approx(0.5) and found.error == pytest.approx(0.0, abs=1e-12)
    assert found.points.mean == pytest.approx(25.0) and found.seeds == 2


def test_the_standard_error_is_over_images_and_the_runs_of_both() -> None:
    labels, zero = np.zeros(4, int), outcome([0.0] * 4, [0] * 4)
    images = gain([outcome([0.0, 0.0, -2.0, -2.0], [0] * 4)], [zero], labels, NONE)
    assert images.error == pytest.approx(np.sqrt(4 / 3 / 4))
    other = outcome([1.0] * 4, [0] * 4)
    runs = gain([zero], [other, other], labels, Spread(0.06, 0.0006))
    assert runs.error == pytest.approx(0.3) and runs.points_error == pytest.approx(3.0)


def test_a_scheme_gains_nothing_over_itself() -> None:
    runs = [outcome([1.0, 2.0], [0, 1]), outcome([3.0, 2.0], [1, 1])]
    assert gain(runs, runs, np.zeros(2, int), Spread(1.0, 1.0)).error == 0.0


def test_the_spread_is_pooled_over_schemes() -> None:
    labels = np.zeros(2, int)
    apart = [outcome([value] * 2, [int(value > 0)] * 2) for value in (0.0, 2.0)]
    alike = [outcome([7.0] * 2, [0] * 2)] * 2
    once = [outcome([9.0] * 2, [0] * 2)]
    found = spread([apart, alike, once], labels)
    assert (found.log_loss, found.accuracy) == pytest.approx((1.0, 0.25))
    assert spread([once], labels) == NONE


def gains_of(values: list[tuple[float, float]], seeds: int = 1) -> dict[int, Gain]:
    return {
        place: Gain(nats, error, Difference(10 * nats, 10 * nats - 1, 10 * nats + 1), seeds)
        for place, (nats, error) in enumerate(values)
    }


def test_noise_is_drawn_to_nothing_and_sure_gains_are_not() -> None:
    noise = gains_of([(0.01, 0.1), (-0.01, 0.1), (0.02, 0.1), (0.02, 0.1)])
    assert list(expected(noise).values()) == pytest.approx([0.0] * 4)
    sure = gains_of([(0.1, 1e-9), (-0.1, 1e-9), (0.3, 1e-9), (0.2, 1e-9)])
    assert list(expected(sure).values()) == pytest.approx([0.1, -0.1, 0.3, 0.2])


def test_few_gains_and_no_gains_are_left_as_they_are() -> None:
    few = gains_of([(0.1, 0.1), (-0.1, 0.1), (0.3, 0.1)])
    assert list(expected(few).values()) == [0.1, -0.1, 0.3]
    assert list(expected_points(few).values()) == [1.0, -1.0, 3.0]
    assert expected({}) == {}


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0.001, 1)), min_size=4, max_size=20),
)
def test_what_is_expected_lies_between_the_gain_and_nothing(
    values: list[tuple[float, float]],
) -> None:
    gains = gains_of(values)
    found = expected(gains)
    for key, seen in gains.items():
        assert abs(found[key]) <= abs(seen.nats) and found[key] * seen.nats >= 0


def test_simulated_winners_are_believed_no_more_than_they_are_worth() -> None:
    """Of 40 gains with noise as large as themselves, the best five."""
    dice = np.random.default_rng(5)
    raw, shrunken = [], []
    for _ in range(200):
        true = dice.normal(0.0, 0.02, 40)
        seen = true + dice.normal(0.0, 0.02, 40)
        gains = gains_of([(float(value), 0.02) for value in seen])
        best = np.argsort(seen)[-5:]
        raw.append(seen[best].sum() - true[best].sum())
        values = expected(gains)
        shrunken.append(sum(values[int(place)] for place in best) - true[best].sum())
    assert np.mean(raw) > 0.06 and abs(float(np.mean(shrunken))) < 0.01


def test_between_is_as_unsure_as_the_less_sure_end() -> None:
    low, high = Gain(1.0, 0.1, Difference(2.0, 1.0, 3.0), 1), Gain(3.0, 0.3, NO_GAIN.points, 2)
    found = between(low, high, 0.25)
    assert (found.nats, found.error, found.seeds) == (1.5, 0.3, 0)
    points = found.points
    assert (points.mean, points.low, points.high) == pytest.approx((1.5, 0.5, 2.5))
