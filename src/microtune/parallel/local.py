"""Tasks on the cores of this machine: joblib with its loky processes."""

from __future__ import annotations

import signal
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from microtune.errors import MicrotuneError
from microtune.parallel.worker import MAX_LOSSES, TaskOutcome, attempt, given_up, pickled


@dataclass(frozen=True)
class _Job:
    """What every task needs: the file of shared data, and a folder with a mark for each task
    that began."""

    function: Callable[[Any, Any], Any]
    shared: Path
    marks: Path

    def run(self, index: int, task: object) -> tuple[int, TaskOutcome]:
        """Run one task in a worker process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
        self.mark(index).touch()
        return index, attempt(self.function, task, str(self.shared), self.shared.read_bytes, None)

    def mark(self, index: int) -> Path:
        """The path of the file whose existence says that the task has begun."""
        return self.marks / str(index)


class LocalPool:
    """Worker processes of this machine.

    Shared data lies in a file, one for each content; a process that has loaded it does not load it
    again.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="microtune-tasks-")
        self._workers = 0

    def run(
        self, function: Callable[[Any, Any], Any], tasks: Sequence[Any], shared: object,
        workers: int, on_done: Callable[[Any, Any], None],
    ) -> None:  # fmt: skip
        """Run tasks in `workers` (at least 2) processes; `on_done` gets each result as it arrives.

        Processes of a former call stay if there were more: to have fewer would end some. When a
        process dies, loky ends all of them and does not say which task caused it. All tasks that
        were running are restarted. A task that was also running at the death before is restarted
        alone, so that no other task is blamed.
        """
        self._workers = max(self._workers, workers)
        left, losses = dict.fromkeys(range(len(tasks))), Counter[int | None]()
        with tempfile.TemporaryDirectory(dir=self._folder.name) as marks:
            job = _Job(function, self._share(shared), Path(marks))
            while left:
                doubtful = [index for index in left if losses[index] == MAX_LOSSES - 1]
                batch = doubtful[:1] or list(left)
                try:
                    for index, outcome in _outcomes(job, tasks, batch, self._workers):
                        on_done(tasks[index], outcome.result())
                        del left[index]
                except TerminatedWorkerError:
                    _count_losses(job, tasks, list(left), losses)

    def _share(self, shared: object) -> Path:
        key, content = pickled(shared)
        path = Path(self._folder.name, key)
        if not path.exists():
            path.write_bytes(content)
        return path

    def close(self) -> None:
        """Delete the files of shared data; loky ends idle processes."""
        self._folder.cleanup()


def _outcomes(
    job: _Job, tasks: Sequence[Any], batch: list[int], workers: int
) -> Iterator[tuple[int, TaskOutcome]]:
    """(task index, outcome) pairs as they arrive. No process outlives an exception of the
    caller."""
    calls = (joblib.delayed(job.run)(index, tasks[index]) for index in batch)
    warnings.filterwarnings("ignore", ".*tasks which were still being processed", UserWarning)
    with joblib.parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
        # max_nbytes: an array of a task stays an array, not a read-only file in memory.
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, max_nbytes=None)
        try:
            yield from parallel(calls)
        except TerminatedWorkerError:
            raise
        except BaseException:
            get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)
            raise


def _count_losses(
    job: _Job, tasks: Sequence[Any], left: list[int], losses: Counter[int | None]
) -> None:
    begun = [index for index in left if job.mark(index).exists()]
    if begun:
        losses.update(begun)
    else:
        losses[None] += 1
    if losses[None] == MAX_LOSSES:
        raise MicrotuneError(
            f"the worker processes died {MAX_LOSSES} times before they began a task;"
            " is there enough memory? Fewer need less (--workers)"
        )
    for index in begun:
        job.mark(index).unlink()
        if losses[index] == MAX_LOSSES:
            raise given_up(tasks[index])
