"""Whatever goes wrong, on whatever path: one clear message, the right exit code, no traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from microtune import embedded
from microtune.cli import failures
from microtune.errors import MicrotuneError
from microtune.run.host import load_from_memory, load_library
from tests.processes import INTERRUPTIBLE, microtune

CLI = [sys.executable, "-m", "microtune"]
COMPILE = ["compile", os.fspath(embedded.MODEL), "--classes", "5", "--scheme", "head-only", "-o"]


def call(
    *arguments: str | bytes, cwd: Path, env: dict[str, str] | None = None,
    preexec_fn: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """microtune with arguments; what it says, with bytes that are no text escaped."""
    if env is None and preexec_fn is None:
        with contextlib.chdir(cwd):
            return microtune(*map(os.fsdecode, arguments))
    return subprocess.run(
        [*CLI, *arguments], capture_output=True, text=True, errors="backslashreplace",
        check=False, cwd=cwd, env=env, preexec_fn=preexec_fn,
    )  # fmt: skip


def refused(
    *arguments: str | bytes, cwd: Path, env: dict[str, str] | None = None,
    preexec_fn: Callable[[], None] | None = None,
) -> str:  # fmt: skip
    done = call(*arguments, cwd=cwd, env=env, preexec_fn=preexec_fn)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr and done.stderr.startswith("error: ")
    return done.stderr


@pytest.mark.parametrize(("error", "code", "words"), [
    (MicrotuneError("say [/] this"), 2, "say [/] this"),
    (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 2, "/a/b: No space left on device; "
     "make room"),
    (PermissionError(errno.EACCES, "Permission denied", b"/x\xff"), 2, "Permission denied; you"),
    (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), 2, "set TMPDIR"),
    (OSError(errno.EXDEV, "Invalid cross-device link", "/a", None, "/b"), 2, "/a -> /b: Invalid"),
    (OSError("no number"), 2, "no number"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), 2, "not in the encoding"),
    (MemoryError(), 2, "not enough memory"),
    (KeyError("x"), 1, "internal error: KeyError: 'x'"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (SystemExit(130), 130, "interrupted"),
    (SystemExit(3), 3, ""),
    (BrokenPipeError(), 1, ""),
])  # fmt: skip
def test_every_failure_has_its_message_and_code(
    error: BaseException, code: int, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    assert failures.run(command) == code
    said = " ".join(capfd.readouterr().err.split())
    assert words in said and (words or not said)
    assert "Traceback" not in said


def test_the_traceback_is_shown_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def command() -> None:
        raise KeyError("x")

    monkeypatch.setenv(failures.TRACEBACK, "1")
    with pytest.raises(KeyError):
        failures.run(command)


NAMES = [b"with space", b"two\nlines", b"latin-\xe9", b"-o", b"[bold]x", b"a" * 250, "ä…".encode()]


@pytest.mark.parametrize("name", NAMES, ids=["space", "newline", "bytes", "dash", "markup", "long",
                                             "utf8"])  # fmt: skip
def test_a_folder_may_have_any_name(tmp_path: Path, name: bytes) -> None:
    """Compiled, trained, drawn; nothing is left beside it."""
    done = call(*COMPILE, name, cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert [os.fsencode(p.name) for p in tmp_path.iterdir()] == [name]
    inside = b"./" + name
    done = call("train", inside, "--data", os.fspath(embedded.DATA), "--steps", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = call("plan", inside, "-o", inside + b"/map.svg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for place, words in (
        ("file", "not a microtune project"), ("file/x", "Not a directory"),
        ("link", "is a symbolic link to"), ("circle", "symbolic link"), ("a" * 256, "too long"),
        ("/proc/p", "cannot write"), ("/dev/null", "not a microtune project"),
        ("/dev/null/p", "cannot write"),
    ):  # fmt: skip
        assert words in refused(*COMPILE, place, cwd=tmp_path), place
    assert sorted(p.name for p in tmp_path.iterdir()) == ["circle", "file", "link"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_leaves_the_old_project(tmp_path: Path) -> None:
    """Files may not grow beyond some bytes: the error that a full disk gives, at any depth."""
    assert call(*COMPILE, "p", cwd=tmp_path).returncode == 0
    files = {p: p.read_bytes() for p in (tmp_path / "p").rglob("*") if p.is_file()}

    def limit(size: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    again = [*COMPILE[:-3], "--scheme", "last-3", "-o", "p"]
    for size in (100, 9_000, 60_000):
        message = refused(*again, cwd=tmp_path, preexec_fn=limit(size), env=environment)
        assert "cannot write p" in message and "too large" in message
        assert files == {p: p.read_bytes() for p in (tmp_path / "p").rglob("*") if p.is_file()}


def test_without_home_and_temporary_folder(tmp_path: Path) -> None:
    bare = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    assert call(*COMPILE, "p", cwd=tmp_path, env=bare).returncode == 0
    train = ("train", "p", "--data", os.fspath(embedded.DATA), "--steps", "2")
    for home in ("/dev/null", "/proc", ""):
        done = call(*train, cwd=tmp_path, env=bare | {"HOME": home})
        assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p"]


def test_a_library_is_loaded_where_programs_may_not_run(tmp_path: Path) -> None:
    """Through memory; two libraries are not taken for one another."""
    found = []
    for number in (1, 2):
        source, library = tmp_path / f"{number}.c", tmp_path / f"{number}.so"
        source.write_text(f"int number(void) {{ return {number}; }}")
        subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library], check=True)
        found.append(load_from_memory(library))
    assert [library.number() for library in found] == [1, 2]
    (tmp_path / "none.so").write_bytes(b"no library")
    with pytest.raises(MicrotuneError, match="set TMPDIR"):
        load_library(tmp_path / "none.so")


def test_a_temporary_folder_without_programs_will_do(tmp_path: Path) -> None:
    place = tmp_path / "noexec"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "noexec,size=32m", "tmpfs", os.fspath(place)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("may not mount a file system here")
    try:
        assert call(*COMPILE, "p", cwd=tmp_path).returncode == 0
        train = ("train", "p", "--data", os.fspath(embedded.DATA), "--steps", "2")
        done = call(*train, cwd=tmp_path, env=os.environ | {"TMPDIR": os.fspath(place)})
        assert done.returncode == 0, done.stderr
    finally:
        subprocess.run(["umount", place], check=True)


def test_ctrl_c_and_a_closed_pipe_are_quiet(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{' '.join(CLI)} inspect {embedded.MODEL} --classes 0 | true", shell=True,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr and "Broken" not in done.stderr
    assert call(*COMPILE, "p", cwd=tmp_path).returncode == 0
    process = subprocess.Popen(
        [*INTERRUPTIBLE, "train", "p", "--data", os.fspath(embedded.DATA), "--epochs", "9999"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_streams_that_the_shell_has_closed_swallow_what_is_printed(
    tmp_path: Path, closed: tuple[int, ...]
) -> None:
    """And no file of ours gets their numbers, and then the printed text."""

    def close() -> None:
        for number in closed:
            os.close(number)

    done = call("convert", os.fspath(embedded.MODEL), "-o", "m.mt", cwd=tmp_path, preexec_fn=close)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert (tmp_path / "m.mt").read_bytes() == embedded.MODEL.read_bytes()
    done = call("convert", "absent", "-o", "n.mt", cwd=tmp_path, preexec_fn=close)
    assert done.returncode == 2 and [p.name for p in tmp_path.iterdir()] == ["m.mt"]


def test_ctrl_c_before_the_first_step_offers_no_state_of_an_earlier_run(tmp_path: Path) -> None:
    assert call(*COMPILE, "p", cwd=tmp_path).returncode == 0
    (tmp_path / "bin").mkdir()
    (tmp_path / "s").write_bytes(b"an earlier run")
    for name in ("cc", "gcc"):
        compiler = tmp_path / "bin" / name
        compiler.write_text("#!/bin/sh\nkill -INT $PPID\nsleep 1\nexit 1\n")
        compiler.chmod(0o755)
    place = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "XDG_CACHE_HOME": f"{tmp_path}/c"}
    train = ["train", "p", "--data", os.fspath(embedded.DATA), "--save", "s"]
    done = subprocess.run(
        [*INTERRUPTIBLE, *train], cwd=tmp_path, env=os.environ | place, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 130 and "interrupted" in done.stderr, done
    assert "--load" not in done.stderr and (tmp_path / "s").read_bytes() == b"an earlier run"


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_import_that_a_signal_breaks_is_an_interruption(number: str, code: int) -> None:
    """An extension module makes an ImportError of whatever is raised while it loads."""
    program = f"""
import os, signal, sys
from microtune.cli import failures

def load():
    try:
        os.kill(os.getpid(), signal.{number})
    except BaseException as error:
        raise ImportError("initialization failed") from error

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(failures.run(load))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, "interrupted\n")
