"""What the methods of a project return."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.table import Table

from microtune.api.arguments import Place, as_path, public
from microtune.data import Description
from microtune.ir.graph import Array
from microtune.measure import inspection, layer_counts
from microtune.measure.memory_map import MemoryMap
from microtune.report.inspect_text import render
from microtune.report.instructions_text import layer_tables
from microtune.report.memory_picture import save_memory_picture
from microtune.report.memory_text import render_memory
from microtune.report.outcome_text import (
    divergence_warnings,
    outcome_tables,
    predictions_table,
    unseen_notes,
    unseen_warnings,
)
from microtune.report.pictures import save_confusion
from microtune.report.text import COLUMNS, as_text
from microtune.train import outcome as plain
from microtune.train.evaluation import Prediction
from microtune.train.trainer import Epoch, TrainingReport, seeds_json

_SHOWN = 20


@dataclass(frozen=True, repr=False)
class Outcome(plain.Outcome):
    """What a classifier got right, class by class. Accuracies are shares from 0 to 1.

    `matrix` is the confusion matrix, int64 (classes, classes): rows are true classes, columns
    predicted ones, in label order.
    """

    @classmethod
    def of(cls, found: plain.Outcome, **more: Any) -> Self:  # noqa: ANN401
        """With what the methods here need."""
        return cls(**{f.name: getattr(found, f.name) for f in fields(plain.Outcome)}, **more)

    def __repr__(self) -> str:
        console = Console(file=io.StringIO(), width=COLUMNS)
        head = f"{type(self).__name__}: {100 * self.accuracy:.1f} % right{self._more()}"
        return as_text(head, *outcome_tables(self, console))

    def _more(self) -> str:
        return ""

    @property
    def warnings(self) -> list[str]:
        """What the user should know of this outcome, a line each."""
        return [line.removeprefix("warning: ") for line in unseen_notes(self)]

    @public
    def save_confusion(self, path: Place) -> Path:
        """Draw the confusion matrix as NAME.png, whole or not at all. Raises MicrotuneError if it
        cannot be written, or another file is there."""
        place = as_path("path", path)
        save_confusion(place, self)
        return place


@dataclass(frozen=True, repr=False)
class TrainingOutcome(Outcome):
    """The outcome of a training, with its runs: one, or one for each of the `seeds`, whose test
    images are counted together. `trained` counts the training images of each class, `data` says
    what else the data holds. The hashes are those of the first run."""

    runs: tuple[TrainingReport, ...] = ()
    trained: tuple[int, ...] = ()
    data: Description | None = None
    several: bool = False

    def _more(self) -> str:
        last = self.runs[0].epochs[-1]
        runs = f", {len(self.runs)} seeds" if self.several else ""
        return (
            f" after {self.steps:,} steps{runs}, loss {last.train_loss:.3f} in the last epoch, "
            f"parameters sha256 {self.parameters_sha256[:12]}"
        )

    @property
    def epochs(self) -> list[Epoch]:
        """Loss (in nats) and accuracies, epoch by epoch, of the first run."""
        return self.runs[0].epochs

    @property
    def steps(self) -> int:
        """Training steps of the first run, with those before it."""
        return self.runs[0].steps

    @property
    def parameters_sha256(self) -> str:
        """Canonical hash of the trained parameters: equal on every back end."""
        return self.runs[0].parameters_sha256

    @property
    def logits_sha256(self) -> str:
        """Canonical hash of the logits of all training steps: equal on every back end."""
        return self.runs[0].logits_sha256

    @property
    def diverged(self) -> bool:
        """Whether a run ended with a mean loss above that of guessing, ln(classes)."""
        return any(run.diverged for run in self.runs)

    @property
    def warnings(self) -> list[str]:
        """Classes that are never predicted with what helps, and runs that diverged."""
        lines = [*unseen_warnings(self.runs, self.trained), *divergence_warnings(self.runs)]
        return [line.removeprefix("warning: ") for line in lines]

    def to_json(self, *, predictions: bool = False) -> dict[str, Any]:
        """The fields of `train --json`; `predictions`: image by image too."""
        if self.several:
            return seeds_json(self.runs, predictions=predictions)
        return self.runs[0].to_json(predictions=predictions)


@dataclass(frozen=True, repr=False)
class Inspection(inspection.Inspection):
    """What is in a model. Shapes are NHWC, `macs` are those of one inference, and the peak of
    activations is without in-place and streaming schedules. `schemes` has the names that
    `compile` knows for this model. `plans` say what training `plan_classes` new classes would
    take."""

    @classmethod
    def of(cls, found: inspection.Inspection) -> Inspection:
        """The same counts, with what a notebook shows."""
        return cls(**{f.name: getattr(found, f.name) for f in fields(found)})

    def __repr__(self) -> str:
        return as_text(render(self))


@dataclass(frozen=True, repr=False)
class LayerCounts(layer_counts.LayerCounts):
    """Instructions of every layer of a firmware, by phase: "infer" and, if it learns, "train"."""

    @classmethod
    def of(cls, found: layer_counts.LayerCounts) -> LayerCounts:
        """The same counts, with what a notebook shows."""
        return cls(found.build, found.phases)

    def __repr__(self) -> str:
        return as_text(*self.tables())

    def tables(self) -> list[Table]:
        """The tables of `measure --layers`."""
        return layer_tables(self)


@dataclass(frozen=True, repr=False)
class Predictions(Sequence[Prediction]):
    """What the network makes of images, in their order. `classes` are the names in label order,
    `frames` the images as the device got them, int8 (N, height, width, channels)."""

    classes: tuple[str, ...]
    images: tuple[Prediction, ...]
    frames: Array = field(compare=False)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        return self.images[index]

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.images)

    @property
    def labels(self) -> list[int]:
        """The class of each image, as its label."""
        return [one.label for one in self.images]

    @property
    def names(self) -> list[str]:
        """The class of each image, as its name."""
        return [self.classes[one.label] for one in self.images]

    def __repr__(self) -> str:
        more = len(self.images) - _SHOWN
        table = predictions_table(self.images[:_SHOWN], self.classes, 3)
        return as_text(table, *([f"and {more} more"] if more > 0 else []))

    def to_json(self) -> dict[str, Any]:
        """The fields of `predict --json`: `classes` in label order, and for each image all
        probabilities."""
        return {
            "classes": list(self.classes),
            "images": [
                {
                    "image": one.image, "label": one.label, "predicted": self.classes[one.label],
                    "probabilities": dict(
                        zip(self.classes, one.probabilities.tolist(), strict=True)
                    ),
                }
                for one in self.images
            ],
        }  # fmt: skip


@dataclass(frozen=True, repr=False)
class MemoryPlan:
    """The memory map of the project in `project`. `map` has it as data: banks with their blocks,
    bytes of all SRAM, the steps of the graph."""

    project: Path
    map: MemoryMap

    def __repr__(self) -> str:
        return self.text()

    def text(self, *, width: int = COLUMNS) -> str:
        """The map drawn with characters, `width` columns wide."""
        return as_text(render_memory(self.map, colour=False, width=width), columns=width)

    @public
    def save(self, *pictures: Place) -> list[Path]:
        """Write the map as pictures, NAME.svg or NAME.png; without names as memory.svg and
        memory.png of the project. Raises MicrotuneError where that is not possible."""
        named = [as_path("pictures", picture) for picture in pictures]
        paths = named or [self.project / "memory.svg", self.project / "memory.png"]
        save_memory_picture(self.map, paths)
        return paths
