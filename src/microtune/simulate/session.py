"""A project with its data and a back end: what the commands `train` and `measure` call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from microtune.codegen.project import TRAINING_FILE, read_plan
from microtune.datasets import Description, Preprocessing, Split, open_dataset
from microtune.errors import MicrotuneError
from microtune.files import write_whole
from microtune.ir.graph import Graph
from microtune.ir.modelfile import load_model
from microtune.simulate.measure import Measurement, measure
from microtune.simulate.runners import BackEnd, HostRunner, Runner, cores, make_runner
from microtune.simulate.seeds import SeedRuns
from microtune.simulate.trainer import Progress, TrainingPlan, TrainingReport, run_training


@dataclass(frozen=True)
class Session:
    """Everything that a training run needs."""

    project: Path
    graph: Graph
    back_end: BackEnd
    train_split: Split
    test_split: Split | None
    images: Description | None = None

    @staticmethod
    def open(project: Path, data: Path, back_end: BackEnd, progress: Progress) -> Session:
        """Read the plan and decode the images as the plan's preprocessing says."""
        plan = read_plan(project)
        graph = load_model(project / TRAINING_FILE).graph
        if not graph.updates:
            raise MicrotuneError(f"{project} was compiled with scheme none: nothing to train")
        preprocessing = Preprocessing.from_json(plan["preprocessing"])
        dataset = open_dataset(data)
        if len(dataset.classes) != int(plan["classes"]):
            raise MicrotuneError(
                f"{data} has {len(dataset.classes)} classes, {project} was compiled for "
                f"{plan['classes']}; compile again with --classes {len(dataset.classes)}"
            )

        def report(done: int, total: int) -> None:
            progress(done, total, "")

        train = dataset.load("train", preprocessing, report)
        test = dataset.load("test", preprocessing, report)
        images = dataset.describe([train, test])
        return Session(project, graph, back_end, train, test if len(test.labels) else None, images)

    def train(
        self, plan: TrainingPlan, progress: Progress, save: Path | None = None, *,
        debug: bool = False, latents: bool = False,
    ) -> TrainingReport:  # fmt: skip
        """Run the plan; `save` gets what `mt_save` writes (host and qemu), `debug` checks
        accumulators, `latents` runs the frozen layers once an image (host)."""
        if save is not None and self.back_end == "numpy":
            raise MicrotuneError("--save needs the generated C: use --on host or --on qemu")
        runner = make_runner(self.project, self.back_end, plan.seed, debug=debug)
        train, test = self._splits(runner, progress, latents=latents)
        report = run_training(runner, self.graph, plan, train, test, progress)
        if save is not None:
            write_whole(save, runner.saved())
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
        runner = HostRunner(self.project, 0, threads=cores())
        train_split, test_split = self._splits(runner, progress, latents=latents)

        def train(alone: Runner, one: TrainingPlan, report: Progress) -> TrainingReport:
            return run_training(alone, self.graph, one, train_split, test_split, report)

        return SeedRuns(runner, plan, seeds, train)


def measure_project(
    project: Path, data: Path | None, images: int, target: str | None, optimisation: str
) -> Measurement:
    """Measure a project, over `images` test images of `data` where given."""
    if data is None:
        return measure(project, target=target, optimisation=optimisation)
    preprocessing = Preprocessing.from_json(read_plan(project)["preprocessing"])
    test = open_dataset(data).load("test", preprocessing, None)
    return measure(project, test.frames[:images], test.labels[:images], target, optimisation)
