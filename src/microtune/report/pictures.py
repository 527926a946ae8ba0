"""Pictures for people (matplotlib, no display)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from microtune.datasets import Split
from microtune.ir.graph import Array

ROWS, COLUMNS = 4, 8
_RIGHT, _WRONG = "#1a7f37", "#b42318"


def choose_samples(labels: Array, count: int) -> Array:
    """Positions of `count` samples, the classes in turn, in the split's own order."""
    queues = [np.flatnonzero(labels == c).tolist() for c in np.unique(labels)]
    chosen: list[int] = []
    while len(chosen) < count and any(queues):
        chosen += [queue.pop(0) for queue in queues if queue]
    return np.array(chosen[:count])


def save_predictions(
    path: Path, test: Split, classes: Sequence[str], before: Array, after: Array
) -> None:
    """A grid of test images with the prediction before and after training under each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    chosen = choose_samples(test.labels, ROWS * COLUMNS)
    figure, axes = pyplot.subplots(ROWS, COLUMNS, figsize=(12, 7.6), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, index in zip(axes.flat, chosen, strict=False):
        pixels = test.frames[index].astype(np.int16) + 128
        axis.imshow(pixels.squeeze().astype(np.uint8), cmap="gray", vmin=0, vmax=255)
        truth = int(test.labels[index])
        axis.set_title(classes[truth], fontsize=9)
        for row, (word, guess) in enumerate((("before", before), ("after", after))):
            predicted = int(guess[index])
            axis.text(
                0.5, -0.08 - 0.15 * row, f"{word}: {classes[predicted]}", fontsize=8,
                ha="center", va="top", transform=axis.transAxes,
                color=_RIGHT if predicted == truth else _WRONG,
            )  # fmt: skip
    accuracy = [100 * float(np.mean(guess == test.labels)) for guess in (before, after)]
    figure.suptitle(
        f"Predictions before and after training on the device: {accuracy[0]:.1f} % and "
        f"{accuracy[1]:.1f} % of {len(test.labels)} test images",
        fontsize=12,
    )
    figure.subplots_adjust(hspace=0.75, wspace=0.25, top=0.89, bottom=0.08, left=0.02, right=0.98)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
