"""The README's C program: whole, without a warning, and it learns."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from microtune.run.host import build_library
from microtune.tools.flags import PLAIN_NAMES
from tests.docs.conftest import readme_program, write_samples
from tests.projects import compile_project

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic"]
COMPILERS = {
    "gcc": ["gcc", "-std=c99", "-O2"],
    "clang": [sys.executable, "-m", "ziglang", "cc", "-std=c99", "-O2"],
    "c++": ["g++", "-x", "c++", "-std=c++17", "-O2"],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme") / "tops"
    compile_project(folder, "last-13")
    (folder.parent / "learn.c").write_text(readme_program(), encoding="utf-8")
    build_library(folder, folder.parent / "libmicrotune.so")
    return folder


def build(project: Path, compiler: list[str]) -> Path:
    """The program, beside the project, with the library."""
    place = project.parent
    include = [f"-I{project / room}" for room in ("include", "model")]
    command = [
        *compiler,
        *WARNINGS,
        PLAIN_NAMES,
        *include,
        "learn.c",
        "-x",
        "none",
        "libmicrotune.so",
    ]
    done = subprocess.run(
        [*command, f"-Wl,-rpath,{place}", "-o", "learn"],
        cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return place / "learn"


@pytest.mark.parametrize("name", COMPILERS)
def test_it_compiles_without_a_warning(project: Path, name: str) -> None:
    if shutil.which(COMPILERS[name][0]) is None:
        pytest.skip(f"{COMPILERS[name][0]} is not installed")
    build(project, COMPILERS[name])


def test_it_learns(project: Path) -> None:
    program = build(project, COMPILERS["gcc"])
    count = write_samples(project.parent / "samples.bin")
    with (project.parent / "samples.bin").open("rb") as samples:
        done = subprocess.run([program], stdin=samples, capture_output=True, text=True, check=True)
    right = [int(n) for n in re.findall(r"right in the last 500: (\d+)", done.stdout)]
    assert len(right) == count // 500
    assert right[-1] > right[0] + 50
    assert right[-1] > 500 * 0.6


def test_it_ends_with_the_status_when_no_rate_is_set(project: Path) -> None:
    """The statuses are looked at: what the program leaves out, it says."""
    text = readme_program()
    forgetful = re.sub(
        r"    if \(status == MT_OK\) \{\n.*mt_set_learning_rate.*\n    \}\n", "", text
    )
    assert forgetful != text
    (project.parent / "learn.c").write_text(forgetful, encoding="utf-8")
    program = build(project, COMPILERS["gcc"])
    write_samples(project.parent / "samples.bin")
    with (project.parent / "samples.bin").open("rb") as samples:
        done = subprocess.run([program], stdin=samples, capture_output=True, text=True, check=False)
    (project.parent / "learn.c").write_text(text, encoding="utf-8")
    assert (done.returncode, done.stdout) == (8, "")
