"""Cached estimates of contributions, and their rank correlation with measured ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from microtune.run.builds import code_version, digest
from microtune.search.cache import Cache
from microtune.search.contributions.ablation import ContributionAnalysis
from microtune.search.contributions.fisher import estimated_contributions
from microtune.search.problem import Choice, Contributions
from microtune.search.trials.gains import NORMAL_95
from microtune.search.trials.trial import TrialSettings, TrialSetup
from microtune.train.trainer import Progress

LEAST_PAIRS = 4
_ALMOST_1 = 1 - 1e-12


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its 95 % confidence interval.

    All three lie between -1 and 1. `pairs` is the number of pairs.
    """

    value: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}], {self.pairs} weights"


class CachedEstimate:
    """Estimated contributions of one setup and learning rate, each computed once and cached.

    Measured gains are cached beside them, so that both can be compared.
    """

    def __init__(self, setup: TrialSetup, cache: Cache, lr: float, progress: Progress) -> None:
        self._setup, self._cache, self._lr = setup, cache, lr
        self._progress = progress

    def _key(self, what: object) -> str:
        """The key of the estimate of a bias depth or choice."""
        code = code_version(("search/contributions/fisher.py",))
        return f"estimate:{digest(code, self._setup.context, repr(self._lr), repr(what))}"

    def contributions(self, depths: Sequence[int], choices: Sequence[Choice]) -> Contributions:
        """Estimated gains in nats of these bias depths and choices (`estimated_contributions`).

        Takes seconds to minutes for what is not cached. Raises what `run_trial` raises.
        """
        known = [self._cache.get(self._key(item)) for item in (*depths, *choices)]
        if any(not isinstance(value, dict) for value in known):
            found = estimated_contributions(self._setup, depths, choices, self._lr, self._progress)
            for item, nats in (*found.biases.items(), *found.weights.items()):
                self._cache.put(self._key(item), {"nats": nats})
            return found
        values = [value["nats"] for value in known if isinstance(value, dict)]
        biases, weights = values[: len(depths)], values[len(depths) :]
        return Contributions(
            dict(zip(depths, biases, strict=True)), dict(zip(choices, weights, strict=True))
        )

    def _measured_key(self, settings: TrialSettings) -> str:
        """The key of all measured gains of trials with these settings."""
        return f"measured:{digest(self._setup.context, repr(settings))}"

    def store_measured(self, analysis: ContributionAnalysis, settings: TrialSettings) -> None:
        """Cache the measured gains of an analysis, without the interpolated ones."""
        gains = {f"{c.layer}:{c.ratio}": g.nats for c, g in analysis.weights.items() if g.seeds}
        key = self._measured_key(settings)
        before = self._cache.get(key)
        self._cache.put(key, (before if isinstance(before, dict) else {}) | gains)

    def measured(self, settings: TrialSettings) -> dict[Choice, float]:
        """All cached measured gains of choices, in nats, of trials with these settings."""
        kept = self._cache.get(self._measured_key(settings))
        found: dict[Choice, float] = {}
        for name, nats in kept.items() if isinstance(kept, dict) else ():
            layer, ratio = name.split(":")
            found[Choice(int(layer), Fraction(ratio))] = nats
        return found

    def correlation(
        self, estimated: Contributions, measured: Mapping[Choice, float]
    ) -> Correlation | None:
        """Rank correlation of estimated with measured gains of choices.

        None if fewer than LEAST_PAIRS choices have both.
        """
        both = [c for c in estimated.weights if c in measured]
        if len(both) < LEAST_PAIRS:
            return None
        pairs = [(estimated.weights[c], measured[c]) for c in both]
        return rank_correlation(*(list(column) for column in zip(*pairs, strict=True)))


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> Correlation:
    """Spearman's rank correlation of two sequences of equal length.

    Tied values share their mean rank. If one sequence is constant, the correlation is 0. The 95 %
    confidence interval is that of Fisher's transformation (E. C. Fieller et al., Tests for rank
    correlation coefficients, Biometrika 1957).
    """
    from scipy.stats import rankdata

    ranks = [rankdata(values) for values in (one, other)]
    constant = any(np.ptp(r) == 0 for r in ranks)
    value = 0.0 if constant else float(np.corrcoef(ranks[0], ranks[1])[0, 1])
    centre = math.atanh(max(-_ALMOST_1, min(_ALMOST_1, value)))
    half = NORMAL_95 * math.sqrt(1.06 / max(len(one) - 3, 1))
    return Correlation(value, math.tanh(centre - half), math.tanh(centre + half), len(one))
