"""The C in other people's builds: the same bits with any flags, or one clear refusal."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from microtune import embedded
from microtune.codegen.project import Project
from microtune.datasets import Split
from microtune.importers import load_any
from microtune.simulate.emulator import run_firmware
from microtune.simulate.host import INCLUDES, HostCompiler
from microtune.simulate.job import JOB_NAME, RESULT_NAME, read_results, write_job
from microtune.simulate.runners import HostRunner
from microtune.simulate.toolchain import build_firmware, find_arm_gcc
from microtune.simulate.trainer import TrainingPlan, training_records
from microtune.targets import load_target
from microtune.training.build import Formats
from tests.projects import compile_project, hashes, load_train

STEPS = 6
# (compiler, flags): the last ones win over those of the tests' own builds.
BUILDS: dict[str, tuple[HostCompiler, str]] = {
    "GNU mode with FMA": ("gcc", "-std=gnu17 -O3 -mavx2 -mfma -ffp-contract=fast"),
    "GNU mode with FMA, portable": ("gcc", "-std=gnu99 -O2 -mfma -ffp-contract=fast -DMT_PORTABLE"),
    "Clang with FMA": ("clang", "-std=gnu17 -O3 -mavx2 -mfma -ffp-contract=fast"),
    "not optimised": ("gcc", "-O0 -fno-strict-aliasing"),
    "short enums, unsigned char": ("gcc", "-O1 -fshort-enums -funsigned-char"),
    "C11, link time": ("gcc", "-std=c11 -O2 -flto -ffunction-sections -fdata-sections"),
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


@pytest.mark.parametrize("name", BUILDS)
def test_a_float_head_has_the_same_bits_in_every_build(
    floats: tuple[Path, Project], expected: tuple[str, str], train: Split, name: str
) -> None:
    compiler, flags = BUILDS[name]
    runner = HostRunner(floats[0], 0, compiler=compiler, flags=tuple(flags.split()))
    assert hashes(runner, floats[1], train, STEPS) == expected


@pytest.mark.parametrize("flag", ["-Ofast", "-ffast-math"])
def test_fast_math_is_refused_for_a_float_head_alone(
    floats: tuple[Path, Project], tmp_path: Path, flag: str
) -> None:
    compile_project(tmp_path / "p", "head-only")
    for folder, refused in ((floats[0], True), (tmp_path / "p", False)):
        command = ["gcc", "-std=c99", flag, *INCLUDES, "-fsyntax-only", "model/microtune_model.c"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert ("compile it without" in done.stderr) == refused
        assert (done.returncode != 0) == refused


@pytest.mark.parametrize(("size", "error"), [("INT_MAX", "32 bits"), ("CHAR_BIT", "8 bits")])
def test_another_machine_is_refused_in_one_line(
    floats: tuple[Path, Project], tmp_path: Path, size: str, error: str
) -> None:
    """limits.h as a compiler with 16-bit int, or with other bytes, has it."""
    values = {"INT_MAX": 2147483647, "CHAR_BIT": 8} | {size: 32767 if size == "INT_MAX" else 16}
    text = "\n".join(f"#define {name} {value}" for name, value in values.items())
    (tmp_path / "limits.h").write_text(text + "\n")
    command = ["gcc", "-fsyntax-only", f"-I{tmp_path}", *INCLUDES, "src/portable/mt_conv2d.c"]
    done = subprocess.run(command, cwd=floats[0], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert error in done.stderr


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
def test_no_unaligned_access_is_obeyed_by_every_kernel(
    floats: tuple[Path, Project], train: Split, tmp_path: Path, core: str
) -> None:
    """The firmware's start-up makes an unaligned access a fault where the compiler must make none.
    Without the flag the kernels in assembler are taken."""
    folder, project = floats
    target = load_target(core)
    strict = replace(target, gcc_flags=(*target.gcc_flags, "-mno-unaligned-access"))
    firmware = build_firmware(folder, strict, tmp_path / "p.elf", "-O1")
    records = list(training_records(TrainingPlan(1, 0.01, "constant", 0, 2), train, None))
    size = train.frames[0].nbytes
    job = write_job(tmp_path / JOB_NAME, 0, records, size, project.classes)
    run_firmware(firmware.elf, strict, tmp_path).require_success()
    found = [result.logits.tolist() for result in read_results(tmp_path / RESULT_NAME, job)]
    host = HostRunner(folder, 0, flags=("-O1",)).run(records)
    assert found == [result.logits.tolist() for result in host]
    command = [*find_arm_gcc().command, "-O1", "-dM", "-E", *INCLUDES, "src/portable/mt_isa.h"]
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
    folder, project = floats
    firmware = build_firmware(
        folder, load_target(core), tmp_path / "p.elf", "-O0", stack_bytes=3072
    )
    records = list(training_records(TrainingPlan(1, 0.01, "constant", 0, 2), train, None))
    size = train.frames[0].nbytes
    job = write_job(tmp_path / JOB_NAME, 0, records, size, project.classes)
    run_firmware(firmware.elf, load_target(core), tmp_path).require_success()
    found = [result.logits.tolist() for result in read_results(tmp_path / RESULT_NAME, job)]
    host = HostRunner(folder, 0, flags=("-O1",)).run(records)
    assert found == [result.logits.tolist() for result in host]
