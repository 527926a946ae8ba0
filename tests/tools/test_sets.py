"""Kernels of other instruction sets are not compiled: under these flags their files are empty."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from microtune.runtime.files import PROJECT_INCLUDES, RUNTIME, RUNTIME_INCLUDES, kernel_sources
from microtune.targets import load_target
from microtune.tools.compilers import Compiler
from microtune.tools.sets import without_other_sets
from microtune.tools.toolchain import find_cross_gcc, find_host_gcc
from tests.projects import compile_project

FOLDERS = {Path("isa", name) for name in ("avx2", "dsp", "mve")}


def build(core: str) -> tuple[Compiler, list[str]]:
    """The compiler and its flags for a core or this machine."""
    if core.startswith("-"):
        return find_host_gcc(), core.split()
    target = load_target(core)
    return find_cross_gcc(target.architecture), [*target.gcc_flags, "-O1", "-ffreestanding"]


@pytest.mark.parametrize(("core", "taken"), [
    ("-O1", set()), ("-mavx2", {"avx2"}), ("-mavx2 -DMT_PORTABLE", set()),
    ("-mavx2 -DMT_DEBUG", set()),
    *(
        pytest.param(core, taken, marks=pytest.mark.chip)
        for core, taken in (
            ("cortex-m0plus", set()), ("cortex-m7", {"dsp"}), ("cortex-m55", {"mve"})
        )
    ),
    pytest.param("riscv32imc", set(), marks=pytest.mark.riscv),
])  # fmt: skip
def test_nothing_is_left_of_what_is_not_compiled(
    core: str, taken: set[str], tmp_path: Path
) -> None:
    gcc, flags = build(core)
    command, sources = [*gcc.command, *flags, *RUNTIME_INCLUDES], kernel_sources()
    kept = without_other_sets(command, RUNTIME, sources)
    assert {s.parent.name for s in kept if s.parent in FOLDERS} == taken
    left_out = [s for s in sources if s not in kept]
    assert {s.parent for s in left_out} == FOLDERS - {Path("isa", name) for name in taken}
    assert [s for s in sources if s.parent in FOLDERS or s in kept] == sources
    every = tmp_path / "all.c"
    every.write_text("".join(f'#include "{RUNTIME / source}"\n' for source in left_out))
    made = tmp_path / "all.o"
    subprocess.run([*command, "-c", str(every), "-o", str(made)], check=True, cwd=RUNTIME)
    nm = [gcc.command[0].replace("gcc", "nm"), str(made)]
    assert subprocess.run(nm, capture_output=True, text=True, check=True).stdout == ""


def test_a_prefixed_project_has_the_same_sets(tmp_path: Path) -> None:
    for prefix in ("", "faces_"):
        project = tmp_path / f"{prefix}p"
        compile_project(project, "head-only", prefix=prefix)
        sources = [path.relative_to(project) for path in sorted(project.glob("src/*/*.c"))]
        command = [*find_host_gcc().command, "-mavx2", *PROJECT_INCLUDES]
        kept = without_other_sets(command, project, sources)
        assert {s.parent.name for s in kept} == {"core", "portable", "avx2"}
        assert len(kept) < len(sources)
