"""The generated project: deterministic, warning-free, self-contained, and honest about budgets."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from microtune.codegen.layout import Slot, unpack_block
from microtune.codegen.project import read_plan
from microtune.errors import MicrotuneError
from microtune.simulate.emulator import run_firmware
from microtune.simulate.host import INCLUDES, HostLibrary, library_sources
from microtune.simulate.job import (
    JOB_NAME,
    RESULT_NAME,
    Record,
    RecordKind,
    read_results,
    write_job,
)
from microtune.simulate.runners import NumpyRunner
from microtune.simulate.toolchain import Compiler, find_clang, find_host_gcc
from microtune.training.calibrate import synthetic_frame
from tests.projects import compile_project

WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model, the last layers trained."""
    folder = tmp_path_factory.mktemp("project") / "p"
    compile_project(folder, "last-4")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_compiling_twice_gives_identical_bytes(project: Path, tmp_path: Path) -> None:
    compile_project(tmp_path / "elsewhere" / "q", "last-4")
    assert contents(project) == contents(tmp_path / "elsewhere" / "q")


def test_no_absolute_path_is_written(project: Path) -> None:
    for name, content in contents(project).items():
        assert str(project).encode() not in content, name
        assert b"/home/" not in content, name


def test_the_plan_follows_its_schema(project: Path) -> None:
    schema = json.loads((project / "plan.schema.json").read_text())
    jsonschema.validate(json.loads((project / "plan.json").read_text()), schema)


@pytest.mark.parametrize("find", [find_host_gcc, find_clang], ids=["gcc", "clang"])
def test_product_builds_alone_without_a_warning(
    project: Path, tmp_path: Path, find: object
) -> None:
    """include + src + model, C99, -Wall -Wextra -Wconversion."""
    assert callable(find)
    compiler: Compiler = find()
    for source in library_sources(project):
        output = ["-c", source, "-o", str(tmp_path / "x.o")]
        command = [*compiler.command, *WARNINGS, "-O2", *INCLUDES, *output]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_makefile_builds_the_library(project: Path) -> None:
    done = subprocess.run(
        ["make", "-j2", "OPT=-O1"], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (project / "build/libmicrotune.a").is_file()
    debug = ["make", "-j2", "OPT=-O0", "DEBUG=1"]
    done = subprocess.run(debug, cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for name, holds in (("build/libmicrotune.a", False), ("build/debug/libmicrotune.a", True)):
        assert (b"mt_debug_overflow" in (project / name).read_bytes()) == holds
    subprocess.run(["make", "clean"], cwd=project, capture_output=True, check=True)


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m7", pytest.param("riscv32imc", marks=pytest.mark.riscv)])
def test_makefile_builds_the_firmware(tmp_path: Path, core: str) -> None:
    """It runs as it is, and answers as numpy does; no warning on the way."""
    compiled = compile_project(tmp_path / "p", "last-3", target=core)
    done = subprocess.run(
        ["make", "-j2", "firmware"], cwd=tmp_path / "p", capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    frame = synthetic_frame(compiled.graph.tensors["input"].shape, 1)
    record, size = Record(RecordKind.INFER, frame[0]), frame.nbytes
    job = write_job(tmp_path / JOB_NAME, 0, [record], size, compiled.classes)
    elf = tmp_path / "p/build/firmware.elf"
    run_firmware(elf, compiled.target, tmp_path).require_success()
    result = next(iter(read_results(tmp_path / RESULT_NAME, job)))
    expected = next(iter(NumpyRunner(tmp_path / "p", 0).run([record])))
    assert result.logits.tolist() == expected.logits.tolist()


def test_initial_parameters_are_the_models_own(project: Path) -> None:
    """The trained block starts as the graph's params, in whatever layout."""
    from microtune.codegen.project import TRAINING_FILE
    from microtune.ir.modelfile import load_model

    graph = load_model(project / TRAINING_FILE).graph
    found = HostLibrary(project).parameters()
    assert set(found) == {t.name for t in graph.with_role("param")}
    for name, value in found.items():
        assert (value == graph.data[name]).all(), name


def test_save_and_load_refuse_another_model(project: Path, tmp_path: Path) -> None:
    compile_project(tmp_path / "other", "last-3")
    mine, other = HostLibrary(project), HostLibrary(tmp_path / "other")
    with pytest.raises(MicrotuneError, match="not for this model or scheme"):
        other.load(mine.save())
    mine.load(mine.save())


def test_block_slots_round_trip(project: Path) -> None:
    slots = [Slot.from_json(entry) for entry in read_plan(project)["parameters"]]
    size = max(slot.offset + slot.bytes for slot in slots)
    block = bytes(range(256)) * (size // 256 + 1)
    values = unpack_block(block, slots)
    assert [values[s.name].shape for s in slots] == [s.shape for s in slots]


def test_a_missed_budget_names_the_tensors_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(MicrotuneError, match=r"(?s)SRAM budget missed.*alive there") as error:
        compile_project(tmp_path / "p", "full", sram=20_000)
    assert "block2_expand" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_foreign_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/thesis.txt").write_text("years of work")
    with pytest.raises(MicrotuneError, match="not a microtune project"):
        compile_project(tmp_path / "p", "head-only")
    assert contents(tmp_path) == {"p/thesis.txt": b"years of work"}


def test_an_unknown_plan_version_is_refused(project: Path, tmp_path: Path) -> None:
    plan = json.loads((project / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"schema_version": 99}))
    with pytest.raises(MicrotuneError, match="schema version 99"):
        read_plan(tmp_path)
