"""Gains between measured ones: of bias depths linearly, of ratios by a power law."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

import numpy as np

from microtune.search.problem import Choice
from microtune.search.trials.gains import NO_GAIN, Gain, between


def by_layer(choices: Iterable[Choice]) -> dict[int, list[Choice]]:
    """The choices of each layer, ascending."""
    found: dict[int, list[Choice]] = {}
    for choice in sorted(choices):
        found.setdefault(choice.layer, []).append(choice)
    return found


def interpolated_ratios(
    measured: Mapping[Choice, Gain], choices: Iterable[Choice]
) -> dict[Choice, Gain]:
    """Gains of all choices, those between measured ends of a layer by one power law of the ratio
    for all layers."""
    layers = by_layer(choices).values()
    exponent = growth([(of[0], of[-1]) for of in layers if len(of) > 1], measured)
    found: dict[Choice, Gain] = {}
    for of in layers:
        low, high = of[0], of[-1]
        for choice in of:
            if choice in measured:
                found[choice] = measured[choice]
            else:
                part = _risen(low.ratio, choice.ratio, exponent) / _risen(
                    low.ratio, high.ratio, exponent
                )
                found[choice] = between(measured[low], measured[high], part)
    return found


def growth(ends: Iterable[tuple[Choice, Choice]], measured: Mapping[Choice, Gain]) -> float:
    """The exponent, from 0 to 1, by which what is learnt grows with the ratio from the lower to the
    higher ends of all layers together; 0, as the logarithm does, where it does not grow."""
    listed = list(ends)
    low = sum(measured[choice].learnt for choice, _ in listed)
    high = sum(measured[choice].learnt for _, choice in listed)
    if not 0 < low < high:
        return 0.0
    span = sum(math.log(b.ratio / a.ratio) for a, b in listed) / len(listed)
    return min(1.0, math.log(high / low) / span)


def _risen(low: Fraction, ratio: Fraction, exponent: float) -> float:
    """By how much ratio ** exponent is more than at the lower end."""
    if exponent == 0:
        return math.log(ratio / low)
    return float(float(ratio) ** exponent - float(low) ** exponent)


def interpolated_depths(measured: Mapping[int, Gain], depths: Iterable[int]) -> dict[int, Gain]:
    """Gains of all depths, linear between those that were measured (depth 0 gains nothing)."""
    known = {0: NO_GAIN, **measured}
    found: dict[int, Gain] = {}
    for depth in sorted(depths):
        if depth in measured:
            found[depth] = measured[depth]
        else:
            low = max(k for k in known if k < depth)
            high = min(k for k in known if k > depth)
            found[depth] = between(known[low], known[high], (depth - low) / (high - low))
    return found


def summed_depths(steps: Mapping[int, float], depths: Iterable[int]) -> dict[int, float]:
    """What all depths are worth if each of some is worth so much more than the one before it (the
    first: than depth 0); linear between them."""
    known = sorted(steps)
    sums = np.cumsum([0.0, *(steps[depth] for depth in known)])
    wanted = sorted(depths)
    values = np.interp(wanted, [0, *known], sums)
    return dict(zip(wanted, values.tolist(), strict=True))
