"""The command itself on a cluster that loses a worker: the same scheme file as without one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from microtune.ir.modelfile import save_model
from microtune.parallel.tasks import Backend
from tests.search.tiny import tiny_model, write_images

psutil = pytest.importorskip("psutil", reason="the cluster extra is not installed")
pytest.importorskip("ortools", reason="the selection needs ortools")
COMMAND = [sys.executable, "-m", "microtune", "search"]
_SECONDS = 120.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model and the images."""
    made = tmp_path_factory.mktemp("search")
    save_model(tiny_model(), made / "tiny.mt")
    write_images(made / "images.npz", 180)
    return made


@pytest.fixture(scope="module")
def serial(folder: Path) -> str:
    """The scheme file that one process writes."""
    with started(folder, "serial", "--workers", "1") as process:
        assert process.wait(_SECONDS) == 0
    return (folder / "serial" / "found.toml").read_text()


def started(folder: Path, name: str, *more: str) -> subprocess.Popen[bytes]:
    """A search with a cache of its own: what the estimate chooses is trained, 24 runs or more."""
    arguments = [
        "tiny.mt", "--data", "images.npz", "--fast", "--verify", "--lr", "0.02", "--epochs", "2",
        "--cache", f"{name}/cache", "-o", f"{name}/found.toml", *more,
    ]  # fmt: skip
    (folder / name).mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def busy_workers(backend: Backend) -> Iterator[int]:
    """Processes of the cluster that run something."""
    if backend.kind == "dask":
        from distributed import Client

        with Client(backend.address) as client:
            busy = [worker for worker, tasks in client.processing().items() if tasks]
            yield from client.run(os.getpid, workers=busy).values() if busy else ()
        return
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [""])[0].startswith("ray::_ray_task"):
            yield process.pid


@pytest.mark.cluster
@pytest.mark.parametrize("kind", ["ray", "dask"])
def test_a_search_on_a_cluster_that_loses_a_worker(
    kind: str, folder: Path, serial: str, request: pytest.FixtureRequest
) -> None:
    backend: Backend = request.getfixturevalue(f"{kind}_cluster")
    more = ("--backend", kind, "--address", str(backend.address))
    with started(folder, kind, *more) as process:
        end = time.monotonic() + _SECONDS
        while not (busy := list(busy_workers(backend))):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        os.kill(busy[0], signal.SIGKILL)
        assert process.wait(_SECONDS) == 0
    assert (folder / kind / "found.toml").read_text() == serial
    # Workers have another current folder than the command.
    assert list((folder / kind / "cache").glob("compiled-*"))
