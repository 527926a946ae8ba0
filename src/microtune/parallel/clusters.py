"""Tasks on an existing Ray or Dask cluster, each through its own client.

joblib's adapters would be less code, but lose the run: Ray's cannot return results as they come
and fails for good when one of its actors dies; Dask's waits for ever for a task that is given up.
docs/cluster.md has the measurements.
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
from microtune.parallel.worker import MAX_LOSSES, Needs, Outcome, attempt, pickled

_PATIENCE_S = 60  # for the first worker of a cluster
_KNOCK_S = 10.0  # for an answer from the head node
_LOOK_AGAIN_S = 10.0  # for workers that have joined


def _missing(package: str) -> MicrotuneError:
    return MicrotuneError(f"--backend {package} needs {package}: pip install 'microtune[cluster]'")


def _unreachable(kind: str, address: str, error: Exception) -> MicrotuneError:
    return MicrotuneError(f"no {kind} cluster answers at --address {address}: {error}")


def _knock(address: str) -> None:
    """Ray itself waits for minutes where nobody listens; `auto` and ray:// are left to it."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), _KNOCK_S).close()
        except OSError as error:
            raise _unreachable("Ray", address, error) from error


def _not_begun(kind: str, error: BaseException) -> MicrotuneError:
    """The function never ran: the worker could not even read the task."""
    return MicrotuneError(
        f"a worker of the {kind} cluster cannot begin a task: {error}\nEvery node needs microtune"
        f" {microtune.__version__} with the extra `cluster` in the Python that runs its workers"
    )


class RayCluster:
    """One Ray task per task. What is shared lies in the object store of each node once and is
    loaded by each worker process once."""

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise _missing("ray") from error
        self._ray, self._needs = ray, Needs.here()
        self._owner = not ray.is_initialized()
        if self._owner:
            _knock(address)
            try:
                ray.init(address=address, log_to_driver=False, logging_level="error")
            except (OSError, RuntimeError, ValueError) as error:
                raise _unreachable("Ray", address, error) from error
        # No retries of Ray's own: it would not count them for us.
        self._call = ray.remote(num_cpus=1, max_retries=0)(_ray_task)
        self._shared: dict[str, list[Any]] = {}

    def slots(self) -> int:
        """The CPUs of all living nodes."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    def share(self, shared: object) -> str:
        """Lies in the object store until `close`."""
        key, content = pickled(shared)
        if key not in self._shared:
            # A list hides the reference, or Ray would bring the content with every task.
            self._shared[key] = [self._ray.put(content)]
        return key

    def submit(self, function: Function, task: object, key: str) -> object:
        """An object reference."""
        return self._call.remote(function, task, key, self._shared[key], self._needs)

    def finished(self, tickets: Iterable[Any]) -> list[tuple[Any, Outcome | int]]:
        """Waits for the first."""
        ready, _ = self._ray.wait(list(tickets), num_returns=1, timeout=_LOOK_AGAIN_S)
        return [(ticket, self._outcome(ticket)) for ticket in ready]

    def _outcome(self, ticket: object) -> Outcome | int:
        errors = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(ticket)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            raise _not_begun("Ray", error) from error
        except errors.RayError:  # the process, its node or what it had made is gone
            return 1
        return outcome

    def cancel(self, tickets: Iterable[Any]) -> None:
        """Ends running tasks by ending their processes."""
        for ticket in tickets:
            self._ray.cancel(ticket, force=True)

    def close(self) -> None:
        """Drops what is shared; the connection ends where this object made it."""
        self._shared.clear()
        if self._owner:
            self._ray.shutdown()


def _ray_task(
    function: Function, task: object, key: str, shared: list[Any], needs: Needs
) -> Outcome:
    def read() -> bytes:
        import ray

        content: bytes = ray.get(shared[0])
        return content

    return attempt(function, task, key, read, needs)


class DaskCluster:
    """One Dask future per task. What is shared is a worker plugin: the scheduler gives it to every
    worker once, also to those that join later."""

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
        """The threads of all living workers."""
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
        """Is a plugin of each worker until `close`."""
        digest, content = pickled(shared)
        key = f"{self._name}-{digest}"
        if key not in self._shared:
            with self._connected():
                self._client.register_plugin(_plugin(content), name=key)
            self._shared.add(key)
        return key

    def submit(self, function: Function, task: object, key: str) -> object:
        """A future. Dask itself begins a task again whose worker is lost."""
        name = f"{self._name}-{uuid4().hex}"
        with self._connected():
            return self._client.submit(
                _dask_task, function, task, key, self._needs, key=name, pure=False
            )

    def finished(self, tickets: Iterable[Any]) -> list[tuple[Any, Outcome | int]]:
        """Waits for the first."""
        try:
            with self._connected(), self._client.as_current():
                ended = self._dask.wait(list(tickets), _LOOK_AGAIN_S, "FIRST_COMPLETED").done
        except TimeoutError:
            return []
        return [(ticket, self._outcome(ticket)) for ticket in ended]

    def _outcome(self, ticket: object) -> Outcome | int:
        try:
            with self._connected():
                outcome: Outcome = self._client.gather([ticket])[0]
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
        """Takes back what waits. A thread cannot be ended: a running task ends by itself."""
        with suppress(OSError):  # the error that ended it says so
            self._client.cancel(list(tickets), force=True)

    def close(self) -> None:
        """Takes the plugins back and ends the connection."""
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


def _dask_task(function: Function, task: object, key: str, needs: Needs) -> Outcome:
    def read() -> bytes:
        from distributed import get_worker

        content: bytes = get_worker().plugins[key].content
        return content

    return attempt(function, task, key, read, needs)
