"""Tasks on an existing Ray or Dask cluster, each through its own client.

joblib's adapters would be less code, but can lose a run. Ray's adapter does not return results as
they arrive and fails for good when one of its actors dies. Dask's waits for ever for a task that is
given up. docs/cluster.md has the measurements.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import microtune
from microtune.errors import MicrotuneError
from microtune.parallel.dispatch import Function
from microtune.parallel.worker import MAX_LOSSES, Needs, TaskOutcome, attempt, pickled

_PATIENCE_S = 60  # for the first worker of a cluster
_KNOCK_S = 10.0  # for an answer from the head node
_LOOK_AGAIN_S = 10.0  # for workers that have joined


def _missing(package: str) -> MicrotuneError:
    return MicrotuneError(f"--backend {package} needs {package}: pip install 'microtune[cluster]'")


def _unreachable(kind: str, address: str, error: Exception) -> MicrotuneError:
    return MicrotuneError(f"no {kind} cluster answers at --address {address}: {error}")


def _check_reachable(address: str) -> None:
    """Raise MicrotuneError if nobody listens at the address, for which Ray would wait minutes.

    `auto` and ray:// addresses are left to Ray.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), _KNOCK_S).close()
        except OSError as error:
            raise _unreachable("Ray", address, error) from error


def _not_begun(kind: str, error: BaseException) -> MicrotuneError:
    """The error of a task that its worker could not even read; the function never ran."""
    return MicrotuneError(
        f"a worker of the {kind} cluster cannot begin a task: {error}\nEvery node needs microtune"
        f" {microtune.__version__} with the extra `cluster` in the Python that runs its workers"
    )


class RayCluster:
    """A connection to a Ray cluster; one Ray task for each task.

    Shared data lies in the object store of each node once and is loaded by each worker process
    once.
    """

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise _missing("ray") from error
        self._ray, self._needs = ray, Needs.here()
        self._owner = not ray.is_initialized()
        if self._owner:
            _check_reachable(address)
            try:
                ray.init(address=address, log_to_driver=False, logging_level="error")
            except (OSError, RuntimeError, ValueError) as error:
                raise _unreachable("Ray", address, error) from error
        # No retries of Ray's own: it would not count them for us.
        self._call = ray.remote(num_cpus=1, max_retries=0)(_ray_task)
        self._shared: dict[str, list[Any]] = {}

    def slots(self) -> int:
        """The number of CPUs of all living nodes."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    def share(self, shared: object) -> str:
        """Put data into the object store, where it stays until `close`; its key."""
        key, content = pickled(shared)
        if key not in self._shared:
            # A list hides the reference, or Ray would bring the content with every task.
            self._shared[key] = [self._ray.put(content)]
        return key

    def submit(self, function: Function, task: object, key: str) -> object:
        """Start a task; the ticket is a Ray object reference."""
        return self._call.remote(function, task, key, self._shared[key], self._needs)

    def finished(self, tickets: Iterable[Any]) -> list[tuple[Any, TaskOutcome | int]]:
        """Wait until a task ends, and return the results of all that have ended."""
        ready, _ = self._ray.wait(list(tickets), num_returns=1, timeout=_LOOK_AGAIN_S)
        return [(ticket, self._outcome(ticket)) for ticket in ready]

    def _outcome(self, ticket: object) -> TaskOutcome | int:
        errors = self._ray.exceptions
        try:
            outcome: TaskOutcome = self._ray.get(ticket)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            raise _not_begun("Ray", error) from error
        except errors.RayError:  # the process, its node or what it had made is gone
            return 1
        return outcome

    def cancel(self, tickets: Iterable[Any]) -> None:
        """End running tasks by ending their processes."""
        for ticket in tickets:
            self._ray.cancel(ticket, force=True)

    def close(self) -> None:
        """Release shared data, and end the connection if this object made it."""
        self._shared.clear()
        if self._owner:
            self._ray.shutdown()


def _ray_task(
    function: Function, task: object, key: str, shared: list[Any], needs: Needs
) -> TaskOutcome:
    def read() -> bytes:
        import ray

        content: bytes = ray.get(shared[0])
        return content

    return attempt(function, task, key, read, needs)


class DaskCluster:
    """A connection to a Dask cluster; one Dask future for each task.

    Shared data is a worker plugin: the scheduler gives it to every worker once, also to workers
    that join later.
    """

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise _missing("dask") from error
        self._dask, self._needs = distributed, Needs.here()
        try:
            self._client = distributed.Client(address, set_as_default=False, timeout=_PATIENCE_S)
        except (OSError, ValueError) as error:
            raise _unreachable("Dask", address, error) from error
        try:
            self._client.wait_for_workers(1, timeout=_PATIENCE_S)
        except TimeoutError as error:
            self._client.close()
            raise MicrotuneError(
                f"the Dask cluster at {address} has no worker after {_PATIENCE_S} s; start some"
                " (dask worker ADDRESS --nthreads 1)"
            ) from error
        # Another command may have the same content on this cluster, and take it back first.
        self._name = f"microtune-{uuid4().hex}"
        self._shared: set[str] = set()

    def slots(self) -> int:
        """The number of threads of all living workers."""
        with self._connected():
            return sum(self._client.nthreads().values())

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:  # of a wait
            raise
        except OSError as error:
            raise MicrotuneError(
                f"the Dask scheduler has gone ({error}); finished tasks are kept: start it again,"
                " then give the same command"
            ) from error

    def share(self, shared: object) -> str:
        """Register data as a plugin of each worker until `close`; its key."""
        digest, content = pickled(shared)
        key = f"{self._name}-{digest}"
        if key not in self._shared:
            with self._connected():
                self._client.register_plugin(_plugin(content), name=key)
            self._shared.add(key)
        return key

    def submit(self, function: Function, task: object, key: str) -> object:
        """Start a task; the ticket is a future. Dask itself restarts a task whose worker is
        lost."""
        name = f"{self._name}-{uuid4().hex}"
        with self._connected():
            return self._client.submit(
                _dask_task, function, task, key, self._needs, key=name, pure=False
            )

    def finished(self, tickets: Iterable[Any]) -> list[tuple[Any, TaskOutcome | int]]:
        """Wait until a task ends, and return the results of all that have ended."""
        try:
            with self._connected(), self._client.as_current():
                ended = self._dask.wait(list(tickets), _LOOK_AGAIN_S, "FIRST_COMPLETED").done
        except TimeoutError:
            return []
        return [(ticket, self._outcome(ticket)) for ticket in ended]

    def _outcome(self, ticket: object) -> TaskOutcome | int:
        try:
            with self._connected():
                outcome: TaskOutcome = self._client.gather([ticket])[0]
        except self._dask.scheduler.KilledWorker:  # Dask has tried as often as it may
            return MAX_LOSSES
        except CancelledError:
            return 1
        except MicrotuneError:
            raise
        except Exception as error:
            raise _not_begun("Dask", error) from error
        return outcome

    def cancel(self, tickets: Iterable[Any]) -> None:
        """Cancel waiting tasks; a running one cannot be ended and runs to its end."""
        with suppress(OSError):  # the error that ended it says so
            self._client.cancel(list(tickets), force=True)

    def close(self) -> None:
        """Remove the plugins and end the connection."""
        with suppress(OSError):
            for key in self._shared:
                self._client.unregister_worker_plugin(key)
        self._client.close()


def _plugin(content: bytes) -> object:
    from distributed import WorkerPlugin

    class Shared(WorkerPlugin):  # type: ignore[misc]
        def __init__(self) -> None:
            self.content = content

    return Shared()


def _dask_task(function: Function, task: object, key: str, needs: Needs) -> TaskOutcome:
    def read() -> bytes:
        from distributed import get_worker

        content: bytes = get_worker().plugins[key].content
        return content

    return attempt(function, task, key, read, needs)
