"""A compiled project: a folder of C that is trained, tried and measured from here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from microtune.api import training
from microtune.api.arguments import (
    Place,
    SplitName,
    as_path,
    choice,
    maybe_path,
    public,
    whole,
)
from microtune.api.planned import PlannedFigures, planned_figures
from microtune.api.regression import Regression
from microtune.api.reports import OnNote, OnProgress, Reporter
from microtune.api.results import LayerCounts, MemoryPlan, Outcome, Predictions, TrainingOutcome
from microtune.api.samples import read_samples
from microtune.data import Description, Split
from microtune.data.image.augment import Augmentation
from microtune.ir.graph import Array
from microtune.measure.layer_counts import count_layers
from microtune.measure.measure import Measurement
from microtune.measure.memory_map import load_memory_map
from microtune.run.runners import BackEnd
from microtune.targets import Target
from microtune.train.evaluation import evaluate_project, predict_images, project_samples
from microtune.train.linear_probe import linear_probe
from microtune.train.session import OpenProject, measure_project
from microtune.train.trainer import DEFAULT_LEARNING_RATE, EvaluateWhen, Schedule
from microtune.training.tasks import target_codes

UNTAUGHT = (
    "as compiled the head is all zeros, so that every image gets the first class: train, and give "
    "what was learnt with --load FILE"
)


@dataclass(frozen=True, repr=False)
class Project:
    """A folder that `compile` has written. `open` and `compile` make it.

    Each method reads the folder anew, so that it sees what was compiled there in the meantime;
    `path` is the folder.
    """

    path: Path

    @staticmethod
    def open(path: Place) -> Project:
        """The project in a folder; see `microtune.open`."""
        project = Project(as_path("path", path))
        project._read()
        return project

    def _read(self) -> OpenProject:
        return OpenProject.read(self.path)

    def __repr__(self) -> str:
        figures, opened = self.figures, self._read()
        names = ", ".join(opened.class_names) or "names not known"
        outputs = f"{opened.classes} classes ({names})"
        if target_codes(opened.graph):
            outputs = f"{opened.classes} values"
        return (
            f"Project({str(self.path)!r}: {figures.model}, {outputs}, "
            f"scheme {figures.scheme}, {figures.target}, input {opened.plan.input}, SRAM "
            f"{figures.planned_sram_bytes:,} of {opened.plan.budget.sram_bytes:,} bytes "
            "planned)"
        )

    @property
    def classes(self) -> int:
        """The number of classes that the project tells apart."""
        return self._read().classes

    @property
    def learns_values(self) -> bool:
        """Whether the project is a regression: compiled with `outputs`, it has no classes."""
        return target_codes(self._read().graph) > 0

    @property
    def regression(self) -> Regression:
        """How a project that was compiled with `outputs` is trained, evaluated and asked.

        Raises MicrotuneError for a classifier.
        """
        return Regression.of(self._read())

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in label order; empty where nobody has said them."""
        return self._read().class_names

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the int8 frame."""
        graph = self._read().graph
        _, height, width, channels = graph.input_tensor.shape
        return height, width, channels

    @property
    def figures(self) -> PlannedFigures:
        """What was planned: bytes beside the published formula and the lower bound, MACs."""
        opened = self._read()
        return planned_figures(opened.plan, opened.graph)

    @public
    def train(
        self,
        data: Place,
        *,
        epochs: int = 10,
        steps: int | None = None,
        lr: float = DEFAULT_LEARNING_RATE,
        lr_schedule: Schedule = "cosine",
        seed: int | None = None,
        seeds: Sequence[int] | str | None = None,
        on: BackEnd = "host",
        save: Place | None = None,
        load: Place | None = None,
        anew: bool = False,
        balance: bool = False,
        debug: bool = False,
        augment: str | Augmentation | None = None,
        rehearse: int = 0,
        latents: bool = False,
        evaluate: EvaluateWhen = "each-epoch",
        on_images: Callable[[Description], None] | None = None,
        progress: OnProgress | None = None,
        note: OnNote | None = None,
    ) -> TrainingOutcome:
        """Train the compiled network on images with the generated C.

        The options are those of `microtune train` and give the same bits.

        Args:
            data: a folder, .tar, .zip or .npz with labelled images (docs/data.md).
            epochs: passes over the training images; with `load` those of the whole run, from its
                beginning.
            steps: stop after so many steps.
            lr: learning rate per sample, 0 to 1,024.
            lr_schedule: "cosine" (to 0 at the end of all epochs) or "constant".
            seed: order of the samples and rounding, 0 to 2³² - 1; None: 0, or that of `load`.
            seeds: several runs instead, side by side on all cores; with `on="host"`.
            on: "host" (the C as a library), "qemu" (the firmware in the emulator) or "numpy"; the
                bits are the same.
            save: write what was learnt here, as mt_save does; on the host after every epoch, and
                when interrupted.
            load: go on from what `save` or a device's mt_save wrote.
            anew: with `load`: a new run from what was learnt, instead of the rest of that run.
            balance: show every class equally often.
            debug: stop where an accumulator overflows (portable kernels, the same bits).
            augment: change training frames at random: "flip,shift=4,brightness=20", any of them.
            rehearse: steps on stored samples after each new one (compiled with `replay`).
            latents: run the frozen layers once an image (the same bits, faster; on the host).
            evaluate: when the test images are evaluated: "each-epoch" or "at-the-end".
            on_images: is told what the data holds before the training begins.
            progress: is told how far the work is.
            note: is told lines that the user should know. Without it they, and the outcome's
                `warnings`, are issued as MicrotuneWarning.

        Returns:
            The outcome on the test images (without any: on the training images of the last
            epoch), with the runs that led to it.

        Raises:
            MicrotuneError: options that exclude each other, data that do not fit the project, a
                file that cannot be read or written.
        """
        return training.train(
            self.path, data, epochs=epochs, steps=steps, lr=lr, lr_schedule=lr_schedule,
            seed=seed, seeds=seeds, on=on, save=save, load=load, anew=anew, balance=balance,
            debug=debug, augment=augment, rehearse=rehearse, latents=latents, evaluate=evaluate,
            on_images=on_images, reporter=Reporter(progress, note),
        )  # fmt: skip

    @public
    def evaluate(
        self,
        data: Place,
        *,
        load: Place | None = None,
        split: SplitName = "test",
        on: BackEnd = "host",
        progress: OnProgress | None = None,
        note: OnNote | None = None,
    ) -> Outcome:
        """Run the images of a split through the network, as compiled or as learnt (`load`).

        Args:
            data: a folder, .tar, .zip or .npz with labelled images; it may lack classes of the
                project, if that knows their names.
            load: what `train(save=)` or a device's mt_save wrote.
            split: which of the images: "test", "val" or "train".
            on: where to run, as in `train`.
            progress: is told how far the work is.
            note: is told lines that the user should know, as in `train`.

        Raises:
            MicrotuneError: data or a file that do not fit the project; no such images.
        """
        reporter, learnt = Reporter(progress, note), maybe_path("load", load)
        folder = as_path("data", data)
        choice("split", split, SplitName)
        choice("on", on, BackEnd)
        if learnt is None and self._read().is_untaught:
            reporter.note(UNTAUGHT)
        with reporter.stage(f"evaluating on {on}") as update:
            found = evaluate_project(
                self.path, folder, split, on, learnt, update, reporter.note
            )  # fmt: skip
        outcome = Outcome.of(found)
        reporter.warn(outcome.warnings)
        return outcome

    @public
    def frames(self, data: Place, *, split: SplitName = "test") -> Split:
        """The images of a split as the device gets them, with their labels in the project.

        Args:
            data: a folder, .tar, .zip or .npz with labelled images.
            split: which of the images: "test", "val" or "train".

        Returns:
            `frames` int8 (N, height, width, channels), `labels` int32 (N,), `names` of the images.

        Raises:
            MicrotuneError: data that do not fit the project; no such images.
        """
        folder = as_path("data", data)
        choice("split", split, SplitName)
        return project_samples(self._read(), folder, split)[1]

    @public
    def linear_probe(self, data: Place) -> float:
        """What a linear classifier makes of the untrained network's features: the share of the
        test images, from 0 to 1, that a logistic regression on the train images gets right.

        It is trained in float64 on this machine, with as many steps as it wants. So it is what
        a head alone could learn at best, to compare a training on the device with.

        Raises:
            MicrotuneError: data that do not fit the project, or without train or test images.
        """
        return linear_probe(self._read(), as_path("data", data))

    @public
    def predict(
        self,
        images: Place | Sequence[Place] | Array,
        *,
        load: Place | None = None,
        on: BackEnd = "host",
        dump: Place | None = None,
        progress: OnProgress | None = None,
        note: OnNote | None = None,
    ) -> Predictions:
        """Say what is on each image: the class, and the probabilities of all classes.

        Args:
            images: image files, and folders of them; or int8 frames (N, height, width, channels)
                as the device gets them.
            load: what `train(save=)` or a device's mt_save wrote.
            on: where to run, as in `train`.
            dump: write the bytes that a camera driver must deliver for these images here: int8
                frames, one behind the other.
            progress: is told how far the work is.
            note: is told lines that the user should know, as in `train`.

        Raises:
            MicrotuneError: an image that cannot be read, frames of another shape or type, a file
                that does not fit the project.
        """
        reporter, opened = Reporter(progress, note), self._read()
        state = maybe_path("load", load)
        choice("on", on, BackEnd)
        learnt = opened.learnt(state)
        found = read_samples(opened, "images", images, maybe_path("dump", dump), state, reporter)
        if learnt is None and opened.is_untaught:
            reporter.note(UNTAUGHT)
        names = opened.class_names or tuple(f"class {label}" for label in range(opened.classes))
        with reporter.stage(f"predicting on {on}") as update:
            made = tuple(predict_images(opened, found, on, learnt, update))
        return Predictions(names, made, found.frames)

    @public
    def measure(
        self,
        data: Place | None = None,
        *,
        images: int = 8,
        target: str | Place | Target | None = None,
        optimisation: str = "-O3",
        note: OnNote | None = None,
    ) -> Measurement:
        """Build the firmware, run it in QEMU, and count bytes and instructions exactly.

        Args:
            data: also count over real images of its test split.
            images: how many of them.
            target: another chip than the project was compiled for.
            optimisation: the compiler's -O2, -O3, -Ofast or -Os.
            note: is told lines that the user should know, as in `train`.

        Raises:
            MicrotuneError: a tool is missing, the target has no emulator, or the firmware fails.
        """
        reporter = Reporter(None, note)
        return measure_project(
            self.path, maybe_path("data", data), whole("images", images, 1), target, optimisation,
            reporter.note,
        )  # fmt: skip

    @public
    def measure_layers(
        self, *, target: str | Place | Target | None = None, optimisation: str = "-O3"
    ) -> LayerCounts:
        """Instructions of each layer, kernel and C function: what `measure --layers` prints.

        Raises:
            MicrotuneError: as `measure`.
        """
        return LayerCounts.of(count_layers(self.path, target, optimisation))

    @public
    def plan(self) -> MemoryPlan:
        """The memory map: what lives where and when. It prints as a drawing, and `save` writes
        pictures.

        Raises:
            MicrotuneError: the folder is no whole project.
        """
        return MemoryPlan(self.path, load_memory_map(self.path))


@public
def open(path: Place) -> Project:
    """The project in a folder that `compile` has written.

    Raises:
        MicrotuneError: no project, another version's, or one of which parts were changed.
    """
    return Project.open(path)
