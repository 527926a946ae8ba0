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
from microtune.data import Preprocessing, Split, open_dataset
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
from microtune.run.job import Record, RecordKind
from microtune.run.runners import HostRunner
from microtune.search.cache import Value
from microtune.search.problem import Selection
from microtune.targets import load_target
from microtune.train.trainer import TrainingPlan, TrainingReport, run_training
from microtune.training.build import Formats
from microtune.training.scheme import Scheme, scheme_from_table

Asked = Literal["val", "test"]
# What decides a trial besides what decides any training on this machine.
_OWN_ROOMS = ("search/trials/trial.py", "search/problem.py")

HOTTEST = 32.0


@dataclass(frozen=True)
class Trial:
    """What is trained and how: a cosine from `lr` per sample, over `epochs`, ordered and rounded
    by `seed`."""

    selection: Selection
    lr: float
    seed: int
    epochs: int

    def __str__(self) -> str:
        return f"{describe(self.selection)}, seed {self.seed}"


def describe(selection: Selection) -> str:
    """ "biases of 20, 24:1/4 27:1/2"."""
    parts = [f"{choice.layer}:{choice.ratio}" for choice in selection.choices]
    return " ".join([f"biases of {selection.bias_layers}" + ("," if parts else ""), *parts])


@dataclass(frozen=True)
class Outcome:
    """After the last epoch, of the images that were asked: log-loss in nats, float64 (N,), of
    logits over `temperature`, and predicted classes, int64 (N,). `train_loss` is the mean of the
    last epoch in nats."""

    log_loss: Array
    temperature: float
    predicted: Array
    train_loss: float
    parameters_sha256: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As the cache keeps it; floats come back with the same bits."""
        arrays = {"log_loss": self.log_loss.tolist(), "predicted": self.predicted.tolist()}
        return vars(self) | arrays

    @staticmethod
    def from_json(content: Value) -> Outcome:
        """What `to_json` made. Raises MicrotuneError where it was not."""
        try:
            if isinstance(content, int):
                raise TypeError("a number")
            losses = np.array(content["log_loss"], np.float64)
            predicted = np.array(content["predicted"], np.int64)
            rest = content | {"log_loss": losses, "predicted": predicted}
            return Outcome(**rest)
        except (TypeError, KeyError, ValueError) as error:
            raise MicrotuneError(
                f"the cache holds a damaged outcome ({error}); delete its file"
            ) from error


@dataclass(frozen=True)
class Materials:
    """What trials share: the model, the images that are learnt and those that are asked, how many
    classes there are, number formats, and a folder for compiled projects and latents."""

    model: ModelFile
    classes: int
    learn: Split
    asked: Split
    folder: Path
    formats: Formats = field(default_factory=Formats)

    @cached_property
    def learn_sha256(self) -> str:
        """Of the frames that are learnt."""
        return frames_sha256(self.learn)

    @cached_property
    def asked_sha256(self) -> str:
        """Of the frames that are asked."""
        return frames_sha256(self.asked)

    @cached_property
    def model_sha256(self) -> str:
        """Of the model."""
        return self.model.sha256()

    @cached_property
    def data_sha256(self) -> str:
        """Of frames and labels, wherever the images came from."""
        labels = (hashlib.sha256(s.labels.tobytes()).hexdigest() for s in (self.learn, self.asked))
        return digest(self.learn_sha256, self.asked_sha256, *labels)

    @cached_property
    def context(self) -> str:
        """Hash of all that decides outcomes besides the trial."""
        return digest(
            f"{NUMERICS_VERSION} {self.classes} {self.formats}",
            code_version(DECIDING_ROOMS + _OWN_ROOMS), self.model_sha256, self.data_sha256,
        )  # fmt: skip

    def scheme(self, selection: Selection) -> Scheme:
        """The scheme of a selection. Raises MicrotuneError where the model has none such."""
        return scheme_from_table(selection.table("search", self.model.graph.name), self.model.graph)

    def key(self, trial: Trial) -> str:
        """Under which the cache keeps the outcome."""
        parts = f"{trial.lr!r} {trial.seed} {trial.epochs}"
        return f"trial:{digest(self.context, self.scheme(trial.selection).sha256(), parts)}"


def open_materials(model: ModelFile, data: Path, folder: Path, asked: Asked) -> Materials:
    """Decode the images. For "val" the test split is not opened: what is learnt is train, what is
    asked val, or 10 % of train where there is no val. What is compiled goes to `folder`, the same
    path on each node. Raises MicrotuneError for unusable data."""
    preprocessing = Preprocessing.from_json(model.preprocessing)
    dataset = open_dataset(data)
    if asked == "val":
        learn, questions = dataset.load_choice(preprocessing)
    else:
        learn, questions = (dataset.load(name, preprocessing) for name in ("train", "test"))
    if asked == "val" and (len(questions.labels) < 2 or len(learn.labels) < 2):
        raise MicrotuneError(
            f"{data}: {len(learn.labels)} images to learn and {len(questions.labels)} to validate; "
            "a search needs more (val/CLASS/*.jpg, or 10 % of train are held out)"
        )
    dataset.say_notes([learn, questions])
    return Materials(model, len(dataset.classes), learn, questions, folder.absolute())


def run_trial(trial: Trial, materials: Materials) -> Outcome:
    """Compile the scheme, train, and ask once after the last epoch."""
    runner, graph, report = _trained(trial, materials)
    of = (materials.model_sha256, materials.asked_sha256)
    asked = kept_latents(runner, graph, materials.asked, of, materials.folder)
    logits = _logits(runner, asked, materials.formats)
    temperature = best_temperature(logits, asked.labels)
    losses = log_losses(logits / temperature, asked.labels)
    return Outcome(
        losses, temperature, logits.argmax(axis=1), report.epochs[-1].train_loss,
        report.parameters_sha256, report.seconds,
    )  # fmt: skip


def trained_parameters(trial: Trial, materials: Materials) -> dict[str, Array]:
    """What a trial has learnt, by graph name."""
    runner, _, _ = _trained(trial, materials)
    return runner.parameters()


def _trained(trial: Trial, materials: Materials) -> tuple[HostRunner, Graph, TrainingReport]:
    request = pipeline.Request(
        materials.classes, materials.scheme(trial.selection), load_target("cortex-m7"), UNLIMITED,
        UNLIMITED, materials.formats, schedule="layers",
    )  # fmt: skip
    folder = compiled(materials.model, request, FLAGS, materials.folder)
    runner, graph = host_runner(folder, trial.seed, FLAGS)
    of = (materials.model_sha256, materials.learn_sha256)
    learn = kept_latents(runner, graph, materials.learn, of, materials.folder)
    plan = TrainingPlan(trial.epochs, trial.lr, "cosine", trial.seed, evaluate="at the end")
    return runner, graph, run_training(runner, graph, plan, learn, None)


def _logits(runner: HostRunner, asked: Split, formats: Formats) -> Array:
    """Real logits, float64 (N, classes): the int16 head's words are Q16, a float32
    head's are floats."""
    records = (Record(RecordKind.INFER, frame) for frame in asked.frames)
    words = np.stack([result.logits for result in runner.run(records)])
    if formats.head == "float32":
        return words.view(np.float32).astype(np.float64)
    return words / 65536.0


def log_losses(logits: Array, labels: Array) -> Array:
    """-log softmax of the labels in nats, float64 (N,), of logits (N, classes)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    picked = np.take_along_axis(shifted, labels[:, None].astype(np.int64), axis=1)[:, 0]
    losses: Array = np.log(np.exp(shifted).sum(axis=1)) - picked
    return losses


def best_temperature(logits: Array, labels: Array) -> float:
    """The T in 1/HOTTEST .. HOTTEST for which logits / T of these images have the lowest log-loss.

    A network that is trained longer is surer than it is right, which costs log-loss and no
    accuracy: without this, the longer training of a better scheme counts against it (C. Guo et al.,
    On Calibration of Modern Neural Networks, ICML 2017).
    """
    from scipy.optimize import minimize_scalar

    bound = math.log(HOTTEST)
    found = minimize_scalar(
        lambda t: float(log_losses(logits / math.exp(t), labels).mean()),
        bounds=(-bound, bound), method="bounded",
    )  # fmt: skip
    return math.exp(float(found.x))
