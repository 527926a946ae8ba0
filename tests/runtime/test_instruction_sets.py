"""Another instruction set: a folder of its own and a line in the list, nothing else.

`isa/example/` has one kernel, an add. It comes into a copy of the whole package. The project that
this copy compiles must hold it, build it, call it where it fits and learn the same bits.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import microtune
from microtune import embedded
from microtune.importers import load_any
from microtune.project.project import Project
from microtune.run.runners import HostRunner
from microtune.runtime.files import RUNTIME
from tests.projects import compile_project, hashes, load_train

LIST = "isa/mt_isa.h"
LAST = '#include "avx2/mt_isa_avx2.h"\n'
HEADER = """\
/* What some compiler says of some core: here -DHAS_EXAMPLE. */
#ifndef MT_ISA_EXAMPLE_H
#define MT_ISA_EXAMPLE_H

#if !defined(MT_ISA_NAME) && defined(HAS_EXAMPLE)
#define MT_ISA_NAME "example"
#define MT_ISA_EXAMPLE 1
#define MT_HAS_ADD MT_SOME
#else
#define MT_ISA_EXAMPLE 0
#endif

#endif
"""
KERNEL = """\
#include "mt_elementwise.h"
#include "mt_isa.h"
#include "mt_numerics.h"

#if MT_ISA_EXAMPLE
int32_t mt_add_fits(const mt_add_params *p) { return p->clamp_lo == -128 && p->clamp_hi == 127; }

void mt_add_isa(const mt_add_params *p, const mt_add_io *io) {
    const int64_t half = INT64_C(1) << (p->shift - 1);
    for (int32_t i = 0; i < p->count; i++) {
        const int64_t first = (int64_t)(io->x1[i] - p->x1_zero) * p->a1;
        const int64_t second = (int64_t)(io->x2[i] - p->x2_zero) * p->a2;
        const int64_t v = p->y_zero + ((first + second + half) >> p->shift);
        const uint32_t bit = 1u << (i & 7);
        if (io->mask != NULL) {
            const uint32_t others = (i & 7) == 0 ? 0 : io->mask[i >> 3];
            io->mask[i >> 3] = (uint8_t)(others | (v >= -128 && v <= 127 ? bit : 0));
        }
        io->y[i] = (int8_t)mt_clamp_int64(v, -128, 127);
    }
}
#endif
"""
FLAGS = ("-O1", "-DHAS_EXAMPLE", "-Wall", "-Wextra", "-Wconversion", "-Wundef", "-Werror")
STEPS = 6


@dataclass(frozen=True)
class Example:
    """What the copy of the package made of the embedded model, and the same without the set."""

    package: Path
    project: Path
    plain: Project
    plain_folder: Path


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    folder = tmp_path_factory.mktemp("example")
    package = folder / "src/microtune"
    shutil.copytree(Path(microtune.__file__).parent, package)
    isa = package / "runtime/isa"
    text = (package / "runtime" / LIST).read_text()
    assert text.count(LAST) == 1
    (package / "runtime" / LIST).write_text(
        text.replace(LAST, LAST + '#include "example/mt_isa_example.h"\n')
    )
    (isa / "example").mkdir()
    (isa / "example/mt_isa_example.h").write_text(HEADER)
    (isa / "example/mt_add_example.c").write_text(KERNEL)
    command = [sys.executable, "-m", "microtune", "compile", str(embedded.MODEL)]
    options = ["--classes", "5", "--scheme", "last-10", "-o", "project"]
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [*command, *options], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    plain = compile_project(folder / "plain", "last-10")
    return Example(package, folder / "project", plain, folder / "plain")


def changed_files(example: Example) -> Iterator[str]:
    """Files of the package's copy that differ from the package's, relative to it."""
    for file in sorted(example.package.rglob("*")):
        path = file.relative_to(example.package)
        ours = RUNTIME.parent / path
        if not file.is_file() or file.suffix == ".pyc":
            continue
        if not ours.is_file() or ours.read_bytes() != file.read_bytes():
            yield path.as_posix()


def learnt(example: Example, folder: Path, flags: tuple[str, ...]) -> tuple[str, str]:
    train = load_train(embedded.DATA, load_any(embedded.MODEL))
    return hashes(HostRunner(folder, 0, flags=flags), example.plain, train, STEPS)


def test_a_set_is_a_folder_and_a_line_of_the_list(example: Example) -> None:
    own = "runtime/isa/example/"
    assert [path for path in changed_files(example) if not path.startswith(own)] == [
        f"runtime/{LIST}"
    ]


def test_the_set_learns_the_bits_of_the_portable_kernels(example: Example) -> None:
    portable = learnt(example, example.plain_folder, ("-O1", "-DMT_PORTABLE"))
    assert learnt(example, example.project, FLAGS) == portable
    assert learnt(example, example.project, ("-O1", "-DMT_PORTABLE")) == portable


def test_its_kernel_is_the_one_that_is_called(example: Example, tmp_path: Path) -> None:
    """Wrong on purpose, it changes the bits where its flag is set and nowhere else."""
    wrong = tmp_path / "wrong"
    shutil.copytree(example.project, wrong)
    kernel = wrong / "src/example/mt_add_example.c"
    kernel.write_text(kernel.read_text().replace("p->y_zero + (", "p->y_zero + 1 + ("))
    portable = learnt(example, example.plain_folder, ("-O1", "-DMT_PORTABLE"))
    assert learnt(example, wrong, FLAGS) != portable
    assert learnt(example, wrong, ("-O1",)) == portable


def test_the_makefile_builds_it(example: Example) -> None:
    """Only the file of the set and the one that calls it need to be compiled for the answer."""
    objects = ["build/host/src/example/mt_add_example.o", "build/libmicrotune.a"]
    command = ["make", "-n", "CFLAGS=-DHAS_EXAMPLE", objects[1]]
    done = subprocess.run(command, cwd=example.project, capture_output=True, text=True, check=True)
    assert objects[0] in done.stdout
    command = ["make", "CFLAGS=-DHAS_EXAMPLE", objects[0]]
    subprocess.run(command, cwd=example.project, check=True, capture_output=True)
    names = subprocess.run(
        ["nm", "-g", objects[0]], cwd=example.project, capture_output=True, text=True, check=True
    ).stdout
    assert "mt_add_isa" in names
