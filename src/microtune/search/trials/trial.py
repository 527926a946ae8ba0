"""One training run of a search: the generated C on this machine, device arithmetic, batch 1."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from microtune import pipeline
from microtune.data import Split, open_dataset
from microtune.data.dataset import UnlabelledError
from microtune.data.modality import read_modality
from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph
from microtune.ir.modelfile import ModelFile
from microtune.ir.numerics import NUMERICS_VERSION
from microtune.run.builds import (
    DECIDING_ROOMS,
    FLAGS,
    UNLIMITED,
    code_version,
    compiled,
    digest,
    frames_sha256,
    host_runner,
    kept_latents,
)
from microtune.run.job import Call, Record
from microtune.run.runners import HostRunner
from microtune.search.cache import Value
from microtune.search.problem import Selection
from microtune.targets import load_target
from microtune.train.trainer import TrainingPlan, TrainingReport, run_training
from microtune.training.build import Formats
from microtune.training.scheme import Scheme, scheme_from_table

EvaluationSplit = Literal["val", "test"]
# What decides a trial besides what decides any training on this machine.
_OWN_ROOMS = ("search/trials/trial.py", "search/problem.py")

MAX_TEMPERATURE = 32.0


@dataclass(frozen=True)
class Trial:
    """One training run: what is trained, and how.

    `lr` is the learning rate per sample at the start of a cosine schedule over `epochs`. `seed`
    decides the order of images and the stochastic rounding of gradients.
    """

    selection: Selection
    lr: float
    seed: int
    epochs: int

    def __str__(self) -> str:
        return f"{describe(self.selection)}, seed {self.seed}"


@dataclass(frozen=True)
class TrialSettings:
    """How every scheme is trained: learning rate per sample, epochs, and at most so many seeds."""

    lr: float
    epochs: int
    seeds: int

    def trials(self, selection: Selection, seeds: int | None = None) -> list[Trial]:
        """The trials of a selection by its first `seeds` seeds, or by all of them."""
        count = self.seeds if seeds is None else seeds
        return [Trial(selection, self.lr, seed, self.epochs) for seed in range(count)]


def describe(selection: Selection) -> str:
    """A selection in words: `biases of 20, 24:1/4 27:1/2` (layer:ratio)."""
    parts = [f"{choice.layer}:{choice.ratio}" for choice in selection.choices]
    return " ".join([f"biases of {selection.bias_layers}" + ("," if parts else ""), *parts])


@dataclass(frozen=True)
class TrialResult:
    """What a trial's network predicts for the N evaluation images after its last epoch.

    `log_loss` is float64 (N,), in nats, of the logits divided by `temperature`. `predicted` has the
    predicted classes, int64 (N,). `train_loss` is the mean training loss of the last epoch, in
    nats, each image before its update. `parameters_sha256` is the hash of all trained parameters.
    `seconds` is the wall-clock time of the training.
    """

    log_loss: Array
    temperature: float
    predicted: Array
    train_loss: float
    parameters_sha256: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The result as the cache stores it; `from_json` restores floats with the same bits."""
        arrays = {"log_loss": self.log_loss.tolist(), "predicted": self.predicted.tolist()}
        return vars(self) | arrays

    @staticmethod
    def from_json(content: Value) -> TrialResult:
        """The result that `to_json` wrote. Raises MicrotuneError if the content is none."""
        try:
            if isinstance(content, int):
                raise TypeError("a number")
            losses = np.array(content["log_loss"], np.float64)
            predicted = np.array(content["predicted"], np.int64)
            rest = content | {"log_loss": losses, "predicted": predicted}
            return TrialResult(**rest)
        except (TypeError, KeyError, ValueError) as error:
            raise MicrotuneError(
                f"the cache holds a damaged outcome ({error}); delete its file"
            ) from error


@dataclass(frozen=True)
class TrialSetup:
    """What all trials of a search share.

    Networks are trained on `training_split` and evaluated on `evaluation_split`. `classes` is the
    number of classes, `formats` are the number formats of the head and of trained biases. `folder`
    keeps compiled projects and latents.
    """

    model: ModelFile
    classes: int
    training_split: Split
    evaluation_split: Split
    folder: Path
    formats: Formats = field(default_factory=Formats)

    @cached_property
    def training_sha256(self) -> str:
        """Hash of the int8 frames of the training split."""
        return frames_sha256(self.training_split)

    @cached_property
    def evaluation_sha256(self) -> str:
        """Hash of the int8 frames of the evaluation split."""
        return frames_sha256(self.evaluation_split)

    @cached_property
    def model_sha256(self) -> str:
        """Hash of the model's graph, weights and preprocessing."""
        return self.model.sha256()

    @cached_property
    def data_sha256(self) -> str:
        """Hash of the frames and labels of both splits; the same for equal images anywhere."""
        splits = (self.training_split, self.evaluation_split)
        labels = (hashlib.sha256(split.labels.tobytes()).hexdigest() for split in splits)
        return digest(self.training_sha256, self.evaluation_sha256, *labels)

    @cached_property
    def context(self) -> str:
        """Hash of everything besides the trial itself that decides a result, code included."""
        return digest(
            f"{NUMERICS_VERSION} {self.classes} {self.formats}",
            code_version(DECIDING_ROOMS + _OWN_ROOMS), self.model_sha256, self.data_sha256,
        )  # fmt: skip

    def scheme(self, selection: Selection) -> Scheme:
        """The scheme that trains a selection of this model.

        Raises MicrotuneError if the model has no such layers or channels.
        """
        return scheme_from_table(selection.table("search", self.model.graph.name), self.model.graph)

    def key(self, trial: Trial) -> str:
        """The key under which the cache stores the trial's result."""
        parts = f"{trial.lr!r} {trial.seed} {trial.epochs}"
        return f"trial:{digest(self.context, self.scheme(trial.selection).sha256(), parts)}"


def open_trial_setup(
    model: ModelFile, data: Path, folder: Path, evaluate_on: EvaluationSplit
) -> TrialSetup:
    """Decode a data set's images for trials that are evaluated on "val" or on "test".

    For "val" networks are trained on train and evaluated on val, or on 10 % of train where there is
    no val; the test split is not opened. For "test" they are trained on train and evaluated on
    test. Compiled projects go to `folder`, which must be the same path on each node of a cluster.
    Raises MicrotuneError for data that cannot be used.
    """
    modality = read_modality(model.preprocessing, model.graph.input_tensor)
    try:
        dataset = open_dataset(data)
    except UnlabelledError as error:
        raise MicrotuneError(
            f"{error}. A search compares schemes by the log-loss of classes; for a network that "
            "learns values, `compile --scheme auto --outputs N` chooses without data"
        ) from error
    if evaluate_on == "val":
        training, evaluation = dataset.load_choice(modality)
    else:
        training, evaluation = (dataset.load(name, modality) for name in ("train", "test"))
    if evaluate_on == "val" and (len(evaluation.labels) < 2 or len(training.labels) < 2):
        raise MicrotuneError(
            f"{data}: {len(training.labels)} images to learn and {len(evaluation.labels)} to "
            "validate; a search needs more (val/CLASS/*.jpg, or 10 % of train are held out)"
        )
    dataset.say_notes([training, evaluation])
    return TrialSetup(model, len(dataset.classes), training, evaluation, folder.absolute())


def run_trial(trial: Trial, setup: TrialSetup) -> TrialResult:
    """Compile the trial's scheme for this machine, train it, and evaluate it after the last epoch.

    Raises MicrotuneError if the scheme cannot be compiled.
    """
    runner, graph, report = _train(trial, setup)
    hashes = (setup.model_sha256, setup.evaluation_sha256)
    evaluation = kept_latents(runner, graph, setup.evaluation_split, hashes, setup.folder)
    logits = _logits(runner, evaluation, setup.formats)
    temperature = best_temperature(logits, evaluation.labels)
    losses = log_losses(logits / temperature, evaluation.labels)
    return TrialResult(
        losses, temperature, logits.argmax(axis=1), report.epochs[-1].train_loss,
        report.parameters_sha256, report.seconds,
    )  # fmt: skip


def trained_parameters(trial: Trial, setup: TrialSetup) -> dict[str, Array]:
    """Run a trial and return its trained parameters by tensor name, in their stored formats."""
    runner, _, _ = _train(trial, setup)
    return runner.parameters()


def _train(trial: Trial, setup: TrialSetup) -> tuple[HostRunner, Graph, TrainingReport]:
    """(the compiled project after the training, its graph, the report of the training)."""
    request = pipeline.Request(
        setup.classes, setup.scheme(trial.selection), load_target("cortex-m7"), UNLIMITED,
        UNLIMITED, setup.formats, schedule="layers",
    )  # fmt: skip
    folder = compiled(setup.model, request, FLAGS, setup.folder)
    runner, graph = host_runner(folder, trial.seed, FLAGS)
    hashes = (setup.model_sha256, setup.training_sha256)
    training = kept_latents(runner, graph, setup.training_split, hashes, setup.folder)
    plan = TrainingPlan(trial.epochs, trial.lr, "cosine", trial.seed, evaluate="at-the-end")
    return runner, graph, run_training(runner, graph, plan, training, None)


def _logits(runner: HostRunner, split: Split, formats: Formats) -> Array:
    """Real logits of a split's images, float64 (N, classes).

    The words of an int16 head are Q16 fixed point, those of a float32 head are floats.
    """
    records = (Record(Call.INFER, frame) for frame in split.frames)
    words = np.stack([result.logits for result in runner.run(records)])
    if formats.head == "float32":
        return words.view(np.float32).astype(np.float64)
    return words / 65536.0


def log_losses(logits: Array, labels: Array) -> Array:
    """-log softmax of each image's label, in nats, float64 (N,).

    `logits` are float64 (N, classes), `labels` integers (N,).
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    picked = np.take_along_axis(shifted, labels[:, None].astype(np.int64), axis=1)[:, 0]
    losses: Array = np.log(np.exp(shifted).sum(axis=1)) - picked
    return losses


def best_temperature(logits: Array, labels: Array) -> float:
    """The temperature T for which logits / T of these images have the lowest mean log-loss.

    `logits` are float64 (N, classes), `labels` integers (N,). T lies between 1/MAX_TEMPERATURE and
    MAX_TEMPERATURE.

    Networks become overconfident with longer training, which raises the log-loss and leaves the
    accuracy as it is. Without this calibration, longer training would count against a better scheme
    (C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017).
    """
    from scipy.optimize import minimize_scalar

    bound = math.log(MAX_TEMPERATURE)
    found = minimize_scalar(
        lambda t: float(log_losses(logits / math.exp(t), labels).mean()),
        bounds=(-bound, bound), method="bounded",
    )  # fmt: skip
    return math.exp(float(found.x))
