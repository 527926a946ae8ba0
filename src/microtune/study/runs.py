"""One training run of a study: what decides it, what came out, and where that is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array
from microtune.ir.numerics import NUMERICS_VERSION
from microtune.simulate.session import write_whole

OURS = "ours"
# Raise it when the same run would come out otherwise though the numerics have not changed.
STUDY_VERSION = 1
Split = Literal["val", "test"]


@dataclass(frozen=True)
class Run:
    """Everything that decides a run. `method` is OURS (the generated C, device arithmetic, batch 1)
    or a baseline's name; `rule` a macro of a study build (mt_study.h) or ""."""

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

    @property
    def key(self) -> str:
        """Names the run's file."""
        content = [STUDY_VERSION, NUMERICS_VERSION, asdict(self)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]

    def __str__(self) -> str:
        rule = f" {self.rule}" if self.rule else ""
        return f"{self.data} {self.scheme} {self.method}{rule} lr {self.lr:g} seed {self.seed}"


@dataclass(frozen=True)
class Result:
    """Of the last epoch. `predicted` and `labels` are classes of the split's images; the log-loss
    is the mean over the last epoch's training samples, in nats."""

    run: Run
    predicted: list[int]
    labels: list[int]
    train_loss: float
    seconds: float
    parameters_sha256: str = ""

    @property
    def correct(self) -> Array:
        """bool (images,)."""
        right: Array = np.array(self.predicted) == np.array(self.labels)
        return right

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100.0 * float(self.correct.mean())

    def to_json(self) -> dict[str, Any]:
        """As stored."""
        return asdict(self)


class Store:
    """A folder with one JSON file for every finished run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, run: Run) -> Path:
        return self.folder / f"{run.key}.json"

    def get(self, run: Run) -> Result | None:
        """The result of a run that was finished before."""
        path = self._path(run)
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return Result(**(content | {"run": Run(**content["run"])}))
        except (ValueError, KeyError, TypeError) as error:
            raise MicrotuneError(
                f"{path} is damaged ({error}); delete it to run it again"
            ) from error

    def put(self, result: Result) -> None:
        """Keep a result, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(result.run), (json.dumps(result.to_json()) + "\n").encode())

    def missing(self, runs: list[Run]) -> Iterator[Run]:
        """Those that have not been finished, each once."""
        return (run for run in dict.fromkeys(runs) if not self._path(run).is_file())
