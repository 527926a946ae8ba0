"""Tasks that workers import: real training runs, some of which kill their process or fail."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from microtune_studies.execute import execute
from microtune_studies.runs import OURS, Run
from microtune_studies.sources import Sources

from microtune.parallel.tasks import Backend, run_tasks

RUN = Run("fashion5", "fashion_tops.npz", "last-3", OURS, 0.01, 0, 1, per_class=5)


@dataclass(frozen=True)
class Task:
    """A seed; the first `deaths` attempts kill their process."""

    seed: int
    deaths: int = 0
    fails: bool = False


@dataclass
class Shared:
    """What tasks share. `folder` learns of every unpickling and of the processes that ran tasks."""

    sources: Sources
    folder: Path
    content: bytes = b"m" * (1 << 20)

    def __reduce__(self) -> tuple[Callable[..., Shared], tuple[Any, ...]]:
        return _unpickled, (self.sources, self.folder, self.content)

    def unpicklings(self) -> int:
        return len(list(self.folder.glob("unpickled-*")))

    def processes(self) -> set[int]:
        return {int(path.name.split("-")[1]) for path in self.folder.glob("ran-*")}


def _unpickled(sources: Sources, folder: Path, content: bytes) -> Shared:
    (folder / f"unpickled-{uuid4().hex}").touch()
    return Shared(sources, folder, content)


def learn(task: Task, shared: Shared) -> str:
    """The hash of what was learnt."""
    (shared.folder / f"ran-{os.getpid()}").touch()
    if task.fails:
        raise KeyError("seed", task.seed)
    died = len(list(shared.folder.glob(f"died-{task.seed}-*")))
    if died < task.deaths:
        (shared.folder / f"died-{task.seed}-{died}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(replace(RUN, seed=task.seed), shared.sources).parameters_sha256


def sleep(task: int, shared: float) -> int:
    """Takes `shared` seconds; the process that did it."""
    time.sleep(shared)
    return os.getpid()


def plus(task: int, shared: int) -> int:
    """Their sum."""
    return task + shared


if __name__ == "__main__":
    from tests.parallel import tasks

    run_tasks(
        tasks.sleep, range(1000), 0.2, Backend(workers=2),
        lambda task, process: print(process, flush=True),
    )  # fmt: skip
    sys.exit("not interrupted")
