"""The targets of a regression: real values or codes of an npz, or the input itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from microtune.data.arrays import Arrays
from microtune.data.dataset import Dataset, OwnInput, Split
from microtune.data.frames import Progress
from microtune.data.listing import some
from microtune.data.modality import Modality
from microtune.data.samples import Sample
from microtune.data.sources import open_source
from microtune.errors import MicrotuneError

Codes = npt.NDArray[np.int8]
_SCALE = 1 / 128
NORMAL = "normal"
_SATURATED = "with target values outside of [-1, 1), which were saturated"


def encode_target(values: np.ndarray, outputs: int, name: str) -> tuple[Codes, bool]:
    """(int8 codes (outputs,) of a target, whether one was saturated).

    code = floor(128 value + 1/2); int8 stays as it is. Raises MicrotuneError that names the target,
    for another number of values, for other integers and for NaN.
    """
    if values.size != outputs:
        raise MicrotuneError(
            f"{name} has {values.size} values, the network has {outputs} outputs "
            f"(compile --outputs {values.size})"
        )
    codes, notes = Arrays((1, 1, outputs), _SCALE, 0).codes(values.reshape(-1), name)
    return codes.reshape(-1), bool(notes)


@dataclass(frozen=True)
class ValueDataset(Dataset):
    """Samples without classes. `kinds` has what the data call each sample's class, in the order of
    the samples; empty names: it has none."""

    kinds: tuple[str, ...] = ()

    @property
    def normal(self) -> frozenset[str]:
        """The classes of samples that are no anomalies; empty where that cannot be told.

        That is the class "normal"; without one, the classes that are in train, if others are not.
        """
        all_kinds = frozenset(self.kinds)
        named = frozenset(kind for kind in all_kinds if kind.lower() == NORMAL)
        if len(all_kinds) > 1 and named:
            return named
        seen = {
            kind for kind, sample in zip(self.kinds, self.source.samples, strict=True)
            if sample.split == "train"
        }  # fmt: skip
        return frozenset(seen) if seen < all_kinds else frozenset()

    def abnormal(self, split: str) -> npt.NDArray[np.bool_] | None:
        """Which samples of a split are anomalies, bool (N,); None where that cannot be told."""
        normal = self.normal
        if not normal:
            return None
        pairs = zip(self.kinds, self.source.samples, strict=True)
        return np.array([kind not in normal for kind, sample in pairs if sample.split == split])


def open_values(path: Path) -> ValueDataset:
    """Open samples for a regression. Classes, if they have any, only tell what is an anomaly.

    Raises MicrotuneError if there are none.
    """
    source = open_source(path)
    if not source.samples:
        said = f"; left out: {'; '.join(source.notes)}" if source.notes else ""
        raise MicrotuneError(f"{path}: no samples{said}")
    samples = [replace(sample, label="") for sample in source.samples]
    kinds = tuple(sample.label for sample in source.samples)
    return ValueDataset(path, replace(source, samples=samples), [""], kinds)


def load_values(
    dataset: ValueDataset, split: str, modality: Modality, outputs: int,
    on_progress: Progress | None = None,
) -> Split:  # fmt: skip
    """A split with its targets, int8 (N, outputs); labels are all 0.

    Without targets in the data, those of an auto-encoder are the codes of its input. Raises
    MicrotuneError if a sample or a target cannot be read, or there is none.
    """
    loaded = dataset.load(split, modality, on_progress)
    samples = [sample for sample in dataset.source.samples if sample.split == split]
    if all(sample.target is not None for sample in samples):
        targets, notes = _encoded(samples, outputs)
        return replace(loaded, targets=targets, notes=(*loaded.notes, *notes))
    codes = loaded.frames.reshape(len(samples), -1)
    if codes.shape[1] != outputs:
        raise MicrotuneError(
            f"{dataset.path} has no target: an .npz needs the array target, {outputs} values for "
            f"each sample (without it the project must be an auto-encoder, compiled with --outputs "
            f"{codes.shape[1]}, the elements of its input)"
        )
    return replace(loaded, targets=codes, own_input=OwnInput(dataset.abnormal(split)))


def _encoded(samples: list[Sample], outputs: int) -> tuple[Codes, list[str]]:
    targets = np.empty((len(samples), outputs), np.int8)
    saturated = []
    for row, sample in enumerate(samples):
        assert sample.target is not None
        name = f"target of sample {sample.name}"
        targets[row], odd = encode_target(sample.target, outputs, name)
        saturated += [sample.name] if odd else []
    notes = [f"{len(saturated)} sample(s) {_SATURATED}: {some(saturated)}"] if saturated else []
    return targets, notes


def describe(dataset: ValueDataset, loaded: list[Split]) -> list[str]:
    """Lines about the data: numbers of samples, where the targets are from, which samples are
    anomalies, what is odd."""
    sizes = Counter(sample.split for sample in dataset.source.samples)
    counts = ", ".join(
        f"{count} in {split}" for split, count in sorted(sizes.items(), reverse=True)
    )
    lines = [f"samples: {counts}"]
    if any(sample.target is None for sample in dataset.source.samples):
        lines.append("no target in the data: the target is the input (an auto-encoder)")
        lines += _about_anomalies(dataset)
    elif any(dataset.kinds):
        lines.append("the classes are not read: the project learns values")
    return [*lines, *dataset.describe(loaded).notes]


def _about_anomalies(dataset: ValueDataset) -> list[str]:
    """Which samples are anomalies, if the data have classes."""
    if dataset.normal:
        learnt = dataset.abnormal("train")
        count = 0 if learnt is None else int(learnt.sum())
        said = f"; {count} of them are in train, and are learnt as if they were normal"
        return [f"anomalies are samples not of {some(sorted(dataset.normal))}{said * (count > 0)}"]
    if any(dataset.kinds):
        return [
            "the classes are not read: none is called normal, and train has all of them, so that "
            "nothing says what an anomaly is"
        ]
    return []
