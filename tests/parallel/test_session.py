"""Several calls over one connection."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from microtune_studies.sources import Sources

from microtune.errors import MicrotuneError
from microtune.parallel.tasks import Backend, TaskSession
from tests.parallel.tasks import Shared, Task, learn, plus


def learnt(session: TaskSession, seeds: Sequence[int], shared: Shared) -> dict[int, str]:
    """Hashes by seed."""
    found: dict[int, str] = {}
    session.run(
        learn, [Task(seed) for seed in seeds], shared, lambda t, r: found.update({t.seed: r})
    )
    return found


def sums(session: TaskSession, tasks: Sequence[int], shared: int) -> dict[int, int]:
    """By task."""
    found: dict[int, int] = {}
    session.run(plus, tasks, shared, lambda task, total: found.update({task: total}))
    return found


def test_what_is_shared_is_loaded_once_over_several_calls(
    backend: Backend, sources: Sources, tmp_path: Path
) -> None:
    """By each process, also with fewer tasks than workers in between, and with a copy."""
    shared = Shared(sources, tmp_path)
    with TaskSession(backend) as session:
        first = learnt(session, range(4), shared)
        learnt(session, [0], shared)
        assert learnt(session, range(4), Shared(sources, tmp_path)) == first
    workers = shared.processes() - {os.getpid()}
    assert shared.unpicklings() == len(workers)


def test_a_worker_lost_between_two_calls(
    backend: Backend, sources: Sources, tmp_path: Path
) -> None:
    shared = Shared(sources, tmp_path)
    with TaskSession(backend) as session:
        first = learnt(session, range(4), shared)
        os.kill(min(shared.processes()), signal.SIGKILL)
        assert learnt(session, range(4), shared) == first


def test_each_call_may_share_something_else(backend: Backend) -> None:
    with TaskSession(backend) as session:
        for shared in (100, 200, 100):
            assert sums(session, range(4), shared) == {task: task + shared for task in range(4)}


def test_an_error_leaves_the_session_usable(backend: Backend) -> None:
    def refuse(task: int, total: int) -> None:
        raise OSError("disk full")

    with TaskSession(backend) as session:
        with pytest.raises(OSError, match="disk full"):
            session.run(plus, range(9), 1, refuse)
        assert sums(session, [1, 2], 1) == {1: 2, 2: 3}


def test_no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends the session."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), TaskSession(Backend(workers=2)) as session:
        sums(session, [1, 2], 1)
        assert list(tmp_path.glob("microtune-tasks-*/*"))
        raise KeyboardInterrupt
    assert not list(tmp_path.glob("microtune-tasks-*"))


@pytest.mark.cluster
def test_a_scheduler_lost_between_two_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr("microtune.parallel.clusters._PATIENCE_S", 5)
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0",
        silence_logs="CRITICAL",
    )  # fmt: skip
    with cluster, TaskSession(Backend("dask", cluster.scheduler_address)) as session:
        assert sums(session, [1], 1) == {1: 2}
        cluster.close()
        with pytest.raises(MicrotuneError, match="the Dask scheduler has gone"):
            sums(session, [1], 1)
