"""The replay memory in Python, as runtime/core/mt_replay.c has it: which samples are stored and
replayed."""

from __future__ import annotations

import numpy as np

from microtune.ir.graph import Array
from microtune.ir.numerics import random_key, random_word
from microtune.runtime.facts import SITE_KEEP, SITE_REHEARSE


class ReplayMemory:
    """Stored samples (of any type) with labels.

    `step` is always the number of training steps before the call.
    """

    def __init__(self, slots: int, seed: int) -> None:
        self.slots, self.seed, self.seen = slots, seed, 0
        self.samples: list[tuple[Array, int]] = []
        self._last: int | None = None

    def keep(self, sample: Array, label: int, step: int) -> None:
        """Offer a sample. By reservoir sampling all samples so far are equally likely to be
        stored."""
        slot = len(self.samples)
        if slot < self.slots:
            self.samples.append((sample, label))
        else:
            slot = self._draw(step, SITE_KEEP, self.seen + 1)
            if slot < self.slots:
                self.samples[slot] = (sample, label)
        self._last = slot if slot < self.slots else None
        self.seen += 1

    def rehearsed(self, step: int) -> tuple[Array, int]:
        """A random stored sample with its label, not the last one stored if there are others."""
        others = self._last is not None and len(self.samples) > 1
        slot = self._draw(step, SITE_REHEARSE, len(self.samples) - others)
        if self._last is not None and others and slot >= self._last:
            slot += 1
        return self.samples[slot]

    def _draw(self, step: int, site: int, bound: int) -> int:
        word = random_word(random_key(self.seed, step, site), np.zeros(1, np.int64))[0]
        return int(word) * bound >> 32
