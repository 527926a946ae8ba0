"""The folder that runs read, and real clusters of two workers on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from microtune.parallel.tasks import Backend
from tests.conftest import ROOT
from tests.studies.conftest import sources

__all__ = ["sources"]

# Ray's core has ended the process of a driver whose workers are killed, once in many runs. Such a
# test is run once more; one that fails is not.
CRASH = pytest.mark.flaky(reruns=1, only_rerun="the process of the test died")
BACKENDS = [
    pytest.param("local", id="local"),
    pytest.param("ray", id="ray", marks=[pytest.mark.cluster, CRASH]),
    pytest.param("dask", id="dask", marks=pytest.mark.cluster),
]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Two workers, on each backend in turn."""
    if request.param == "local":
        return Backend(workers=2)
    found: Backend = request.getfixturevalue(f"{request.param}_cluster")
    return found


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Backend]:
    """A head node with two CPUs in processes of its own."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: sockets lie in it
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        command = [
            str(Path(sys.executable).with_name("ray")), "start", "--head", "--block",
            "--node-ip-address=127.0.0.1", f"--port={address.split(':')[1]}", "--num-cpus=2",
            "--include-dashboard=false", f"--object-store-memory={80 << 20}",
            f"--temp-dir={folder}",
        ]  # fmt: skip
        head = subprocess.Popen(
            command, env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            assert head.stdout is not None
            for line in head.stdout:
                if "Ray runtime started" in line:
                    break
            yield Backend("ray", address, 2)
        finally:
            head.terminate()  # it ends the others; told all at once, it would wait for them
            with suppress(subprocess.TimeoutExpired):
                head.communicate(timeout=10)
            with suppress(ProcessLookupError):
                os.killpg(head.pid, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A scheduler in this process and two workers in processes of their own."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0",
        silence_logs="CRITICAL",
        local_directory=str(tmp_path_factory.mktemp("dask")),
    ) as cluster:  # fmt: skip
        yield Backend("dask", cluster.scheduler_address, 2)
