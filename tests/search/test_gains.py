"""What a scheme gains over another, and what is to be expected of many noisy gains."""

from __future__ import annotations

from dataclasses import replace

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


def gains_of(
    values: list[tuple[float, float]], learnt: list[float] | None = None
) -> dict[int, Gain]:
    """Of (nats, standard error), of which training told nothing."""
    told = [0.0] * len(values) if learnt is None else learnt
    return {
        place: Gain(nats, error, Difference(10 * nats, 10 * nats - 1, 10 * nats + 1), 1, known)
        for place, ((nats, error), known) in enumerate(zip(values, told, strict=True))
    }


def test_noise_is_drawn_to_nothing_and_sure_gains_are_not() -> None:
    noise = gains_of([(0.01, 0.1), (-0.01, 0.1), (0.02, 0.1), (0.02, 0.1)])
    assert list(expected(noise, {}).values()) == pytest.approx([0.0] * 4)
    sure = gains_of([(0.1, 1e-9), (-0.1, 1e-9), (0.3, 1e-9), (0.2, 1e-9)])
    assert list(expected(sure, {}).values()) == pytest.approx([0.1, -0.1, 0.3, 0.2])


LEARNT = [0.1, 0.2, 0.3, 0.4, 0.0, 0.5]


def test_gains_are_drawn_towards_what_training_tells() -> None:
    told = [0.5 * each for each in LEARNT]
    line = gains_of([(value, 0.01) for value in told], LEARNT)
    assert list(expected(line, {}).values()) == pytest.approx(told)
    seen = [value + 0.01 * (-1) ** n for n, value in enumerate(told)]
    noisy = gains_of([(value, 0.05) for value in seen], LEARNT)
    slope = np.dot(seen, LEARNT) / np.dot(LEARNT, LEARNT)
    assert list(expected(noisy, {}).values()) == pytest.approx([slope * each for each in LEARNT])
    points = list(expected_points(noisy, {}).values())
    assert points == pytest.approx([10 * slope * each for each in LEARNT])
    apart = gains_of([(value + n % 2, 0.05) for n, value in enumerate(told)], LEARNT)
    assert expected(apart, {})[1] - told[1] == pytest.approx(1, abs=0.5)  # far beyond its error


def test_what_gains_over_one_reference_share_is_its_luck() -> None:
    """Two references, one of which happened to run badly; of the few over a third nothing is
    known."""
    learnt, owners = LEARNT * 2 + [0.1], dict(enumerate([*"aaaaaabbbbbb", "c"]))
    lucky = [0.5 * each + (0.1 if owners[n] == "a" else 0.0) for n, each in enumerate(learnt)]
    gains = gains_of([(value, 0.001) for value in lucky], learnt)
    told = [0.5 * each for each in learnt]
    assert list(expected(gains, owners).values()) == pytest.approx(told)
    assert expected(gains, {})[0] > told[0] + 0.05


def test_who_learns_less_is_not_expected_to_gain() -> None:
    falling = gains_of([(-0.1 * each, 0.05) for each in LEARNT], LEARNT)
    assert list(expected(falling, {}).values()) == pytest.approx([0.0] * len(LEARNT))


def test_what_is_sure_is_left_as_it_is() -> None:
    gains = gains_of([(0.05, 0.1), (0.1, 0.1), (0.15, 0.1), (0.2, 0.1), (0.0, 0.0)], LEARNT[:5])
    gains[4] = replace(gains[4], learnt=0.3)
    assert expected(gains, {})[4] == 0.0


def test_few_gains_and_no_gains_are_left_as_they_are() -> None:
    few = gains_of([(0.1, 0.1), (-0.1, 0.1), (0.3, 0.1)], [1.0, 2.0, 3.0])
    assert list(expected(few, {}).values()) == [0.1, -0.1, 0.3]
    assert list(expected_points(few, {}).values()) == pytest.approx([1.0, -1.0, 3.0])
    assert expected({}, {}) == {}


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0.001, 1)), min_size=4, max_size=20),
)
def test_what_is_expected_lies_between_the_gain_and_nothing(
    values: list[tuple[float, float]],
) -> None:
    """Where training tells nothing."""
    gains = gains_of(values)
    found = expected(gains, {})
    for key, seen in gains.items():
        assert abs(found[key]) <= abs(seen.nats) and found[key] * seen.nats >= 0


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_simulated_winners_are_believed_no_more_than_they_are_worth(slope: float) -> None:
    """Of 40 gains with noise as large as themselves, the best five; where training tells something
    of them, these are better ones."""
    dice = np.random.default_rng(5)
    raw, shrunken, won = [], [], []
    for _ in range(200):
        learnt = dice.normal(0.0, 0.06, 40)
        true = slope * learnt + dice.normal(0.0, 0.02, 40)
        seen = true + dice.normal(0.0, 0.02, 40)
        told = gains_of([(float(value), 0.02) for value in seen], learnt.tolist())
        values = np.array(list(expected(told, {}).values()))
        best, seen_best = np.argsort(values)[-5:], np.argsort(seen)[-5:]
        raw.append(seen[seen_best].sum() - true[seen_best].sum())
        shrunken.append(values[best].sum() - true[best].sum())
        won.append(true[best].sum() - true[seen_best].sum())
    flattered = float(np.mean(raw))
    assert flattered > 0.06 and abs(float(np.mean(shrunken))) < 0.15 * flattered
    assert np.mean(won) > (0.01 if slope else -0.01)


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
