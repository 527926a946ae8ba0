"""Run a firmware in QEMU: exit code, console, and exact instruction counts."""

import hashlib
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from microtune.errors import MicrotuneError
from microtune.run.debug import OVERFLOW_EXIT_CODE, MacCounts, reported_overflow
from microtune.run.job import RESULT_NAME
from microtune.targets import ARM, Architecture, Target
from microtune.tools.cache import STAGING, required_cache_folder, touch
from microtune.tools.compilers import Compiler, find_program, run_tool
from microtune.tools.toolchain import find_host_compiler, install_advice

FAULT_EXIT_CODE = 99
_PLUGIN_SOURCE = Path(__file__).parent / "plugin" / "insncount.c"
_MARKS_NAME = "marks.txt"
MAP_NAME, PROFILE_NAME = "map.txt", "profile.txt"
_STEP = re.compile(r"step (\d+)/(\d+)\s*")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Mark:
    """A point that the firmware reached: its name, and the instructions executed since reset."""

    name: str
    instructions: int


@dataclass(frozen=True)
class EmulatorRun:
    """The end of a run: exit code, console and marks.

    `stdout` is the console without progress lines. `macs` are the counts of a debug build, one for
    each train or infer call.
    """

    exit_code: int
    stdout: str
    marks: tuple[Mark, ...]
    macs: tuple[MacCounts, ...] = ()

    @property
    def call_instructions(self) -> tuple[int, ...]:
        """Instructions of each train or infer call, from entry to return."""
        begins = [m.instructions for m in self.marks if m.name == "mt_mark_begin"]
        ends = [m.instructions for m in self.marks if m.name == "mt_mark_end"]
        # The branch into the call stands at the begin mark and is not part of the call. A run
        # that faulted inside a call has a begin mark without an end.
        return tuple(end - begin - 1 for begin, end in zip(begins, ends, strict=False))

    def require_success(self) -> None:
        """Raise MicrotuneError unless the firmware ended with exit code 0."""
        if self.exit_code == 0:
            return
        if self.exit_code == OVERFLOW_EXIT_CODE:
            raise reported_overflow(self.stdout)
        what = "stopped by a memory fault" if self.exit_code == FAULT_EXIT_CODE else "failed"
        raise MicrotuneError(
            f"the firmware {what} (exit code {self.exit_code}): {self.stdout.strip()[-500:]}"
        )


@cache
def find_qemu() -> Compiler:
    """The emulator of Cortex-M. Raises MicrotuneError, which says what to install, if it is
    missing."""
    return find_emulator(ARM)


def find_emulator(architecture: Architecture) -> Compiler:
    """The emulator of an architecture.

    Raises MicrotuneError, which says what to install, if it is missing.
    """
    return find_program(architecture.emulator, install_advice(architecture.emulator_package))


@cache
def build_plugin(architecture: Architecture) -> Path:
    """The counting plugin, compiled for the installed QEMU into the cache folder.

    Raises MicrotuneError if it cannot be compiled.
    """
    compiler = find_host_compiler()
    api = plugin_api(find_emulator(architecture).version)
    sources = [path.read_bytes() for path in sorted(_PLUGIN_SOURCE.parent.glob("*.[ch]"))]
    key = hashlib.sha256(b"|".join([*sources, str(api).encode(), compiler.version.encode()]))
    folder = required_cache_folder()
    plugin = folder / f"insncount-{key.hexdigest()[:16]}.so"
    if plugin.exists():
        touch(plugin)
        return plugin
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=STAGING, dir=folder) as name:
            built = Path(name) / "insncount.so"
            flags = ["-std=c99", "-O2", "-shared", "-fPIC", f"-DPLUGIN_API={api}"]
            command = [*compiler.command, *flags, str(_PLUGIN_SOURCE), "-o", str(built)]
            run_tool(command, "compiling the counting plugin")
            built.replace(plugin)
    except OSError as error:
        raise MicrotuneError(
            f"{folder}: the counting plugin cannot be stored ({error}). Set MICROTUNE_CACHE to a"
            " writable folder."
        ) from error
    return plugin


def plugin_api(version: str) -> int:
    """The version of the plugin interface of a QEMU version.

    QEMU 9 replaced its shared counters by one for each CPU.
    """
    found = re.search(r"version (\d+)", version)
    if found is None:
        raise MicrotuneError(f"cannot read the version of QEMU from '{version}'")
    return 4 if int(found.group(1)) >= 9 else 1


def run_firmware(
    elf: Path,
    target: Target,
    workdir: Path,
    plugin: bool = False,
    on_progress: Progress | None = None,
    *,
    timeout_seconds: float = 3600.0,
    profile: bool = False,
) -> EmulatorRun:
    """Run `elf` in QEMU with `workdir` as the folder of `job.bin` and `result.bin`.

    With `plugin` the marks carry exact instruction counts; with `profile` too it reads
    `workdir / MAP_NAME` and writes `workdir / PROFILE_NAME` (plugin/insncount.c says what).
    `on_progress(done, total)` is called for each record. A run longer than `timeout_seconds` is
    killed and a MicrotuneError; Ctrl-C kills the emulator too. A target without an emulator is a
    MicrotuneError.
    """
    if target.machine is None:
        raise MicrotuneError(
            f"no emulator knows '{target.name}': build its firmware for a board, or run the"
            " project with --target of an emulated core"
        )
    command = [*find_emulator(target.architecture).command, "-M", target.machine]
    command += target.emulator_arguments
    command += ["-display", "none", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(elf.resolve())]
    marks = workdir / _MARKS_NAME
    # What an earlier run left must not pass for this run's.
    for stale in (marks, workdir / RESULT_NAME):
        stale.unlink(missing_ok=True)
    if plugin:
        path = str(build_plugin(target.architecture)).replace(",", ",,")
        files = f",map={MAP_NAME},profile={PROFILE_NAME}" if profile else ""
        command += ["-plugin", f"{path},out={_MARKS_NAME}{files}"]
    exit_code, lines = _run(command, workdir, on_progress, timeout_seconds)
    counts = [MacCounts.parse(line) for line in lines]
    console = "".join(line for line, count in zip(lines, counts, strict=True) if count is None)
    return EmulatorRun(
        exit_code, console, _read_marks(marks) if marks.exists() else (),
        tuple(count for count in counts if count is not None),
    )  # fmt: skip


def _run(
    command: list[str], workdir: Path, on_progress: Progress | None, timeout_seconds: float
) -> tuple[int, list[str]]:
    console: list[str] = []
    expired = threading.Event()
    with subprocess.Popen(
        command,
        cwd=workdir,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:

        def expire() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(timeout_seconds, expire)
        timer.start()
        try:
            for line in process.stdout or ():
                step = _STEP.fullmatch(line)
                if step is None:
                    console.append(line)
                elif on_progress is not None:
                    on_progress(int(step.group(1)), int(step.group(2)))
            process.wait()
        finally:
            timer.cancel()
            process.kill()  # does nothing to a process that has ended by itself
    if expired.is_set():
        raise MicrotuneError(f"the emulator was stopped after {timeout_seconds:g} seconds")
    return process.returncode, console


def _read_marks(path: Path) -> tuple[Mark, ...]:
    marks = []
    for line in path.read_text(encoding="ascii").splitlines():
        name, count = line.split()
        marks.append(Mark(name, int(count)))
    return tuple(marks)
