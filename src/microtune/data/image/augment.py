"""Augmentation of frames as the device does it (runtime/core/mt_augment.c)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array
from microtune.ir.numerics import random_key, random_word
from microtune.runtime.facts import SITE_AUGMENT

_MOST = 127


@dataclass(frozen=True)
class Augmentation:
    """The limits of random changes: mirroring (0 or 1), shift in rows, brightness in codes."""

    flip: int = 0
    shift: int = 0
    brightness: int = 0


NONE = Augmentation()


@dataclass(frozen=True)
class Change:
    """The random changes of one frame."""

    flip: int
    shift: int
    brightness: int


def parse_augmentation(text: str) -> Augmentation:
    """The limits in a text such as "flip,shift=4,brightness=20". Raises MicrotuneError."""
    found: dict[str, int] = {}
    for part in text.split(","):
        match = re.fullmatch(r"(flip)|(?:(shift|brightness)=(\d+))", part.strip())
        value = int(match[3]) if match and match[2] else 1
        if match is None or value > _MOST:
            raise MicrotuneError(
                f"--augment '{part}': write for instance flip,shift=4,brightness=20 "
                f"(rows and codes up to {_MOST})"
            )
        found[match[1] or match[2]] = value
    return Augmentation(**found)


def draw_change(most: Augmentation, seed: int, step: int) -> Change:
    """The change for the training step that `step` others came before, from random words."""
    words = random_word(random_key(seed, step, SITE_AUGMENT), np.arange(3))
    flip = most.flip & (int(words[0]) >> 31)
    shift, brightness = (
        (int(word) * (2 * limit + 1) >> 32) - limit
        for word, limit in zip(words[1:], (most.shift, most.brightness), strict=True)
    )
    return Change(flip, shift, brightness)


def change_frame(frame: Array, change: Change) -> Array:
    """A changed copy of a frame, int8 (rows, ..., channels).

    Border rows are repeated, codes saturate.
    """
    rows = np.clip(np.arange(len(frame)) + change.shift, 0, len(frame) - 1)
    moved = frame[rows]
    mirrored = moved[:, ::-1] if change.flip and frame.ndim > 2 else moved
    brighter = np.clip(mirrored.astype(np.int16) + change.brightness, -128, 127)
    result: Array = brighter.astype(np.int8)
    return result
