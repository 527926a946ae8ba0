"""Gains between measured ones."""

from __future__ import annotations

from fractions import Fraction

import pytest

from microtune.search.contributions.interpolation import (
    cumulative_gains,
    interpolated_depths,
    interpolated_ratios,
    ratio_exponent,
)
from microtune.search.problem import Choice
from microtune.search.trials.gains import NO_GAIN, Gain

NO_POINTS = NO_GAIN.points
RATIOS = [Fraction(1, 2**k) for k in (3, 2, 1, 0)]


def measured(nats: float, training_nats: float) -> Gain:
    return Gain(nats, 0.1, NO_POINTS, 1, training_nats)


def of_layer(layer: int) -> list[Choice]:
    return [Choice(layer, ratio) for ratio in RATIOS]


def test_depths_are_interpolated() -> None:
    gains = {2: Gain(1.0, 0.1, NO_POINTS, 1, 0.0), 6: Gain(3.0, 0.2, NO_POINTS, 2, 0.0)}
    found = interpolated_depths(gains, range(1, 7))
    assert [found[k].nats for k in range(1, 7)] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    assert [found[k].seeds for k in range(1, 7)] == [0, 1, 0, 0, 0, 2]
    assert found[4].standard_error == 0.2


def test_steps_are_added() -> None:
    found = cumulative_gains({6: -1.0, 2: 3.0}, range(1, 7))
    assert list(found.values()) == pytest.approx([1.5, 3.0, 2.75, 2.5, 2.25, 2.0])
    assert cumulative_gains({1: 0.5}, [1]) == {1: 0.5} and cumulative_gains({}, []) == {}


def test_ratios_grow_as_the_training_loss_says() -> None:
    """A power law of the ratio: 1, 2, 4, 8."""
    choices = of_layer(3)
    ends = {choices[0]: measured(-1.0, 0.1), choices[-1]: measured(13.0, 0.8)}
    found = interpolated_ratios(ends, choices)
    assert [found[c].training_nats for c in choices] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert [found[c].nats for c in choices] == pytest.approx([-1.0, 1.0, 5.0, 13.0])
    assert [found[c].seeds for c in choices] == [1, 0, 0, 1]


def test_all_layers_have_one_power_law() -> None:
    """So that what a layer learns by chance has no part in it."""
    large, small = of_layer(3), of_layer(4)
    ends = {
        large[0]: measured(1.0, 0.1), large[-1]: measured(4.0, 0.8),
        small[0]: measured(0.0, -1e-6), small[-1]: measured(7.0, 1e-5),
    }  # fmt: skip
    found = interpolated_ratios(ends, large + small)
    assert [found[c].nats for c in small] == pytest.approx([0.0, 1.0, 3.0, 7.0], abs=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "exponent"),
    [(0.1, 0.8, 1.0), (0.1, 0.2, 1 / 3), (0.1, 9.0, 1.0), (0.1, 0.1, 0.0), (-0.1, 0.2, 0.0)],
)
def test_the_exponent_lies_between_the_logarithm_and_the_line(
    low: float, high: float, exponent: float
) -> None:
    choices = of_layer(3)
    ends = {choices[0]: measured(0.0, low), choices[-1]: measured(1.0, high)}
    assert ratio_exponent([(choices[0], choices[-1])], ends) == pytest.approx(exponent)


def test_ratios_are_interpolated_in_their_logarithm_where_nothing_grows() -> None:
    choices = of_layer(3)
    ends = {choices[0]: measured(1.0, 0.0), choices[-1]: measured(4.0, 0.0)}
    found = interpolated_ratios(ends, choices)
    assert [found[c].nats for c in choices] == pytest.approx([1.0, 2.0, 3.0, 4.0])
    assert ratio_exponent([], {}) == 0.0


def test_a_layer_of_one_ratio_is_as_it_was_measured() -> None:
    only = Choice(2, Fraction(1))
    ends = {only: measured(1.0, 0.3)}
    assert interpolated_ratios(ends, [only]) == ends
