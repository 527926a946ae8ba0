"""A labelled sample, and the file or array that holds it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from microtune.data.arrays import Arrays, Codes, Frame, array_sha256
from microtune.data.modality import Modality
from microtune.errors import MicrotuneError


class Content(Protocol):
    """The bytes of a sample, wherever they are stored."""

    @property
    def sha256(self) -> str:
        """A hash that is equal for equal samples, wherever they are stored."""

    def frame(self, modality: Modality) -> Frame:
        """The network's input: (int8 (H, W, C), notes).

        Raises MicrotuneError that names the sample, also if the network takes another kind of data.
        """


@dataclass(frozen=True)
class Values:
    """A sample of numbers, an array of any shape and type."""

    values: np.ndarray
    name: str

    @cached_property
    def sha256(self) -> str:
        """A hash of the array's shape, type and values."""
        return array_sha256("values", self.values)

    def frame(self, modality: Modality) -> Frame:
        """The network's input: (int8 (H, W, C), notes); real values are quantised.

        Raises MicrotuneError if the network takes pictures.
        """
        if not isinstance(modality, Arrays):
            raise MicrotuneError(f"{self.name}: an array of numbers; the network takes pictures")
        return modality.codes(self.values, self.name)


@dataclass(frozen=True)
class Sample:
    """One sample; `name` is its path within the data set.

    `label` is the name of its class; empty: not known. `target` has the values that a regression
    should answer, as they are stored; None: not known.
    """

    split: str
    label: str
    name: str
    content: Content
    target: np.ndarray | None = field(default=None, compare=False)

    def read(self, modality: Modality) -> Codes:
        """The network's input, int8 (H, W, C). Raises MicrotuneError naming the sample."""
        return self.content.frame(modality)[0]


@dataclass(frozen=True)
class Source:
    """What a data set's listing says.

    All samples; the class names in label order (None: the natural order of those in train; empty:
    the samples have no classes); a hash of all content; lines about what was left out or is odd.
    """

    samples: list[Sample]
    classes: list[str] | None
    sha256: str
    notes: list[str] = field(default_factory=list)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
