"""Clusters whose workers have gone: said once, waited for, and ended in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from microtune.errors import MicrotuneError
from microtune.parallel.dispatch import run_on_cluster
from microtune.parallel.worker import TaskOutcome
from tests.parallel.tasks import plus


class Fake:
    """A cluster with these numbers of workers in turn, the last for ever; where there are some,
    tasks end at once."""

    def __init__(self, *workers: int) -> None:
        self._left = list(workers)
        self._tasks: dict[object, int] = {}
        self.cancelled: list[object] = []

    def slots(self) -> int:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]

    def share(self, shared: object) -> str:
        return str(shared)

    def submit(self, function: Callable[[Any, Any], Any], task: Any, key: str) -> object:
        ticket = object()
        self._tasks[ticket] = function(task, int(key))
        return ticket

    def finished(self, tickets: Iterable[Any]) -> list[tuple[Any, TaskOutcome | int]]:
        living = self._left[0] > 0
        return [(ticket, TaskOutcome(self._tasks[ticket])) for ticket in tickets if living]

    def cancel(self, tickets: Iterable[Any]) -> None:
        self.cancelled += tickets

    def close(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A minute passes whenever somebody looks."""
    minutes = iter(range(10**6))
    with monkeypatch.context() as patch:
        patch.setattr("time.monotonic", lambda: 60.0 * next(minutes))
        yield


@pytest.mark.usefixtures("clock")
def test_workers_that_never_come_end_the_run() -> None:
    cluster, said = Fake(0), list[str]()
    message = "no worker for 10 minutes; finished tasks are kept"
    with pytest.raises(MicrotuneError, match=message):
        run_on_cluster(cluster, plus, range(3), 1, None, lambda t, r: None, said.append)
    assert said == ["no workers, waiting 10 minutes for some"]
    assert len(cluster.cancelled) == 1


@pytest.mark.usefixtures("clock")
def test_workers_that_come_back_finish_the_run() -> None:
    """Each absence has its own ten minutes."""
    cluster, said, found = Fake(1, *[0] * 9, 2, *[0] * 9, 2), list[str](), dict[int, int]()
    run_on_cluster(cluster, plus, range(9), 1, 1, lambda t, r: found.update({t: r}), said.append)
    assert found == {task: task + 1 for task in range(9)}
    assert said == 2 * [
        "no workers, waiting 10 minutes for some", "the cluster has workers again"
    ]  # fmt: skip
    assert cluster.cancelled == []
