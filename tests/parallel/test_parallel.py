"""The same results on every backend, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from microtune_studies.sources import Sources

from microtune.errors import MicrotuneError
from microtune.parallel.tasks import Backend, run_tasks
from microtune.parallel.worker import Needs, attempt, check_worker
from tests.conftest import ROOT
from tests.parallel.tasks import Shared, Task, learn, sleep
from tests.processes import gone

SEEDS = range(6)


@pytest.fixture(scope="module")
def serial(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """What one process learns, by seed."""
    shared = Shared(sources, tmp_path_factory.mktemp("serial"))
    learnt = collect([Task(seed) for seed in SEEDS], shared, Backend(workers=1))
    assert shared.processes() == {os.getpid()}
    assert shared.unpicklings() == 0
    return learnt


def collect(tasks: list[Task], shared: Shared, backend: Backend) -> dict[int, str]:
    """Hashes by seed; every task is reported once."""
    learnt: dict[int, str] = {}

    def keep(task: Task, learned: str) -> None:
        assert task.seed not in learnt
        learnt[task.seed] = learned

    run_tasks(learn, tasks, shared, backend, keep)
    return learnt


def test_a_killed_worker_changes_nothing(
    backend: Backend, sources: Sources, serial: dict[int, str], tmp_path: Path
) -> None:
    """And what is shared comes to each process once, not with each of more tasks than processes."""
    assert len(set(serial.values())) == len(SEEDS)
    shared = Shared(sources, tmp_path)
    tasks = [Task(seed, deaths=1 if seed == 2 else 0) for seed in SEEDS]
    assert collect(tasks, shared, backend) == serial
    assert len(list(tmp_path.glob("died-*"))) == 1
    processes = shared.processes()
    assert os.getpid() not in processes
    assert shared.unpicklings() == len(processes)


def test_a_task_that_kills_every_worker_is_named(
    backend: Backend, sources: Sources, serial: dict[int, str], tmp_path: Path
) -> None:
    """The error comes after three deaths (Dask: its scheduler counts to four, and now and then a
    worker that died before the task began with it); nobody else is blamed, and what had been
    finished was given to on_done."""
    learnt: dict[int, str] = {}
    tasks = [Task(seed, deaths=99 if seed == 1 else 0) for seed in SEEDS]
    shared, message = Shared(sources, tmp_path), r"died while they ran the task Task\(seed=1"
    with pytest.raises(MicrotuneError, match=message):
        run_tasks(learn, tasks, shared, backend, lambda t, r: learnt.update({t.seed: r}))
    deaths = len(list(tmp_path.glob("died-1-*")))
    assert deaths in ((3, 4) if backend.kind == "dask" else (3,))
    assert learnt.items() <= serial.items()


def test_an_exception_comes_home_as_it_was(
    backend: Backend, sources: Sources, tmp_path: Path
) -> None:
    tasks = [Task(seed, fails=seed == 0) for seed in SEEDS]
    with pytest.raises(KeyError) as caught:
        collect(tasks, Shared(sources, tmp_path), backend)
    assert caught.value.args == ("seed", 0)
    assert "in learn" in str(caught.value.__cause__)


def test_ctrl_c_leaves_no_process_and_keeps_what_is_finished() -> None:
    """As a terminal does it: the signal goes to the whole group."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.parallel.tasks"], cwd=ROOT, start_new_session=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        workers = {int(process.stdout.readline()) for _ in range(6)}
        os.killpg(process.pid, signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert process.pid not in workers
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert len(rest.splitlines()) < 10  # of a thousand
    assert gone(process.pid, 5.0)


def test_an_error_of_on_done_stops_all(tmp_path: Path) -> None:
    """A full disk, for example; the next search has workers again."""

    def refuse(task: int, process: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_tasks(sleep, range(100), 0.1, Backend(workers=2), refuse)
    seen: list[int] = []
    run_tasks(sleep, range(3), 0.0, Backend(workers=2), lambda task, process: seen.append(task))
    assert sorted(seen) == [0, 1, 2]


def test_a_node_that_differs_is_named() -> None:
    here = Needs.here()
    check_worker(here)
    for other, message in (
        (replace(here, code="0123456789"), "has other code of microtune"),
        (replace(here, numpy="1.0"), f"has NumPy {here.numpy}, the machine that asks 1.0"),
        (replace(here, scipy="1.1"), f"has SciPy {here.scipy}, the machine that asks 1.1"),
        (replace(here, compiler="cc 1.0"), "has the C compiler .*'cc 1.0'"),
    ):
        with pytest.raises(MicrotuneError, match=rf"node \S+ {message}"):
            check_worker(other)


def test_an_exception_that_cannot_travel_comes_as_text() -> None:
    class LocalError(Exception):
        pass

    def fail(task: int, shared: None) -> None:
        raise LocalError(f"task {task}")

    outcome = attempt(fail, 5, "key", lambda: b"\x80\x04N.", None)
    with pytest.raises(MicrotuneError, match="LocalError: task 5"):
        outcome.result()


def test_backends_of_the_command_line() -> None:
    assert Backend.parse("ray", "auto", 3) == Backend("ray", "auto", 3)
    assert Backend.parse("local") == Backend()
    for kind, address, workers, message in (
        ("spark", None, None, "--backend spark: there are local, ray, dask"),
        ("local", "host:1", None, "--address host:1 is for a cluster"),
        ("dask", None, None, "--backend dask needs --address"),
        ("local", None, 0, "--workers 0: at least 1"),
    ):
        with pytest.raises(MicrotuneError, match=message):
            Backend.parse(kind, address, workers)


@pytest.mark.cluster
def test_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microtune.parallel.clusters._PATIENCE_S", 1)
    for kind, address in (("Dask", "tcp://127.0.0.1:9"), ("Ray", "127.0.0.1:9")):
        backend = Backend.parse(kind.lower(), address)
        with pytest.raises(
            MicrotuneError, match=f"no {kind} cluster answers at --address {address}"
        ):
            run_tasks(sleep, [1], 0.0, backend, lambda t, r: None)
