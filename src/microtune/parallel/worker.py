"""What runs inside a worker of any backend: check it, load shared data, run a task."""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

import microtune
from microtune.errors import MicrotuneError
from microtune.run.builds import code_version
from microtune.tools.toolchain import find_host_compiler

MAX_LOSSES = 3  # so many workers may die under one task


@dataclass(frozen=True)
class Needs:
    """The versions of code, libraries and compiler on which all workers must agree for equal
    bits."""

    code: str
    compiler: str
    numpy: str
    scipy: str

    @staticmethod
    def here() -> Needs:
        """The versions on this machine. Raises MicrotuneError if it has no C compiler."""
        return Needs(code_version(), find_host_compiler().version, *_libraries())


def _libraries() -> tuple[str, str]:
    """Versions of NumPy and SciPy."""
    import scipy

    return np.__version__, scipy.__version__


@dataclass(frozen=True)
class TaskOutcome:
    """The outcome of a task: its result, or the exception of the function and where it was
    raised."""

    value: object
    error: BaseException | None = None
    trace: str = ""

    def result(self) -> object:
        """The result of the task; raises the exception of its function, if it raised one.

        The exception's cause says where it was raised.
        """
        if self.error is not None:
            raise self.error from RuntimeError(f"in a worker:\n{self.trace}")
        return self.value


def attempt(
    function: Callable[[Any, Any], Any], task: object, key: str, read: Callable[[], bytes],
    needs: Needs | None,
) -> TaskOutcome:  # fmt: skip
    """Run one task in this process, and return its outcome.

    `key` names the shared data, `read` returns it (pickled) if this process has not loaded it yet.
    `needs` is None on the machine that asks.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # a core belongs to one task
    try:
        if needs is not None:
            check_worker(needs)
        return TaskOutcome(function(task, _shared(key, read)))
    except Exception as error:
        trace = f"{platform.node()}, process {os.getpid()}\n{traceback.format_exc()}"
        return TaskOutcome(None, _portable(error), trace)


@cache
def check_worker(needs: Needs) -> None:
    """Raise MicrotuneError, which names the node, if its code, libraries or compiler differ.

    The check is made once in a process.
    """
    node = f"node {platform.node()}"
    if code_version() != needs.code:
        raise MicrotuneError(
            f"{node} has other code of microtune ({code_version()[:8]}, version"
            f" {microtune.__version__}) than the machine that asks ({needs.code[:8]}):"
            " install the same version on all nodes"
        )
    asked = (needs.numpy, needs.scipy)
    for name, own, other in zip(("NumPy", "SciPy"), _libraries(), asked, strict=True):
        if own != other:
            raise MicrotuneError(
                f"{node} has {name} {own}, the machine that asks {other}: install the same version"
                " on all nodes"
            )
    try:
        compiler = find_host_compiler().version
    except MicrotuneError as error:
        raise MicrotuneError(f"{node}: {error}") from error
    if compiler != needs.compiler:
        raise MicrotuneError(
            f"{node} has the C compiler {compiler!r}, the machine that asks {needs.compiler!r}:"
            " use the same on all nodes (the same container image is the simplest)"
        )


_kept: tuple[str, object] | None = None
_loading = Lock()  # a Dask worker may have several threads


def pickled(shared: object) -> tuple[str, bytes]:
    """(a key made of the content, the pickled object)."""
    content = pickle.dumps(shared)
    return hashlib.sha256(content).hexdigest(), content


def _shared(key: str, read: Callable[[], bytes]) -> object:
    """The shared data of a key, loaded once in a process; only the latest is kept."""
    global _kept
    with _loading:
        if _kept is None or _kept[0] != key:
            _kept = None  # the memory of the former first
            _kept = key, pickle.loads(read())
        return _kept[1]


def _portable(error: Exception) -> Exception:
    """The exception if it can be pickled, otherwise one with its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return MicrotuneError(f"{type(error).__name__}: {error}")
    return error


def given_up(task: object) -> MicrotuneError:
    """The error of a task whose workers died too often."""
    return MicrotuneError(
        f"{MAX_LOSSES} or more workers died while they ran the task {task}; finished tasks are"
        " kept. Is there enough memory? Run it alone (--workers 1) to see why"
    )
