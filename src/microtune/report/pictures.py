"""Pictures for people (matplotlib, no display)."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from microtune.data import Split
from microtune.errors import MicrotuneError
from microtune.ir.graph import Array
from microtune.tools.files import check_place, write_whole
from microtune.tools.names import printable
from microtune.train.outcome import Outcome

ROWS, COLUMNS = 4, 8
_RIGHT, _WRONG = "#1a7f37", "#b42318"
# Written into the picture, so that only pictures of ours are replaced.
_TITLE = "microtune confusion matrix"
_NUMBERED_CLASSES, _NAMED_CLASSES, _PICTURE_NAME = 30, 120, 28


def choose_samples(labels: Array, count: int) -> Array:
    """Positions of `count` samples, taken from the classes in turn, in the split's order."""
    queues = [np.flatnonzero(labels == c).tolist() for c in np.unique(labels)]
    chosen: list[int] = []
    while len(chosen) < count and any(queues):
        chosen += [queue.pop(0) for queue in queues if queue]
    return np.array(chosen[:count])


def save_predictions(
    path: Path, test: Split, classes: Sequence[str], before: Array, after: Array
) -> None:
    """Draw test images, each with its prediction before and after training below it."""
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


def check_confusion_place(path: Path) -> None:
    """Raise MicrotuneError unless `path` is free or has a confusion matrix drawn by this
    program."""
    if path.suffix.lower() != ".png":
        raise MicrotuneError(f"{path}: the picture of the confusion matrix is called NAME.png")
    check_place(path)
    if not path.exists():
        return
    try:
        with Image.open(path) as image:
            ours = image.info.get("Title") == _TITLE
    except (OSError, ValueError, SyntaxError):
        ours = False
    if not ours:
        raise MicrotuneError(
            f"{path} is there and is no confusion matrix of microtune's: it is not replaced. "
            "Choose another place with --confusion NAME.png"
        )


def save_confusion(path: Path, outcome: Outcome) -> None:
    """Draw the confusion matrix as a PNG.

    Each row is a true class, coloured by the share of its images that each class was predicted for.
    Raises MicrotuneError if it cannot be written or would replace another file.
    """
    from matplotlib.figure import Figure

    check_confusion_place(path)
    count, matrix = len(outcome.classes), outcome.matrix
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # The label too: a font may lack a name's characters.
    names = [f"{i}  {printable(n)[:_PICTURE_NAME]}" for i, n in enumerate(outcome.classes)]
    side = min(max(3.5, 0.42 * count if count <= _NUMBERED_CLASSES else 0.16 * count), 20.0)
    figure = Figure(figsize=(side + 2.2, side + 1.6), layout="constrained")
    axis = figure.add_subplot()
    shown = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(shown, ax=axis, label="share of the true class", fraction=0.046, pad=0.02)
    axis.set(xlabel="predicted class", ylabel="true class")
    size = 9 if count <= _NUMBERED_CLASSES else 6
    if count <= _NAMED_CLASSES:
        axis.set_xticks(range(count), names, rotation=90, fontsize=size, parse_math=False)
        axis.set_yticks(range(count), names, fontsize=size, parse_math=False)
    for truth, guess in np.argwhere(matrix) if count <= _NUMBERED_CLASSES else ():
        axis.text(
            guess, truth, str(matrix[truth, guess]), ha="center", va="center", fontsize=8,
            color="white" if shares[truth, guess] > 0.5 else "black",
        )  # fmt: skip
    axis.set_title(
        f"{100 * outcome.accuracy:.1f} % of {len(outcome.labels):,} {outcome.split} images right\n"
        f"mean of the classes {100 * outcome.balanced_accuracy:.1f} %", fontsize=10,
    )  # fmt: skip
    content = io.BytesIO()
    with warnings.catch_warnings():  # a glyph that the font lacks is drawn as a box
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(content, dpi=120, format="png", metadata={"Title": _TITLE})
    write_whole(path, content.getvalue())
