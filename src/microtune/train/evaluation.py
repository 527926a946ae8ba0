"""Evaluate a project, and predict single images, without training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from microtune.data import Split, open_dataset, open_images
from microtune.data.arrays import Arrays
from microtune.data.folder import FolderTree
from microtune.data.listing import LeftOut, pictures_below
from microtune.errors import MicrotuneError
from microtune.ir.graph import Array
from microtune.project.learnt import Learnt
from microtune.run.canonical import real_outputs
from microtune.run.job import Call, Record
from microtune.run.runners import BackEnd, Runner, make_runner
from microtune.tools.names import natural, printable
from microtune.train.outcome import Outcome
from microtune.train.session import ClassLabels, OpenProject
from microtune.train.trainer import Progress, evaluate_accuracy
from microtune.training.tasks import task_of


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    The predicted class by its label, and the softmax of the logits, float64 (classes,), computed on
    this machine for people to read.
    """

    image: str
    label: int
    probabilities: npt.NDArray[np.float64]

    def best(self, count: int) -> list[int]:
        """The labels of the `count` largest probabilities, the predicted class first."""
        order = np.argsort(-self.probabilities, kind="stable").tolist()
        return [self.label, *(label for label in order if label != self.label)][:count]


def project_samples(
    opened: OpenProject, data: Path, split: str, progress: Progress = lambda *_: None,
    note: Callable[[str], None] = lambda _: None,
) -> tuple[ClassLabels, Split]:  # fmt: skip
    """How a project numbers the classes of a data set, and its samples of a split so numbered.

    `note` is told what there is to say of the data, which may lack classes of the project if that
    knows their names. Raises MicrotuneError for data that cannot be used, or without such samples.
    """
    opened.require_classes()
    dataset = open_images(data) if opened.class_names else open_dataset(data)
    labels = opened.labels_of(dataset, some=True)
    found = dataset.load(split, opened.modality, lambda done, total: progress(done, total, ""))
    for line in dataset.describe([found]).notes:
        note(f"{data}: {line}")
    if len(found.labels) == 0:
        raise MicrotuneError(f"{data} has no {split} images")
    return labels, labels.apply(found)


def evaluate_project(
    project: Path, data: Path, split: str, on: BackEnd, load: Path | None, progress: Progress,
    note: Callable[[str], None],
) -> Outcome:  # fmt: skip
    """Evaluate a project on a split, as compiled or with the trained state `load`; `note` is told
    what there is to say of the data.

    The data may lack classes of the project if the project knows their names. Raises MicrotuneError
    for a project, state or data that cannot be used.
    """
    opened = OpenProject.read(project)
    learnt = opened.learnt(load)
    labels, images = project_samples(opened, data, split, progress, note)
    runner = _runner(opened, on, progress, learnt)
    _, predictions = evaluate_accuracy(runner, images, None if on == "qemu" else progress)
    return Outcome(labels.names, split, images.labels, predictions, images.names)


@dataclass(frozen=True)
class Images:
    """Decoded pictures, in the order in which they were named; those of a folder in natural order.

    `frames` are int8 (N, height, width, channels), as the device gets them. `notes` has lines about
    files that were left out and odd pictures.
    """

    names: list[str]
    frames: Array
    notes: list[str]


def read_images(opened: OpenProject, places: Sequence[Path]) -> Images:
    """Decode image files, and all pictures in folders and their sub-folders, as training does.

    Raises MicrotuneError if one is missing, unreadable or no picture, and for a folder without
    pictures.
    """
    names: list[str] = []
    frames: list[Array] = []
    notes: list[str] = []
    for place in places:
        found: list[tuple[str, Callable[[], bytes]]]
        found = [(str(place), partial(_content, place))]
        if place.is_dir():
            if isinstance(opened.modality, Arrays):
                raise MicrotuneError(f"{place}: a folder; this network takes single .npy files")
            left_out = LeftOut()
            files = sorted(
                pictures_below(FolderTree(place), (), left_out), key=lambda f: natural(f.name)
            )
            found = [(f"{place}/{file.name}", file.content) for file in files]
            notes += [f"{printable(str(place))}: left out: {note}" for note in left_out.notes()]
            if not found:
                said = "; ".join(left_out.notes())
                raise MicrotuneError(f"{place}: no images in this folder{said and f' ({said})'}")
        for name, content in found:
            frame, odd = opened.modality.decode_noted(content(), printable(name))
            names.append(name)
            frames.append(frame)
            notes += [f"{printable(name)}: {note}" for note in odd]
    return Images(names, np.stack(frames), notes)


def frames_as_images(opened: OpenProject, frames: Array) -> Images:
    """Frames that are decoded already, int8 (N, height, width, channels). Raises MicrotuneError
    for another shape or type."""
    shape = opened.graph.input_tensor.shape[1:]
    if frames.dtype != np.int8 or frames.shape[1:] != shape or len(frames) == 0:
        raise MicrotuneError(
            f"frames are {frames.dtype} {list(frames.shape)}; the network takes int8 "
            f"[N, {', '.join(map(str, shape))}]: 8-bit values minus 128"
        )
    return Images([f"frame {number}" for number in range(len(frames))], frames, [])


def _content(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        where = printable(str(image))
        raise MicrotuneError(f"cannot read {where}: {error.strerror or error}") from error


def predict_images(
    opened: OpenProject, images: Images, on: BackEnd, learnt: Learnt | None, progress: Progress
) -> Iterator[Prediction]:
    """The predictions for all images, as compiled or with a trained state. Raises
    MicrotuneError."""
    runner = _runner(opened, on, progress, learnt)
    records = (Record(Call.INFER, frame) for frame in images.frames)
    for done, (image, result) in enumerate(zip(images.names, runner.run(records), strict=True)):
        if on != "qemu":
            progress(done + 1, len(images.names), "")
        logits = task_of(opened.graph).class_logits(real_outputs(opened.graph, result.logits))
        yield Prediction(image, result.predicted, softmax(logits))


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The probabilities of logits (classes,), float64 (classes,), with sum 1."""
    powers = np.exp(logits - logits.max())
    shares: npt.NDArray[np.float64] = powers / powers.sum()
    return shares


def _runner(opened: OpenProject, on: BackEnd, progress: Progress, learnt: Learnt | None) -> Runner:
    opened.require_classes()
    return make_runner(
        opened.path, on, 0, lambda done, total: progress(done, total, ""), learnt=learnt
    )
