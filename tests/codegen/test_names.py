"""Names of the C: two networks in one firmware, and objects that never answer for others."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from microtune import embedded
from microtune.codegen.names import check_prefix
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.measure.measure import measure
from microtune.project.project import Project
from microtune.run.host import HostLibrary, library_sources
from microtune.run.runners import HostRunner, QemuRunner
from microtune.runtime.facts import SAVE_HEADER_BYTES
from microtune.runtime.files import PROJECT_INCLUDES
from microtune.tools.sets import without_other_sets
from microtune.tools.toolchain import find_arm_gcc
from tests.projects import compile_project, hashes, load_train

STEPS = 5
RATE = 0.02
NETWORKS = {"faces_": "last-3", "hands": "head-only"}
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wundef", "-Werror")

# Trains both networks, step by step in turn, and prints their parameters.
MAIN = """
#include <stdio.h>
#include "faces_microtune.h"
#include "faces_microtune_model.h"
#include "handsmicrotune.h"
#include "handsmicrotune_model.h"
#define NETWORK(P) \\
    static uint64_t P##context[(P##MT_CONTEXT_BYTES + 7) / 8]; \\
    static uint64_t P##arena[(P##MT_ARENA_BYTES_0 + 7) / 8]; \\
    static P##mt_context *P##net; \\
    static int P##begin(void) { \\
        P##mt_memory c = {P##context, sizeof P##context}, a = {P##arena, sizeof P##arena}; \\
        return P##mt_init(c, &a, 1, 0, &P##net) == P##MT_OK && \\
               P##mt_set_learning_rate(P##net, RATEf) == P##MT_OK; \\
    } \\
    static int P##step(unsigned n) { \\
        P##mt_result result; \\
        int8_t *to = P##mt_input(P##net); \\
        for (unsigned i = 0; i < P##MT_INPUT_BYTES; i++) to[i] = (int8_t)(i * (n + 3u)); \\
        return P##mt_train_class(P##net, n % P##MT_CLASSES, &result) == P##MT_OK; \\
    } \\
    static void P##print(void) { \\
        size_t bytes; \\
        const uint8_t *from = P##mt_parameters(P##net, &bytes); \\
        for (size_t i = 0; i < bytes; i++) printf("%02x", (unsigned)from[i]); \\
        printf("\\n"); \\
    }
NETWORK(faces_)
NETWORK(hands)
int main(void) {
    if (!faces_begin() || !handsbegin()) return 1;
    for (unsigned n = 0; n < STEPS; n++) if (!faces_step(n) || !handsstep(n)) return 2;
    faces_print();
    handsprint();
    return 0;
}
""".replace("RATE", str(RATE)).replace("STEPS", f"{STEPS}u")


def run(command: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )


def archive(project: Path) -> Path:
    """The project's library, built as somebody else's build would; made once."""
    library = project / "other/library.a"
    if not library.is_file():
        library.parent.mkdir()
        gcc = ["gcc", "-O0", *includes_of(project)]
        sources = without_other_sets(gcc, project, list(map(Path, library_sources(project))))
        done = run([*gcc, "-c", *(project / source for source in sources)], library.parent)
        assert done.returncode == 0, done.stderr
        run(["ar", "rcs", library, *sorted(library.parent.glob("*.o"))], library.parent)
    return library


def includes_of(project: Path) -> list[str]:
    return [f"-I{project / flag.removeprefix('-I')}" for flag in PROJECT_INCLUDES]


def external(project: Path, compiler: str, flags: Sequence[str], folder: Path) -> set[str]:
    """What the project's library defines for others, compiled in one unit: that is quick, and the
    names do not depend on it."""
    sources = [project / name for name in library_sources(project)]
    (folder / "all.c").write_text("".join(f'#include "{path}"\n' for path in sources))
    done = run([compiler, *flags, *includes_of(project), "-c", "all.c", "-o", "all.o"], folder)
    assert done.returncode == 0, done.stderr
    nm = compiler.replace("gcc", "nm")
    listed = run([nm, "-g", "--defined-only", "all.o"], folder).stdout
    return set(re.findall(r"^[0-9a-f]+ \w (\w+)$", listed, re.MULTILINE))


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Project]]:
    """Two networks, each with a prefix of its own."""
    folder, found = tmp_path_factory.mktemp("prefixed"), {}
    for prefix, scheme in NETWORKS.items():
        project = compile_project(folder / prefix, scheme, prefix=prefix)
        found[prefix] = folder / prefix, project
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same networks without."""
    folders = [tmp_path_factory.mktemp("plain") / scheme for scheme in NETWORKS.values()]
    for folder, scheme in zip(folders, NETWORKS.values(), strict=True):
        compile_project(folder, scheme)
    return folders


def test_two_networks_in_one_file_of_c_and_cpp_train_as_each_alone(
    prefixed: dict[str, tuple[Path, Project]], plain: list[Path], tmp_path: Path
) -> None:
    expected = []
    for folder in plain:
        alone = HostLibrary(folder, flags=("-O1",))
        alone.set_learning_rate(RATE)
        for n in range(STEPS):
            frame = (np.arange(28 * 28) * (n + 3)).astype(np.uint8).view(np.int8)
            alone.train_step(frame.reshape(28, 28, 1), n % 5)
        expected.append(alone.save()[SAVE_HEADER_BYTES:].hex())
    libraries = [archive(folder) for folder, _ in prefixed.values()]
    includes = [f"-I{f / part}" for f, _ in prefixed.values() for part in ("include", "model")]
    for suffix, compiler in (("c", ["gcc", "-std=c99"]), ("cpp", ["g++", "-std=c++17"])):
        (tmp_path / f"main.{suffix}").write_text(MAIN)
        command: list[str | Path] = [
            *compiler,
            *WARNINGS,
            *includes,
            f"main.{suffix}",
            *libraries,
            "-o",
            suffix,
        ]
        built = run(command, tmp_path)
        assert built.returncode == 0, built.stderr
        done = run([f"./{suffix}"], tmp_path)
        assert done.returncode == 0
        for found, saved in zip(done.stdout.split(), expected, strict=True):
            assert len(found) > 1000
            assert saved.startswith(found)


def test_every_external_name_is_the_networks_own(
    prefixed: dict[str, tuple[Path, Project]], plain: list[Path], tmp_path: Path
) -> None:
    """On the host with AVX2, and on Arm cores with DSP and Helium."""
    builds: list[tuple[str, tuple[str, ...]]] = [("gcc", ("-O0", "-mavx2"))]
    try:
        find_arm_gcc()
        builds += [
            ("arm-none-eabi-gcc", ("-O0", "-mcpu=cortex-m7", "-mthumb")),
            ("arm-none-eabi-gcc", ("-O1", "-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard")),
        ]
    except MicrotuneError:
        pass
    for compiler, flags in builds:
        seen = set[str]()
        for folder, prefix in ((prefixed["faces_"][0], "faces_"), (plain[1], "")):
            names = external(folder, compiler, flags, tmp_path)
            assert len(names) > 60
            numbers = {name.rpartition("_")[2] for name in names}
            assert len(numbers) == 1
            assert len(numbers.pop()) == 8
            assert all(name.startswith(f"{prefix}mt_") for name in names)
            assert not names & seen
            seen |= names


def test_a_prefixed_interface_defines_no_other_macro(
    prefixed: dict[str, tuple[Path, Project]], tmp_path: Path
) -> None:
    folder = prefixed["faces_"][0]
    (tmp_path / "none.c").write_text("#include <stddef.h>\n#include <stdint.h>\n")
    (tmp_path / "all.c").write_text('#include "microtune.h"\n#include "microtune_model.h"\n')
    includes = (f"-I{folder / 'include'}", f"-I{folder / 'model'}")
    texts = [run(["gcc", "-dM", "-E", *includes, n], tmp_path).stdout for n in ("none.c", "all.c")]
    before, after = (set(re.findall(r"^#define (\w+)", text, re.MULTILINE)) for text in texts)
    assert "faces_MT_CLASSES" in after
    assert [name for name in after - before if not name.startswith("faces_")] == []
    sources = "\n".join(path.read_text() for path in folder.glob("src/**/*.c"))
    assert re.findall(r"(?<!\w)mt_\w+", sources) == []


ONE = """
#include <stdio.h>
#include "microtune.h"
#include "microtune_model.h"
int main(void) { return mt_save_bytes() == MT_SAVE_BYTES ? 0 : 1; }
"""


def test_without_a_prefix_the_network_of_the_header_answers(
    plain: list[Path], tmp_path: Path
) -> None:
    """Whatever the order of the archives; the archive of the other network alone does not link;
    both headers in one file are refused."""
    (tmp_path / "main.c").write_text(ONE)
    libraries = {folder: archive(folder) for folder in plain}
    for mine, other in permutations(plain):
        includes = [f"-I{mine / part}" for part in ("include", "model")]
        for order in permutations(libraries.values()):
            assert run(["gcc", *includes, "main.c", *order, "-o", "m"], tmp_path).returncode == 0
            assert run(["./m"], tmp_path).returncode == 0
        alone = run(["gcc", *includes, "main.c", libraries[other], "-o", "m"], tmp_path)
        assert "undefined reference" in alone.stderr
        both = (
            f'#include "{mine}/include/microtune.h"\n#include "{other}/model/microtune_model.h"\n'
        )
        (tmp_path / "both.c").write_text(both)
        refused = run(["gcc", *includes, "-c", "both.c"], tmp_path)
        assert "compile one of them with another --prefix" in refused.stderr


def test_a_prefixed_project_runs_here_with_the_same_bits(
    prefixed: dict[str, tuple[Path, Project]], plain: list[Path]
) -> None:
    train = load_train(embedded.DATA, load_any(embedded.MODEL))
    folder, project = prefixed["faces_"]
    runners = [HostRunner(f, 0, flags=("-O1",)) for f in (folder, plain[0])]
    first, second = (hashes(runner, project, train, STEPS) for runner in runners)
    assert first == second


@pytest.mark.chip
def test_a_prefixed_project_runs_and_is_measured_on_the_chip(
    prefixed: dict[str, tuple[Path, Project]], plain: list[Path]
) -> None:
    train = load_train(embedded.DATA, load_any(embedded.MODEL))
    folder, project = prefixed["faces_"]
    expected = hashes(HostRunner(plain[0], 0, flags=("-O1",)), project, train, 2)
    assert hashes(QemuRunner(folder, 0, optimisation="-O1"), project, train, 2) == expected
    mine, other = (measure(f, optimisation="-O1") for f in (folder, plain[0]))
    assert mine.stack_bound_bytes is not None
    assert mine.stack_bound_bytes == other.stack_bound_bytes
    sizes = (mine.firmware.sizes, other.firmware.sizes)
    assert len({(s.flash_bytes, s.static_bytes, s.arenas) for s in sizes}) == 1
    assert mine.train_instructions == other.train_instructions


@pytest.mark.parametrize("prefix", ["1a", "a-b", "_faces", "é", "a" * 33, "a b"])
def test_what_cannot_begin_a_name_is_refused(prefix: str) -> None:
    with pytest.raises(MicrotuneError, match="for instance faces_"):
        check_prefix(prefix)
