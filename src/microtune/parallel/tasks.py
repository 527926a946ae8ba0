"""Run independent tasks on the cores of this machine or on an existing Ray or Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeVar, get_args

from microtune.errors import MicrotuneError
from microtune.parallel.clusters import DaskCluster, RayCluster
from microtune.parallel.dispatch import Cluster, run_on_cluster
from microtune.parallel.local import LocalPool
from microtune.run.runners import cores

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")
BackendName = Literal["local", "ray", "dask"]


@dataclass(frozen=True)
class Backend:
    """Where tasks run: this machine or a cluster.

    `address` is that of a cluster. `workers` limits the tasks that run at a time; None: as many as
    there are cores. Raises MicrotuneError if these do not go together.
    """

    kind: BackendName = "local"
    address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise MicrotuneError(f"--workers {self.workers}: at least 1")
        if self.kind == "local" and self.address is not None:
            raise MicrotuneError(
                f"--address {self.address} is for a cluster: add --backend ray or --backend dask"
            )
        if self.kind == "dask" and self.address is None:
            raise MicrotuneError("--backend dask needs --address, as tcp://HOST:8786")

    @staticmethod
    def parse(kind: str, address: str | None = None, workers: int | None = None) -> Backend:
        """The backend of the options --backend, --address and --workers.

        A Ray cluster without an address is the one that this machine belongs to. Raises
        MicrotuneError.
        """
        for known in get_args(BackendName):
            if kind == known:
                return Backend(known, address, workers)
        raise MicrotuneError(f"--backend {kind}: there are {', '.join(get_args(BackendName))}")


class TaskSession:
    """Runs tasks on one backend, over several calls.

    The first call makes the connection. Shared data goes to each worker once. Used as a context
    manager, it releases everything at the end.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._pool: LocalPool | None = None
        self._cluster: Cluster | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.close()
        if self._cluster is not None:
            self._cluster.close()
        self._pool = self._cluster = None

    def run(
        self, function: Callable[[T, S], R], tasks: Sequence[T], shared: S,
        on_done: Callable[[T, R], None], say: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """Call function(task, shared) for every task, and on_done(task, result) here for each
        result.

        Tasks run in any order; results are handed over as soon as they arrive. `say` is called when
        a cluster has no workers. `function` must be at the top level of a module that workers can
        import. Tasks, results and `shared` are pickled; equal `shared` data travels to a worker
        process once, also over several calls. A task whose worker dies is restarted; the third
        death raises a MicrotuneError that names the task. An exception of `function`, and Ctrl-C,
        end all tasks and are raised as they are; results that on_done got are not lost.
        """
        if not tasks:
            return
        most = self._backend.workers
        if self._backend.kind != "local":
            self._cluster = self._cluster or _connect(self._backend)
            run_on_cluster(self._cluster, function, tasks, shared, most, on_done, say)
            return
        workers = min(most or cores(), len(tasks))
        if workers > 1:
            self._pool = self._pool or LocalPool()
            self._pool.run(function, tasks, shared, workers, on_done)
            return
        for task in tasks:
            on_done(task, function(task, shared))


def run_tasks(
    function: Callable[[T, S], R], tasks: Sequence[T], shared: S, backend: Backend,
    on_done: Callable[[T, R], None],
) -> None:  # fmt: skip
    """Run tasks on a backend once; a `Session` for a single call (`Session.run`)."""
    with TaskSession(backend) as session:
        session.run(function, tasks, shared, on_done)


def _connect(backend: Backend) -> Cluster:
    if backend.kind == "ray":
        return RayCluster(backend.address or "auto")
    return DaskCluster(backend.address or "")
