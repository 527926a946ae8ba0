"""Keep a cluster busy: which task is submitted when, lost workers, and no workers at all."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from microtune.errors import MicrotuneError
from microtune.parallel.worker import MAX_LOSSES, Outcome, given_up

Function = Callable[[Any, Any], Any]
_NO_WORKERS_S = 600.0  # so long may a cluster have none


class Cluster(Protocol):
    """A connection to a cluster."""

    def slots(self) -> int:
        """Tasks that may be under way now: nodes come and go."""
        ...

    def share(self, shared: object) -> str:
        """Make it known to all workers, under this key; it travels only if its content is new."""
        ...

    def submit(self, function: Function, task: object, key: str) -> object:
        """Hand a task over; the ticket is hashable."""
        ...

    def finished(self, tickets: Iterable[Any]) -> list[tuple[Any, Outcome | int]]:
        """Those that ended, a number: so many workers were lost under it. Empty after a while."""
        ...

    def cancel(self, tickets: Iterable[Any]) -> None:
        """End these tasks."""
        ...

    def close(self) -> None:
        """Give back everything."""
        ...


def run_on_cluster(
    cluster: Cluster, function: Function, tasks: Sequence[Any], shared: object,
    workers: int | None, on_done: Callable[[Any, Any], None], say: Callable[[str], None],
) -> None:  # fmt: skip
    """Keep the cluster (at most `workers` of its slots) busy until all tasks are done. A task whose
    worker was lost comes next; after MAX_LOSSES it is a MicrotuneError that names the task. Where
    there are no workers, `say` is told, and one task waits for some: a cluster may start them for
    it. Too long without any is a MicrotuneError."""
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
                if isinstance(outcome, Outcome):
                    on_done(tasks[index], outcome.result())
                    continue
                losses[index] += outcome
                if losses[index] >= MAX_LOSSES:
                    raise given_up(tasks[index])
                waiting.appendleft(index)
    finally:
        cluster.cancel(list(running))


class _Absence:
    """Since when a cluster has had no workers: said once, and ended in time."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._since: float | None = None

    def check(self, slots: int) -> None:
        """What there is now; a MicrotuneError if it has been nothing for too long."""
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
