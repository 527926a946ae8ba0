"""Run tasks on the cores of this machine."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from microtune.errors import MicrotuneError
from microtune.simulate.runners import cores

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Backend:
    """Where tasks run; `workers` None: as many as there are cores."""

    kind: Literal["local", "ray", "dask"] = "local"
    address: str | None = None
    workers: int | None = None


_shared: Any = None


def _start(shared: object) -> None:
    """In a new worker: Ctrl-C is the parent's business, and what is shared came once."""
    global _shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _shared = shared


def _call(function: Callable[[T, Any], R], task: T) -> R:
    return function(task, _shared)


def run_tasks(
    function: Callable[[T, Any], R], tasks: Sequence[T], shared: object, backend: Backend,
    on_done: Callable[[T, R], None],
) -> None:  # fmt: skip
    """function(task, shared) of every task; `on_done` gets each result as soon as it is there."""
    if backend.kind != "local":
        raise MicrotuneError(f"--backend {backend.kind}: only local is there yet")
    workers = min(backend.workers or cores(), len(tasks))
    if workers <= 1:
        for task in tasks:
            on_done(task, function(task, shared))
        return
    with ProcessPoolExecutor(workers, initializer=_start, initargs=(shared,)) as pool:
        futures = {pool.submit(_call, function, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                on_done(futures[future], future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
