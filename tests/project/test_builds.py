"""The C in other people's builds: the same bits with any flags, or one clear refusal."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from microtune import embedded
from microtune.data import Split
from microtune.importers import load_any
from microtune.project.project import Project
from microtune.run.emulator import run_firmware
from microtune.run.host import HostCompiler, library_sources
from microtune.run.job import JOB_NAME, RESULT_NAME, read_results, write_job
from microtune.run.runners import HostRunner
from microtune.runtime.files import PROJECT_INCLUDES
from microtune.targets import COMPILE_FLAGS, Target, load_target
from microtune.tools import toolchain
from microtune.tools.compilers import Compiler
from microtune.tools.toolchain import build_firmware, find_arm_gcc, find_host_gcc
from microtune.train.trainer import TrainingPlan, training_records
from microtune.training.build import Formats
from tests.projects import compile_project, hashes, load_train

STEPS = 6
# (compiler, flags): the last ones win over those of the tests' own builds.
BUILDS: dict[str, tuple[HostCompiler, str]] = {
    "GNU mode with FMA": ("gcc", "-std=gnu17 -O3 -mavx2 -mfma -ffp-contract=fast"),
    "GNU mode with FMA, portable": ("gcc", "-std=gnu99 -O2 -mfma -ffp-contract=fast -DMT_PORTABLE"),
    "Clang with FMA": ("clang", "-std=gnu17 -O3 -mavx2 -mfma -ffp-contract=fast"),
    "not optimised": ("gcc", "-O0 -fno-strict-aliasing"),
    "C23, short enums, unsigned char": ("gcc", "-std=gnu2x -O1 -fshort-enums -funsigned-char"),
    "C11, link time": ("gcc", "-std=c11 -O2 -flto -ffunction-sections -fdata-sections"),
}
# What strict builds switch on.
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-Wpedantic", "-Werror")
# (compiler, flags): every kernel of every instruction set is read by one of them.
STRICT_BUILDS: dict[str, tuple[Callable[[], Compiler], str]] = {
    "C99, AVX2": (find_host_gcc, "-std=c99 -mavx2 -Wcast-align=strict"),
    "C23, portable": (find_host_gcc, "-std=c2x -Wcast-align=strict -DMT_PORTABLE"),
    "DSP": (find_arm_gcc, "-std=c11 -mcpu=cortex-m7 -mthumb -Wcast-align"),
    "Helium": (find_arm_gcc, "-std=c99 -mcpu=cortex-m55 -mthumb -mfloat-abi=hard -Wcast-align"),
    "no extension": (find_arm_gcc, "-std=c99 -mcpu=cortex-m0plus -mthumb -Wcast-align"),
}


@pytest.fixture(scope="module")
def train() -> Split:
    return load_train(embedded.DATA, load_any(embedded.MODEL))


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Project]:
    """A float32 head over trained layers."""
    folder = tmp_path_factory.mktemp("floats") / "p"
    return folder, compile_project(folder, "last-3", Formats("int16", "float32"))


@pytest.fixture(scope="module")
def expected(floats: tuple[Path, Project], train: Split) -> tuple[str, str]:
    return hashes(HostRunner(floats[0], 0, flags=("-O1",)), floats[1], train, STEPS)


def learns_as_the_host(
    floats: tuple[Path, Project], elf: Path, target: Target, train: Split, steps: int = 2
) -> None:
    """Some steps on the emulated chip: the logits are those of the host."""
    folder, project = floats
    records = list(training_records(TrainingPlan(1, 0.01, "constant", 0, steps), train, None))
    job = write_job(elf.parent / JOB_NAME, 0, records, train.frames[0].nbytes, project.classes)
    run_firmware(elf, target, elf.parent).require_success()
    found = [result.logits.tolist() for result in read_results(elf.parent / RESULT_NAME, job)]
    host = HostRunner(folder, 0, flags=("-O1",)).run(records)
    assert found == [result.logits.tolist() for result in host]


@pytest.mark.parametrize("name", BUILDS)
def test_a_float_head_has_the_same_bits_in_every_build(
    floats: tuple[Path, Project], expected: tuple[str, str], train: Split, name: str
) -> None:
    compiler, flags = BUILDS[name]
    runner = HostRunner(floats[0], 0, compiler=compiler, flags=tuple(flags.split()))
    assert hashes(runner, floats[1], train, STEPS) == expected


@pytest.mark.chip
def test_a_float_head_has_the_same_bits_on_a_chip_that_fuses(
    floats: tuple[Path, Project], train: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A core with a fused multiply-add, and a compiler that may use it; steps enough to show."""
    target = load_target("cortex-m7")
    flags = ["-std=gnu17" if flag.startswith("-std=") else flag for flag in COMPILE_FLAGS]
    fused = [flag for flag in flags if not flag.startswith("-ffp-contract")]
    monkeypatch.setattr(toolchain, "COMPILE_FLAGS", [*fused, "-ffp-contract=fast"])
    firmware = build_firmware(floats[0], target, tmp_path / "p.elf", "-O2")
    learns_as_the_host(floats, firmware.elf, target, train, steps=24)


@pytest.mark.parametrize("flag", ["-Ofast", "-ffast-math", "-mfpmath=387"])
def test_floats_of_other_bits_are_refused_for_a_float_head_alone(
    floats: tuple[Path, Project], tmp_path: Path, flag: str
) -> None:
    compile_project(tmp_path / "p", "head-only")
    for folder, refused in ((floats[0], True), (tmp_path / "p", False)):
        command = [
            "gcc",
            "-std=c99",
            flag,
            *PROJECT_INCLUDES,
            "-fsyntax-only",
            "model/microtune_model.c",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert ("a float32 head learns other bits" in done.stderr) == refused
        assert (done.returncode != 0) == refused


@pytest.mark.parametrize("order", [1, -1], ids=["forwards", "backwards"])
@pytest.mark.parametrize(
    "core",
    [
        "portable",
        "AVX2",
        *(
            pytest.param(core, marks=pytest.mark.chip)
            for core in ("cortex-m0plus", "cortex-m7", "cortex-m55")
        ),
    ],
)
def test_all_c_compiles_in_one_translation_unit(
    floats: tuple[Path, Project], tmp_path: Path, core: str, order: int
) -> None:
    sources = sorted([*floats[0].glob("src/**/*.c"), *floats[0].glob("model/*.c")])[::order]
    (tmp_path / "all.c").write_text("".join(f'#include "{path}"\n' for path in sources))
    if core.startswith("cortex"):
        compiler = [*find_arm_gcc().command, *load_target(core).gcc_flags, "-ffreestanding"]
    else:
        compiler = ["gcc", "-mavx2"] if core == "AVX2" else ["gcc"]
    flags = ["-std=c99", "-O1", *WARNINGS, "-Wcast-align", "-fsyntax-only"]
    command = [*compiler, *flags, *PROJECT_INCLUDES, str(tmp_path / "all.c")]
    done = subprocess.run(command, cwd=floats[0], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.fixture(scope="module")
def one_unit(floats: tuple[Path, Project], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with its sources under another suffix, and one file that includes them."""
    copy = tmp_path_factory.mktemp("unit") / "p"
    shutil.copytree(floats[0], copy)
    sources = [copy / source for source in library_sources(copy)]
    for path in sources:
        path.rename(path.with_suffix(".inc"))
    lines = [f'#include "{path.with_suffix(".inc")}"\n' for path in sources]
    (copy / "model/all.c").write_text("".join(lines))
    return copy


@pytest.mark.parametrize("flag", ["-DMT_PORTABLE", "-mavx2"])
def test_one_translation_unit_has_the_same_bits(
    floats: tuple[Path, Project], expected: tuple[str, str], train: Split, one_unit: Path, flag: str
) -> None:
    assert hashes(HostRunner(one_unit, 0, flags=("-O1", flag)), floats[1], train, STEPS) == expected


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
def test_one_translation_unit_has_the_same_bits_on_the_chip(
    floats: tuple[Path, Project], one_unit: Path, train: Split, tmp_path: Path, core: str
) -> None:
    target = load_target(core)
    firmware = build_firmware(one_unit, target, tmp_path / "p.elf", "-O1")
    learns_as_the_host(floats, firmware.elf, target, train)


@pytest.mark.parametrize(("size", "error"), [("INT_MAX", "32 bits"), ("CHAR_BIT", "8 bits")])
def test_another_machine_is_refused_in_one_line(
    floats: tuple[Path, Project], tmp_path: Path, size: str, error: str
) -> None:
    """limits.h as a compiler with 16-bit int, or with other bytes, has it."""
    values = {"INT_MAX": 2147483647, "CHAR_BIT": 8} | {size: 32767 if size == "INT_MAX" else 16}
    text = "\n".join(f"#define {name} {value}" for name, value in values.items())
    (tmp_path / "limits.h").write_text(text + "\n")
    command = [
        "gcc",
        "-fsyntax-only",
        f"-I{tmp_path}",
        *PROJECT_INCLUDES,
        "src/portable/mt_conv2d.c",
    ]
    done = subprocess.run(command, cwd=floats[0], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert error in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.chip] if find is find_arm_gcc else [])
        for name, (find, _) in STRICT_BUILDS.items()
    ],
)
def test_no_strict_build_warns(floats: tuple[Path, Project], tmp_path: Path, name: str) -> None:
    """The Helium and DSP kernels are compiled at -O1: without optimising they are left out."""
    find, flags = STRICT_BUILDS[name]
    sources = [floats[0] / source for source in library_sources(floats[0])]
    includes = [f"-I{floats[0] / flag.removeprefix('-I')}" for flag in PROJECT_INCLUDES]
    output = [*WARNINGS, "-O1", *includes, "-fsyntax-only", *sources]
    done = subprocess.run(
        [*find().command, *flags.split(), *map(str, output)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.chip
def test_a_big_endian_core_is_refused_in_every_file_of_kernels(
    floats: tuple[Path, Project],
) -> None:
    """By the header that all of them share."""
    machine = ["-mcpu=cortex-m7", "-mthumb", "-mbig-endian"]
    for source in ("model/microtune_model.c", "src/portable/mt_conv2d.c", "src/core/mt_save.c"):
        command = [*find_arm_gcc().command, *machine, *PROJECT_INCLUDES, "-fsyntax-only", source]
        done = subprocess.run(command, cwd=floats[0], capture_output=True, text=True, check=False)
        assert done.returncode != 0
        errors = [line for line in done.stderr.splitlines() if "error:" in line]
        assert len(errors) == 1
        assert "little-endian" in errors[0]


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55", "cortex-m4", "cortex-m33"])
def test_no_unaligned_access_is_obeyed_by_every_kernel(
    floats: tuple[Path, Project], train: Split, tmp_path: Path, core: str
) -> None:
    """The firmware's start-up makes an unaligned access a fault where the compiler must make none.
    Without the flag the kernels in assembler are taken."""
    folder, target = floats[0], load_target(core)
    strict = replace(target, gcc_flags=(*target.gcc_flags, "-mno-unaligned-access"))
    firmware = build_firmware(folder, strict, tmp_path / "p.elf", "-O1")
    learns_as_the_host(floats, firmware.elf, strict, train)
    sets = "src/portable/mt_isa.h"
    command = [*find_arm_gcc().command, "-O1", "-dM", "-E", *PROJECT_INCLUDES, sets]
    for flags, taken in ((strict.gcc_flags, "0"), (target.gcc_flags, "1")):
        macros = subprocess.run(
            [*command, *flags], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        isa = "MT_ISA_MVE" if core == "cortex-m55" else "MT_ISA_DSP"
        assert f"#define {isa} {taken}\n" in macros


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
def test_it_runs_on_the_chip_unoptimised(
    floats: tuple[Path, Project], train: Split, tmp_path: Path, core: str
) -> None:
    """With more stack than the port reserves: docs/embedding.md says how much."""
    target = load_target(core)
    firmware = build_firmware(floats[0], target, tmp_path / "p.elf", "-O0", stack_bytes=3072)
    learns_as_the_host(floats, firmware.elf, target, train)
