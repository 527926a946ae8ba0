"""Schedule tasks on a cluster: submission, lost workers, and clusters without workers."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from microtune.errors import MicrotuneError
from microtune.parallel.worker import MAX_LOSSES, TaskOutcome, given_up

Function = Callable[[Any, Any], Any]
_NO_WORKERS_S = 600.0  # so long may a cluster have none


class Cluster(Protocol):
    """What the scheduler needs of a connection to a cluster."""

    def slots(self) -> int:
        """The number of tasks that can run now; it changes as nodes come and go."""
        ...

    def share(self, shared: object) -> str:
        """Make data known to all workers under the returned key; equal data travels once."""
        ...

    def submit(self, function: Function, task: object, key: str) -> object:
        """Start `function(task, data of key)` on a worker; returns a hashable ticket."""
        ...

    def finished(self, tickets: Iterable[Any]) -> list[tuple[Any, TaskOutcome | int]]:
        """The tickets of ended tasks with their outcome, or the number of workers lost under them.

        Waits for a while; empty if no task has ended.
        """
        ...

    def cancel(self, tickets: Iterable[Any]) -> None:
        """End these tasks, or cancel them if they have not begun."""
        ...

    def close(self) -> None:
        """Release everything that this connection holds on the cluster."""
        ...


def run_on_cluster(
    cluster: Cluster, function: Function, tasks: Sequence[Any], shared: object,
    workers: int | None, on_done: Callable[[Any, Any], None], say: Callable[[str], None],
) -> None:  # fmt: skip
    """Run all tasks on a cluster, at most `workers` at a time.

    A task whose worker was lost is restarted next. After MAX_LOSSES losses a MicrotuneError names
    the task. If the cluster has no workers, `say` is called, and one task waits for some: the
    cluster may start them for it. Raises MicrotuneError if there are none for too long.
    """
    key, absence = cluster.share(shared), _Absence(say)
    waiting, losses = deque(range(len(tasks))), Counter[int]()
    running: dict[Any, int] = {}
    try:
        while waiting or running:
            slots = cluster.slots()
            absence.check(slots)
            while waiting and len(running) < max(1, min(slots, workers or slots)):
                index = waiting.popleft()
                running[cluster.submit(function, tasks[index], key)] = index
            for ticket, outcome in cluster.finished(list(running)):
                index = running.pop(ticket)
                if isinstance(outcome, TaskOutcome):
                    on_done(tasks[index], outcome.result())
                    continue
                losses[index] += outcome
                if losses[index] >= MAX_LOSSES:
                    raise given_up(tasks[index])
                waiting.appendleft(index)
    finally:
        cluster.cancel(list(running))


class _Absence:
    """How long a cluster has had no workers."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._since: float | None = None

    def check(self, slots: int) -> None:
        """Note the number of slots; raise MicrotuneError if there have been none for too long."""
        now = time.monotonic()
        if slots > 0:
            if self._since is not None:
                self._since = None
                self._say("the cluster has workers again")
        elif self._since is None:
            self._since = now
            self._say(f"no workers, waiting {_NO_WORKERS_S / 60:g} minutes for some")
        elif now - self._since >= _NO_WORKERS_S:
            raise MicrotuneError(
                f"the cluster has had no worker for {_NO_WORKERS_S / 60:g} minutes; finished tasks"
                " are kept: start workers, then give the same command again"
            )
