"""One training run of a study: its settings, its result, and the store of results."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array
from microtune.ir.numerics import NUMERICS_VERSION
from microtune.tools.files import write_whole
from microtune.train.trainer import Schedule

OURS = "ours"
# Raise it when the same run would come out otherwise though the numerics have not changed.
STUDY_VERSION = 1
Split = Literal["val", "test"]
# "class by class": all of one class, then all of another, classes in an order drawn by the seed.
Order = Literal["shuffled", "class by class"]


@dataclass(frozen=True)
class Run:
    """All settings that decide the result of a run.

    `method` is OURS (the generated C, device arithmetic, batch 1) or the name of a baseline. `rule`
    has macros of a study build (mt_study.h), such as "A=B C=D", or is empty.

    For OURS only: `per_class` samples of each class (0: all), the `order` of samples, `augment` as
    `train --augment` takes it, a replay memory of `replay_bytes`, and `rehearse` steps on stored
    samples after each step. With a `domain` (domains.py) a stream of changed images follows the
    epochs on plain ones. With `then_lr` one more epoch follows at that constant rate, in which
    alone the `rule` is replaced.
    """

    model: str
    data: str
    scheme: str
    method: str
    lr: float
    seed: int
    epochs: int
    split: Split = "test"
    bias: str = "int16"
    head: str = "int16"
    rule: str = ""
    schedule: Schedule = "cosine"
    per_class: int = 0
    order: Order = "shuffled"
    domain: str = ""
    replay_bytes: int = 0
    rehearse: int = 0
    augment: str = ""
    then_lr: float = 0.0

    @property
    def key(self) -> str:
        """A hash of all settings. A setting that was added later counts only if it is used."""
        fields = {
            name: value for name, value in asdict(self).items()
            if name not in _LATER or value != _LATER[name]
        }  # fmt: skip
        content = [STUDY_VERSION, NUMERICS_VERSION, fields]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]

    def __str__(self) -> str:
        extras = [self.rule, self.domain, self.augment, f"{self.per_class} a class"]
        special = "".join(f" {text}" for text in extras if text and text != "0 a class")
        return f"{self.data} {self.scheme} {self.method}{special} lr {self.lr:g} seed {self.seed}"


_LATER = {
    "schedule": "cosine", "per_class": 0, "order": "shuffled", "domain": "", "replay_bytes": 0,
    "rehearse": 0, "augment": "", "then_lr": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """The result after the last epoch.

    `predicted` and `labels` are classes of the split's images. The log-loss is the mean over the
    last epoch's training samples, in nats. `seconds` is the processor time of the run without that
    of compilers (of the first recorded runs, those of qas and some of ablation, it is the
    wall-clock time of training).

    For a run with a domain the plain images come first, then the changed ones, and `curve` has rows
    [samples of the stream, accuracy on plain images, on changed ones] in percent. With `then_lr`
    its rows are [steps, accuracy] before and after the last epoch.
    """

    run: Run
    predicted: list[int]
    labels: list[int]
    train_loss: float
    seconds: float
    parameters_sha256: str = ""
    curve: list[list[float]] = field(default_factory=list)

    @property
    def correct(self) -> Array:
        """Whether each image is classified correctly, bool (images,)."""
        right: Array = np.array(self.predicted) == np.array(self.labels)
        return right

    @property
    def accuracy(self) -> float:
        """The accuracy over all images, in percent."""
        return 100.0 * float(self.correct.mean())

    def to_json(self) -> dict[str, Any]:
        """The result as a store keeps it, for JSON."""
        return asdict(self)


def _result(content: dict[str, Any]) -> Result:
    """The result of a stored run."""
    fields = {name: value for name, value in content.items() if name != "key"}
    return Result(**(fields | {"run": Run(**content["run"])}))


class Store:
    """A folder with one JSON file for every finished run.

    `identity` has hashes of the models and images behind a run's names: the same names of others
    are other runs.
    """

    def __init__(self, folder: Path, identity: Callable[[Run], str] = lambda _: "") -> None:
        self.folder, self._identity = folder, identity

    def key(self, run: Run) -> str:
        """The name of the file of a run, without its ending."""
        return hashlib.sha256(f"{run.key} {self._identity(run)}".encode()).hexdigest()[:24]

    def _path(self, run: Run) -> Path:
        return self.folder / f"{self.key(run)}.json"

    def get(self, run: Run) -> Result | None:
        """The result of a run, None if it has not been finished."""
        path = self._path(run)
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["key"] != self.key(run):
                raise ValueError("it holds another run")
            return _result(content)
        except (ValueError, KeyError, TypeError) as error:
            raise MicrotuneError(
                f"{path} is damaged ({error}); delete it to run it again"
            ) from error

    def put(self, result: Result) -> None:
        """Store a result, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"key": self.key(result.run)} | result.to_json()
        write_whole(self._path(result.run), (json.dumps(content) + "\n").encode())

    def pack(self, path: Path, runs: Iterable[Run]) -> None:
        """Write the results of these runs into one file.

        It has JSON lines in the order of their keys, compressed (xz).
        """
        paths = sorted({self._path(run) for run in runs})
        lines = [p.read_text(encoding="utf-8") for p in paths]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lzma.compress("".join(lines).encode(), preset=9))

    def unpack(self, path: Path) -> list[Run]:
        """Add the results of a file that `pack` wrote, and return what was added.

        Results that are here already stay. Those of other numerics, models or images are left out:
        they would have to be run again.
        """
        try:
            lines = lzma.decompress(path.read_bytes()).decode().splitlines()
            stored = [json.loads(line) for line in lines]
            keys = [content["key"] for content in stored]
            results = [_result(content) for content in stored]
        except (OSError, lzma.LZMAError, ValueError, KeyError, TypeError) as error:
            raise MicrotuneError(f"{path} is no file of recorded results: {error}") from error
        taken = [r for key, r in zip(keys, results, strict=True) if key == self.key(r.run)]
        for result in taken:
            if not self._path(result.run).is_file():
                self.put(result)
        return [result.run for result in taken]

    def missing(self, runs: list[Run]) -> Iterator[Run]:
        """The runs that have not been finished, each once."""
        return (run for run in dict.fromkeys(runs) if not self._path(run).is_file())
