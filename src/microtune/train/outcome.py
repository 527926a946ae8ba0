"""Accuracies of a classifier class by class, and its confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.ir.graph import Array


@dataclass(frozen=True)
class Confusion:
    """A frequent error: so many images of the class `truth` were called `predicted`."""

    truth: int
    predicted: int
    images: int


@dataclass(frozen=True)
class Outcome:
    """Labels and predictions of the images of a split, int (N,) each.

    `classes` are the names in label order, `split` says which images these are, `images` are their
    names (empty: not known). `before_steps` says that each image was classified before a training
    step on it. A class without images has no accuracy (None).
    """

    classes: tuple[str, ...]
    split: str
    labels: Array
    predictions: Array
    images: Sequence[str] = field(default=(), repr=False)
    before_steps: bool = False

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """Confusion matrix: images by true class (rows) and predicted class (columns)."""
        count = len(self.classes)
        pairs = self.labels.astype(np.int64) * count + self.predictions
        return np.bincount(pairs, minlength=count * count).reshape(count, count)

    @property
    def accuracy(self) -> float:
        """The fraction of all images that are classified correctly."""
        return float(np.mean(self.labels == self.predictions))

    @property
    def by_class(self) -> list[float | None]:
        """For each class, the fraction of its images that are classified correctly."""
        matrix = self.matrix
        totals = matrix.sum(axis=1).tolist()
        right = matrix.diagonal().tolist()
        return [r / n if n else None for r, n in zip(right, totals, strict=True)]

    @property
    def images_by_class(self) -> list[int]:
        """The number of images of each class, in label order."""
        counts: list[int] = self.matrix.sum(axis=1).tolist()
        return counts

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the accuracies of the classes that have images."""
        return float(np.mean([value for value in self.by_class if value is not None]))

    @property
    def never_predicted(self) -> list[str]:
        """Classes with images that are predicted for no image at all."""
        counts, guesses = self.images_by_class, self.matrix.sum(axis=0)
        return [n for n, c, g in zip(self.classes, counts, guesses, strict=True) if c and not g]

    def worst_pairs(self, count: int) -> list[Confusion]:
        """The most frequent confusions; among equal ones the lower label comes first."""
        matrix = self.matrix
        np.fill_diagonal(matrix, 0)
        order = np.argsort(-matrix.reshape(-1), kind="stable")[:count]
        pairs = [divmod(int(place), len(self.classes)) for place in order]
        return [Confusion(t, p, int(matrix[t, p])) for t, p in pairs if matrix[t, p]]

    def to_json(self, *, predictions: bool = False) -> dict[str, Any]:
        """The fields of `--json` for these predictions.

        `classes` are in label order, as the rows (true) and columns (predicted) of the matrix are.
        On request it has the prediction of every image.
        """
        rows = zip(self.classes, self.images_by_class, self.by_class, strict=True)
        content = {
            "classes": list(self.classes), "split": self.split, "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "per_class": {name: {"images": n, "accuracy": share} for name, n, share in rows},
            "confusion_matrix": self.matrix.tolist(), "never_predicted": self.never_predicted,
        }  # fmt: skip
        return content | ({"predictions": self._by_image()} if predictions and self.images else {})

    def _by_image(self) -> list[dict[str, str]]:
        return [
            {"image": name, "true": self.classes[truth], "predicted": self.classes[guess]}
            for name, truth, guess in zip(self.images, self.labels, self.predictions, strict=True)
        ]


def pooled(outcomes: Sequence[Outcome]) -> Outcome | None:
    """Several runs over the same classes as one: every image counts once for each run.

    None for an empty list.
    """
    if not outcomes:
        return None
    first = outcomes[0]
    labels = np.concatenate([one.labels for one in outcomes])
    predictions = np.concatenate([one.predictions for one in outcomes])
    return Outcome(first.classes, first.split, labels, predictions, (), first.before_steps)
