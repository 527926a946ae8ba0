"""Gains that were not measured: bias depths linearly, ratios by a power law between their ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

import numpy as np

from microtune.search.problem import Choice
from microtune.search.trials.gains import NO_GAIN, Gain, interpolated_gain


def choices_by_layer(choices: Iterable[Choice]) -> dict[int, list[Choice]]:
    """Layer -> its choices, both ascending."""
    found: dict[int, list[Choice]] = {}
    for choice in sorted(choices):
        found.setdefault(choice.layer, []).append(choice)
    return found


def interpolated_ratios(
    measured: Mapping[Choice, Gain], choices: Iterable[Choice]
) -> dict[Choice, Gain]:
    """The gains of all choices: measured ones as they are, others interpolated.

    The smallest and the largest ratio of each layer must be measured. Between them a gain rises
    with ratio ** e, where the exponent e is the same for all layers (`ratio_exponent`). Raises
    KeyError if an end was not measured.
    """
    layers = choices_by_layer(choices).values()
    exponent = ratio_exponent([(own[0], own[-1]) for own in layers if len(own) > 1], measured)
    found: dict[Choice, Gain] = {}
    for own in layers:
        low, high = own[0], own[-1]
        for choice in own:
            if choice in measured:
                found[choice] = measured[choice]
            else:
                rise = _power_increase(low.ratio, choice.ratio, exponent)
                fraction = rise / _power_increase(low.ratio, high.ratio, exponent)
                found[choice] = interpolated_gain(measured[low], measured[high], fraction)
    return found


def ratio_exponent(ends: Iterable[tuple[Choice, Choice]], measured: Mapping[Choice, Gain]) -> float:
    """The exponent, from 0 to 1, by which the decrease of the training loss grows with the ratio.

    `ends` are the smallest and the largest ratio of each layer. The decreases of all layers are
    added at both ends. An exponent of 0 stands for the logarithm; it is also the answer where the
    decrease does not grow.
    """
    listed = list(ends)
    low = sum(measured[choice].training_nats for choice, _ in listed)
    high = sum(measured[choice].training_nats for _, choice in listed)
    if not 0 < low < high:
        return 0.0
    span = sum(math.log(b.ratio / a.ratio) for a, b in listed) / len(listed)
    return min(1.0, math.log(high / low) / span)


def _power_increase(low: Fraction, ratio: Fraction, exponent: float) -> float:
    """ratio ** exponent - low ** exponent; for exponent 0, log(ratio / low)."""
    if exponent == 0:
        return math.log(ratio / low)
    return float(float(ratio) ** exponent - float(low) ** exponent)


def interpolated_depths(measured: Mapping[int, Gain], depths: Iterable[int]) -> dict[int, Gain]:
    """The gains of all bias depths: measured ones as they are, others linear between neighbours.

    Depth 0, the head alone, gains nothing. Raises ValueError for a depth below 1 or beyond the
    deepest measured one.
    """
    known = {0: NO_GAIN, **measured}
    found: dict[int, Gain] = {}
    for depth in sorted(depths):
        if depth in measured:
            found[depth] = measured[depth]
        else:
            low = max(k for k in known if k < depth)
            high = min(k for k in known if k > depth)
            fraction = (depth - low) / (high - low)
            found[depth] = interpolated_gain(known[low], known[high], fraction)
    return found


def cumulative_gains(increments: Mapping[int, float], depths: Iterable[int]) -> dict[int, float]:
    """Predicted gains of all bias depths from what some gain over the next shallower of them.

    `increments` has these differences, for the shallowest one over depth 0. They are added up;
    between them the gains are linear. The unit is that of the increments.
    """
    known = sorted(increments)
    sums = np.cumsum([0.0, *(increments[depth] for depth in known)])
    wanted = sorted(depths)
    values = np.interp(wanted, [0, *known], sums)
    return dict(zip(wanted, values.tolist(), strict=True))
