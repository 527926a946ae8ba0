"""Programs of a toolchain: where they are, what version they have, and calling them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from microtune.errors import MicrotuneError


@dataclass(frozen=True)
class Compiler:
    """A C compiler: the command that calls it, and its version."""

    name: str
    command: tuple[str, ...]
    version: str


def find_program(name: str, advice: str) -> Compiler:
    """The program `name` on PATH with its version.

    Raises MicrotuneError with `advice` if there is none.
    """
    path = shutil.which(name)
    if path is None:
        raise MicrotuneError(f"{name} not found. {advice}")
    return Compiler(name, (path,), version_of((path,)))


@cache
def version_of(command: tuple[str, ...]) -> str:
    """The first line of the version that a program prints."""
    text = run_tool([*command, "--version"], "asking for the version").splitlines()
    return text[0].strip() if text else "unknown"


def run_tool(command: list[str], what: str, cwd: Path | None = None) -> str:
    """Run a program and return its output.

    Raises MicrotuneError with the program's messages if it fails; `what` says what was tried.
    """
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        message = (done.stderr or done.stdout).strip()
        raise MicrotuneError(f"{what} failed ({Path(command[0]).name}):\n{message[-4000:]}")
    return done.stdout
