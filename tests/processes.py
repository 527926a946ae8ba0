"""The command in processes of its own: quickly started ones, and ones that tests interrupt."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# `microtune` that Ctrl-C ends: a shell gives its background jobs an ignored SIGINT.
INTERRUPTIBLE = [
    sys.executable, "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from microtune.cli import main; main()",
]  # fmt: skip

# pytest imports readline, which gives the children of this process the width of a terminal.
for _name in ("COLUMNS", "LINES"):
    if _name not in os.environ:
        os.unsetenv(_name)
# A process with everything imported, which forks one for each command: that takes a twentieth of
# the time of a new interpreter. It has no threads and has run nothing.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.processes", "microtune.cli", "ortools.sat.python.cp_model"])


def microtune(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command with arguments, in a process with this environment and folder."""
    words = list(map(str, arguments))
    with tempfile.TemporaryDirectory() as name:
        texts = [Path(name, stream) for stream in ("out", "err")]
        given = words, dict(os.environ), str(Path.cwd()), texts
        process = _SERVER.Process(target=_command, args=given)
        process.start()
        process.join()
        assert process.exitcode is not None
        out, err = (path.read_text() for path in texts)
    return subprocess.CompletedProcess(["microtune", *words], process.exitcode, out, err)


def _command(words: list[str], environment: dict[str, str], folder: str, texts: list[Path]) -> None:
    for number, path in enumerate(texts, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["microtune", *words]
    from microtune.cli import main

    main()


def gone(group: int, seconds: float) -> bool:
    """Whether no process of the group is left within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
