"""A project with its data and a back end: what the commands `train` and `measure` call."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from microtune.data import Dataset, Description, Split, open_dataset, open_images
from microtune.data.arrays import Arrays
from microtune.data.image.augment import NONE
from microtune.data.modality import Modality, read_modality
from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph
from microtune.ir.ops.head import head_of
from microtune.measure.measure import Measurement, measure
from microtune.project.learnt import Learnt, read_learnt
from microtune.project.manifest import Manifest
from microtune.project.project import read_project
from microtune.run.runners import BackEnd, HostRunner, Runner, cores, make_runner
from microtune.targets import Target
from microtune.tools.files import write_whole
from microtune.tools.names import listed
from microtune.train.outcome import Outcome
from microtune.train.seeds import SeedRuns
from microtune.train.trainer import (
    Progress,
    TrainingPlan,
    TrainingReport,
    learning_rate,
    run_training,
)
from microtune.training.tasks import target_codes

Report = TypeVar("Report")
Training = Callable[
    [Runner, Graph, TrainingPlan, Split, Split | None, Progress, Callable[[], None] | None], Report
]


@dataclass(frozen=True)
class OpenProject:
    """A project folder that was read: its plan.json, training graph and the classes' names in label
    order (empty: the project does not know them)."""

    path: Path
    plan: Manifest
    graph: Graph
    class_names: tuple[str, ...]
    modality: Modality

    @staticmethod
    def read(path: Path) -> OpenProject:
        """Raises MicrotuneError for what is no whole project."""
        plan, graph = read_project(path)
        modality = read_modality(plan.preprocessing, graph.input_tensor)
        return OpenProject(path, plan, graph, plan.class_names, modality)

    @property
    def classes(self) -> int:
        """The number of classes that the project tells apart."""
        return self.plan.classes

    @property
    def is_untaught(self) -> bool:
        """Whether its head is all zeros: before training every image gets the first class."""
        head = head_of(self.graph)
        return not any(self.graph.data[name].any() for name in (head.weight, head.bias))

    def learnt(self, path: Path | None) -> Learnt | None:
        """What a file of `train --save` or `mt_save` holds; None for no file."""
        if path is None:
            return None
        if not self.graph.updates:
            raise MicrotuneError(f"--load: {self.path} was compiled with scheme none: it learns "
                                 "nothing that could be loaded")  # fmt: skip
        learnt, scheme = read_learnt(path), self.plan.scheme
        learnt.check(
            self.plan.model.sha256, (scheme.name, scheme.sha256), self.plan.parameters,
            self.plan.gradient_offsets,
        )  # fmt: skip
        return learnt

    def require_classes(self) -> None:
        """Raise MicrotuneError unless the project is a classifier."""
        if target_codes(self.graph):
            raise MicrotuneError(
                f"{self.path} learns values, not classes (compile --outputs): in Python use "
                "Project.regression (docs/tasks.md)"
            )

    def training_data(self, data: Path) -> tuple[Dataset, ClassLabels]:
        """A data set to train on, and how its classes are numbered here.

        A head that had classes before it learns may be shown some of them only, one at least.
        Raises MicrotuneError for data that do not fit.
        """
        if not (self.plan.head.knows and self.class_names):
            dataset = open_dataset(data)
            return dataset, self.labels_of(dataset)
        dataset = open_images(data)
        if dataset.size("train") == 0:
            raise MicrotuneError(f"{data}: no training images (train/CLASS/*.jpg)")
        return dataset, self.labels_of(dataset, some=True)

    def forgotten(self, learnt: Sequence[int]) -> list[str]:
        """A line on the model's own classes that training labels lack; no line without such."""
        lacking = sorted(set(range(self.plan.head.own)) - set(learnt))
        if not (lacking and self.class_names):
            return []
        names = listed([self.class_names[label] for label in lacking])
        return [
            f"no training samples of classes that the head knows: {names}. It forgets what it is "
            "not shown: add samples of these classes (docs/tasks.md)"
        ]

    def labels_of(self, dataset: Dataset, *, some: bool = False) -> ClassLabels:
        """How the classes of a data set are numbered here: by name where the project has names.

        `some`: the data may lack classes. Raises MicrotuneError if the classes do not match.
        """
        self.require_classes()
        found, own = dataset.classes, self.class_names
        fits = len(found) == self.classes or (some and bool(own) and len(found) < self.classes)
        if not fits:
            raise MicrotuneError(
                f"{dataset.path} has {len(found)} classes, {self.path} was compiled for "
                f"{self.classes}; compile again with {self._wider(found)}"
                f"{_difference(found, own) if own else ''}"
            )
        if not own:
            return ClassLabels(tuple(found), tuple(range(len(found))))
        if not set(found) <= set(own):
            raise MicrotuneError(
                f"{dataset.path} has other classes than {self.path} was compiled for."
                f"{_difference(found, own)}\nRename the data's classes, or compile again with "
                f"--data {dataset.path}"
            )
        return ClassLabels(own, tuple(own.index(name) for name in found))

    def _wider(self, found: Sequence[str]) -> str:
        """The option of compile with which these classes fit."""
        more = len(set(found) - set(self.class_names[: self.plan.head.own]))
        known = self.plan.head.knows and self.class_names
        return f"--head extend:{more}" if known and more else f"--classes {len(found)}"


@dataclass(frozen=True)
class ClassLabels:
    """Class names in the project's label order, and the label here of each class of the data."""

    names: tuple[str, ...]
    labels: tuple[int, ...]

    def apply(self, split: Split) -> Split:
        """The split with the project's labels."""
        return replace(split, labels=np.array(self.labels, np.int32)[split.labels])


def _difference(found: Sequence[str], own: Sequence[str]) -> str:
    """Both lists, and what is in one of them only."""
    text = f"\n  data:    {listed(found)}\n  project: {listed(own)}"
    for where, names in (
        ("data", [name for name in found if name not in own]),
        ("project", [name for name in own if name not in found]),
    ):
        text += f"\n  only in the {where}: {listed(names)}" if names else ""
    return text


@dataclass(frozen=True)
class Session:
    """Everything that a training run needs; labels are the project's, `classes` their names."""

    project: Path
    graph: Graph
    back_end: BackEnd
    train_split: Split
    test_split: Split | None
    classes: tuple[str, ...]
    learnt: Learnt | None = None
    images: Description | None = None
    modality: Modality | None = None

    @staticmethod
    def open(
        project: Path, data: Path, back_end: BackEnd, progress: Progress, load: Path | None = None
    ) -> Session:
        """Read the plan, what was learnt before (`load`), and decode the images as the plan's
        preprocessing says."""
        opened = OpenProject.read(project)
        if not opened.graph.updates:
            raise MicrotuneError(f"{project} was compiled with scheme none: nothing to train")
        opened.require_classes()
        learnt = opened.learnt(load)
        dataset, labels = opened.training_data(data)

        def report(done: int, total: int) -> None:
            progress(done, total, "")

        train = dataset.load("train", opened.modality, report)
        test = dataset.load("test", opened.modality, report)
        taught, images = labels.apply(train), dataset.describe([train, test])
        images.notes.extend(opened.forgotten(taught.labels.tolist()))
        return Session(
            project, opened.graph, back_end, taught,
            labels.apply(test) if len(test.labels) else None, labels.names, learnt, images,
            opened.modality,
        )  # fmt: skip

    def resume(self, plan: TrainingPlan, *, anew: bool) -> TrainingPlan:
        """The plan behind the steps that were done when `learnt` was saved; `anew`: from its
        beginning. Raises MicrotuneError if the steps are not those of such a plan."""
        if self.learnt is None or anew:
            return plan
        if plan.rehearse:
            raise MicrotuneError(
                "--load goes on without a break, but the stored samples of --rehearse are not in "
                "the file. --anew starts a new run from what was learnt, with an empty memory"
            )
        return replace(plan, done=self.learnt.steps)

    def other_rate(self, plan: TrainingPlan) -> tuple[float, float] | None:
        """(last rate of what was learnt, rate of this plan for that step), if they differ: the run
        is then not the rest of that which was saved."""
        if self.learnt is None or plan.done == 0:
            return None
        planned = plan.epochs * len(self.train_split.labels)
        here = learning_rate(plan, plan.done - 1, planned)
        return None if here == self.learnt.learning_rate else (self.learnt.learning_rate, here)

    def train(
        self, plan: TrainingPlan, progress: Progress, save: Path | None = None, *,
        debug: bool = False, latents: bool = False,
    ) -> TrainingReport:  # fmt: skip
        """Run the plan from what was learnt, or from the compiled state; `save` gets what `mt_save`
        writes (host and qemu; on the host behind each epoch and on Ctrl-C too), `debug` checks
        accumulators, `latents` runs the frozen layers once an image (host)."""
        return self._with_classes(
            self.run(run_training, plan, progress, save, debug=debug, latents=latents)
        )

    def run(
        self, training: Training[Report], plan: TrainingPlan, progress: Progress,
        save: Path | None, *, debug: bool, latents: bool,
    ) -> Report:  # fmt: skip
        """What `train` does, with another function than `run_training`."""
        if save is not None and self.back_end == "numpy":
            raise MicrotuneError("--save needs the generated C: use --on host or --on qemu")
        self._check_augmentation(plan)
        runner = make_runner(
            self.project, self.back_end, plan.seed, debug=debug, learnt=self.learnt
        )
        train, test = self._splits(runner, progress, latents=latents)

        def keep() -> None:
            if save is not None:
                write_whole(save, runner.saved())

        on_epoch = keep if isinstance(runner, HostRunner) else None
        try:
            report = training(runner, self.graph, plan, train, test, progress, on_epoch)
        except (KeyboardInterrupt, SystemExit):
            if on_epoch is not None:
                keep()
            raise
        keep()
        return report

    def _check_augmentation(self, plan: TrainingPlan) -> None:
        """Only pictures may be flipped, moved and brightened. Raises MicrotuneError."""
        if plan.augmentation != NONE and isinstance(self.modality, Arrays):
            raise MicrotuneError("--augment changes pictures; this network takes plain arrays")

    def _with_classes(self, report: TrainingReport) -> TrainingReport:
        """The report with what happened class by class: on the test images, or, without any, on
        the training images of the last epoch, each before its step."""
        if self.test_split is not None and report.predictions is not None:
            test = self.test_split
            report.outcome = Outcome(
                self.classes, "test", test.labels, report.predictions, test.names
            )
        elif report.last_epoch is not None:
            report.outcome = Outcome(self.classes, "train", *report.last_epoch, before_steps=True)
        return report

    def _splits(
        self, runner: Runner, progress: Progress, *, latents: bool
    ) -> tuple[Split, Split | None]:
        """(train, test) as the runner takes them."""
        if not latents:
            return self.train_split, self.test_split
        if not isinstance(runner, HostRunner):
            raise MicrotuneError("--latents needs --on host")

        def report(done: int, total: int) -> None:
            progress(done, total, "frozen layers")

        test = self.test_split
        return (
            runner.use_latents(self.train_split, report),
            None if test is None else runner.use_latents(test, report),
        )

    def seed_runs(
        self, plan: TrainingPlan, seeds: Sequence[int], progress: Progress, *, latents: bool = False
    ) -> SeedRuns:
        """The plan once a seed, on all cores of the host; the bits are those of runs one by one."""
        self._check_augmentation(plan)
        runner = HostRunner(self.project, 0, threads=cores())
        train_split, test_split = self._splits(runner, progress, latents=latents)

        def train(alone: Runner, one: TrainingPlan, report: Progress) -> TrainingReport:
            return self._with_classes(
                run_training(alone, self.graph, one, train_split, test_split, report)
            )

        return SeedRuns(runner, plan, seeds, train)


def measure_project(
    project: Path, data: Path | None, images: int,
    target: str | os.PathLike[str] | Target | None, optimisation: str,
    note: Callable[[str], None],
) -> Measurement:  # fmt: skip
    """Measure a project, over `images` test images of `data` where given; `note` is told what
    there is to say of the data."""
    if data is None:
        return measure(project, target=target, optimisation=optimisation)
    dataset = open_dataset(data)
    test = dataset.load("test", OpenProject.read(project).modality, None)
    for line in dataset.describe([test]).notes:
        note(f"{data}: {line}")
    return measure(project, test.frames[:images], test.labels[:images], target, optimisation)
