"""What is to be expected of many noisy gains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtune.search.contributions.shrinkage import expected_nats, expected_points
from microtune.search.trials.gains import Gain
from microtune.stats import Difference


def gains_of(
    values: list[tuple[float, float]], training_nats: list[float] | None = None
) -> dict[int, Gain]:
    """Of (nats, standard error), of which training told nothing."""
    told = [0.0] * len(values) if training_nats is None else training_nats
    return {
        place: Gain(nats, error, Difference(10 * nats, 10 * nats - 1, 10 * nats + 1), 1, known)
        for place, ((nats, error), known) in enumerate(zip(values, told, strict=True))
    }


def test_noise_is_drawn_to_nothing_and_sure_gains_are_not() -> None:
    noise = gains_of([(0.01, 0.1), (-0.01, 0.1), (0.02, 0.1), (0.02, 0.1)])
    assert list(expected_nats(noise, {}).values()) == pytest.approx([0.0] * 4)
    sure = gains_of([(0.1, 1e-9), (-0.1, 1e-9), (0.3, 1e-9), (0.2, 1e-9)])
    assert list(expected_nats(sure, {}).values()) == pytest.approx([0.1, -0.1, 0.3, 0.2])


LEARNT = [0.1, 0.2, 0.3, 0.4, 0.0, 0.5]


def test_gains_are_drawn_towards_what_training_tells() -> None:
    told = [0.5 * each for each in LEARNT]
    line = gains_of([(value, 0.01) for value in told], LEARNT)
    assert list(expected_nats(line, {}).values()) == pytest.approx(told)
    seen = [value + 0.01 * (-1) ** n for n, value in enumerate(told)]
    noisy = gains_of([(value, 0.05) for value in seen], LEARNT)
    slope = np.dot(seen, LEARNT) / np.dot(LEARNT, LEARNT)
    assert list(expected_nats(noisy, {}).values()) == pytest.approx(
        [slope * each for each in LEARNT]
    )
    points = list(expected_points(noisy, {}).values())
    assert points == pytest.approx([10 * slope * each for each in LEARNT])
    apart = gains_of([(value + n % 2, 0.05) for n, value in enumerate(told)], LEARNT)
    assert expected_nats(apart, {})[1] - told[1] == pytest.approx(
        1, abs=0.5
    )  # far beyond its error


def test_what_gains_over_one_reference_share_counts_for_none() -> None:
    """Two references, one of which happened to run badly; of the few over a third nothing is
    known."""
    training_nats, owners = LEARNT * 2 + [0.1], dict(enumerate([*"aaaaaabbbbbb", "c"]))
    lucky = [
        0.5 * each + (0.1 if owners[n] == "a" else 0.0) for n, each in enumerate(training_nats)
    ]
    gains = gains_of([(value, 0.001) for value in lucky], training_nats)
    told = [0.5 * each for each in training_nats]
    assert list(expected_nats(gains, owners).values()) == pytest.approx(told)
    assert expected_nats(gains, {})[0] > told[0] + 0.05


def test_who_learns_less_is_not_expected_to_gain() -> None:
    falling = gains_of([(-0.1 * each, 0.05) for each in LEARNT], LEARNT)
    assert list(expected_nats(falling, {}).values()) == pytest.approx([0.0] * len(LEARNT))


def test_what_is_sure_is_left_as_it_is() -> None:
    gains = gains_of([(0.05, 0.1), (0.1, 0.1), (0.15, 0.1), (0.2, 0.1), (0.0, 0.0)], LEARNT[:5])
    gains[4] = replace(gains[4], training_nats=0.3)
    assert expected_nats(gains, {})[4] == 0.0


def test_few_gains_and_no_gains_are_left_as_they_are() -> None:
    few = gains_of([(0.1, 0.1), (-0.1, 0.1), (0.3, 0.1)], [1.0, 2.0, 3.0])
    assert list(expected_nats(few, {}).values()) == [0.1, -0.1, 0.3]
    assert list(expected_points(few, {}).values()) == pytest.approx([1.0, -1.0, 3.0])
    assert expected_nats({}, {}) == {}


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0.001, 1)), min_size=4, max_size=20),
)
def test_what_is_expected_lies_between_the_gain_and_nothing(
    values: list[tuple[float, float]],
) -> None:
    """Where training tells nothing."""
    gains = gains_of(values)
    found = expected_nats(gains, {})
    for key, seen in gains.items():
        assert abs(found[key]) <= abs(seen.nats) and found[key] * seen.nats >= 0


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_simulated_winners_are_believed_no_more_than_they_are_worth(slope: float) -> None:
    """Of 40 gains with noise as large as themselves, the best five; where training tells something
    of them, these are better ones."""
    dice = np.random.default_rng(5)
    raw, shrunken, won = [], [], []
    for _ in range(200):
        training_nats = dice.normal(0.0, 0.06, 40)
        true = slope * training_nats + dice.normal(0.0, 0.02, 40)
        seen = true + dice.normal(0.0, 0.02, 40)
        told = gains_of([(float(value), 0.02) for value in seen], training_nats.tolist())
        values = np.array(list(expected_nats(told, {}).values()))
        best, seen_best = np.argsort(values)[-5:], np.argsort(seen)[-5:]
        raw.append(seen[seen_best].sum() - true[seen_best].sum())
        shrunken.append(values[best].sum() - true[best].sum())
        won.append(true[best].sum() - true[seen_best].sum())
    flattered = float(np.mean(raw))
    assert flattered > 0.06 and abs(float(np.mean(shrunken))) < 0.15 * flattered
    assert np.mean(won) > (0.01 if slope else -0.01)
