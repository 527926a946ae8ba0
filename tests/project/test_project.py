"""The generated project: deterministic, warning-free, self-contained, and honest about budgets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from microtune.codegen.layout import Slot, block_bytes, parameter_slots, to_c, unpack_block
from microtune.errors import MicrotuneError
from microtune.project.manifest import MARKER, PLAN_SCHEMA_VERSION, Manifest, read_plan
from microtune.project.project import TRAINING_FILE, read_project
from microtune.run.emulator import run_firmware
from microtune.run.host import HostLibrary, library_sources
from microtune.run.job import (
    JOB_NAME,
    RESULT_NAME,
    Call,
    Record,
    read_results,
    write_job,
)
from microtune.run.runners import NumpyRunner
from microtune.runtime.files import PROJECT_INCLUDES
from microtune.tools.compilers import Compiler
from microtune.tools.toolchain import find_clang, find_host_gcc
from microtune.training.calibrate import synthetic_frame
from tests.codegen.layer_graphs import random_training_graph
from tests.projects import compile_project

WARNINGS = (
    "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef",
    "-Wcast-align", "-Werror",
)  # fmt: skip


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
    compile_project(tmp_path / "elsewhere" / "q", "last-4", anew=True)
    assert contents(project) == contents(tmp_path / "elsewhere" / "q")


def test_no_absolute_path_is_written(project: Path) -> None:
    for name, content in contents(project).items():
        assert str(project).encode() not in content, name
        assert b"/home/" not in content, name


def test_the_plan_follows_its_schema(project: Path) -> None:
    schema = json.loads((project / "plan.schema.json").read_text())
    jsonschema.validate(json.loads((project / "plan.json").read_text()), schema)


# Clang's warnings do not depend on its optimiser, GCC's do.
@pytest.mark.parametrize(
    ("find", "level"), [(find_host_gcc, "-O2"), (find_clang, "-O0")], ids=["gcc", "clang"]
)
def test_product_builds_alone_without_a_warning(
    project: Path, tmp_path: Path, find: object, level: str
) -> None:
    """include + src + model, C99, the warnings of strict builds."""
    assert callable(find)
    compiler: Compiler = find()
    for source in library_sources(project):
        output = ["-c", source, "-o", str(tmp_path / "x.o")]
        command = [*compiler.command, *WARNINGS, level, *PROJECT_INCLUDES, *output]
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
    record, size = Record(Call.INFER, frame[0]), frame.nbytes
    job = write_job(tmp_path / JOB_NAME, 0, [record], size, compiled.classes)
    elf = tmp_path / "p/build/firmware.elf"
    run_firmware(elf, compiled.target, tmp_path).require_success()
    result = next(iter(read_results(tmp_path / RESULT_NAME, job)))
    expected = next(iter(NumpyRunner(tmp_path / "p", 0).run([record])))
    assert result.logits.tolist() == expected.logits.tolist()


def test_initial_parameters_are_the_models_own(project: Path) -> None:
    """The trained block starts as the graph's params, in whatever layout."""
    from microtune.ir.modelfile import load_model
    from microtune.project.project import TRAINING_FILE

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


def test_the_block_gives_back_what_was_packed() -> None:
    """Every kind of layer, whole or in part, kernels that are not square; by way of plan.json."""
    kinds = set()
    for seed in range(12):
        graph = random_training_graph(seed)
        slots = parameter_slots(graph)
        block = bytearray(block_bytes(slots))
        for slot in slots:
            content = to_c(graph.data[slot.name], slot.depthwise).tobytes()
            assert slot.offset % 8 == 0 and not any(block[slot.offset :][: len(content)])
            block[slot.offset : slot.offset + len(content)] = content
            kinds.add((slot.dtype, slot.depthwise, slot.shape[1:2] == slot.shape[2:3]))
        entries = json.loads(json.dumps([slot.to_json() for slot in slots]))
        values = unpack_block(bytes(block), [Slot.from_json(entry) for entry in entries])
        assert list(values) == [slot.name for slot in slots]
        for slot in slots:
            np.testing.assert_array_equal(values[slot.name], graph.data[slot.name])
    assert kinds >= {("i8", True, False), ("i8", False, False), ("i16", False, False)}


def test_a_missed_budget_names_the_tensors_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(MicrotuneError, match=r"(?s)SRAM budget missed.*alive there") as error:
        compile_project(tmp_path / "p", "full", sram=20_000, anew=True)
    assert "block2_expand" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_foreign_folder_is_not_overwritten(tmp_path: Path) -> None:
    """Not even beside a plan.json, if that is another program's."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p/thesis.txt").write_text("years of work")
    (tmp_path / "p/plan.json").write_text('{"generator": "terraform"}')
    before = contents(tmp_path)
    with pytest.raises(MicrotuneError, match="not a microtune project"):
        compile_project(tmp_path / "p", "head-only")
    assert contents(tmp_path) == before


def compile_again(folder: Path, scheme: str, **more: Any) -> list[str]:
    """The notes of a compile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compile_project(folder, scheme, **more, anew=True)
    return [str(warning.message) for warning in caught]


def test_compiling_again_keeps_the_users_files(tmp_path: Path) -> None:
    """Another scheme, another target: the project is as in a new folder, and beside it what is
    not compile's."""
    folder, new = tmp_path / "p", tmp_path / "new"
    assert compile_again(folder, "last-3") == []
    mine = {"board/main.c": b"int main(void);", "port/my_uart.c": b"", "learnt.bin": b"\0"}
    for name, content in mine.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    edited = (folder / "Makefile").read_bytes() + b"# mine"
    (folder / "Makefile").write_bytes(edited)
    (folder / "port/startup.c").unlink()
    notes = compile_again(folder, "head-only", target="riscv32imc")
    assert len(notes) == 2
    assert "Makefile" in notes[0] and "Makefile.yours" in notes[0]
    assert "port/startup.c had been deleted" in notes[1]
    compile_project(new, "head-only", target="riscv32imc")
    assert contents(folder) == contents(new) | mine | {"Makefile.yours": edited}


@pytest.mark.parametrize("kind", ["dot", "hidden", "link", "mount"])
def test_folders_that_are_there_are_filled(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-o .`; a new git repository; a link to a folder, which stays one; a new file system."""
    folder = tmp_path / "p"
    folder.mkdir()
    extra = {"hidden": [".git"], "mount": ["lost+found"]}.get(kind, [])
    for name in extra:
        (folder / name).mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    inode = folder.stat().st_ino
    compile_project({"dot": Path(), "link": tmp_path / "link"}.get(kind, folder), "head-only")
    assert read_plan(folder).classes == 5 and folder.stat().st_ino == inode
    assert (tmp_path / "link").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "p"]


def test_an_interrupted_compile_is_undone_by_whoever_reads(tmp_path: Path) -> None:
    """plan.json and the C are of one compile, also for the next command that only reads."""
    folder = tmp_path / "p"
    compile_project(folder, "last-3")
    before = contents(folder)
    real, placed = os.replace, 0

    def replace(source: Path, target: Path) -> None:
        nonlocal placed
        placed += target.parent == folder / "model"
        if placed > 1:
            raise SystemExit(137)
        real(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(SystemExit):
            compile_project(folder, "last-4")
    assert (folder / ".microtune-work/journal.json").exists()
    assert contents(folder).items() != before.items()
    assert read_plan(folder).scheme.name == "last-3"
    after = contents(folder)
    assert {name: after[name] for name in before} == before


def test_make_builds_again_what_another_compile_changed(tmp_path: Path) -> None:
    """build/ is the user's and stays; its objects must not be taken for those of the new model."""
    build = ["make", "build/chip/port/memory.o", "CHIP_CC=gcc", "CHIP_FLAGS=-O0"]
    compile_project(tmp_path, "last-3")
    subprocess.run(build, cwd=tmp_path, capture_output=True, check=True)
    question = [*build, "-q"]
    assert subprocess.run(question, cwd=tmp_path, check=False).returncode == 0
    compile_project(tmp_path, "head-only")
    assert subprocess.run(question, cwd=tmp_path, check=False).returncode == 1


def test_plan_json_is_what_its_type_writes(project: Path) -> None:
    """Read and written again it is the same file, byte for byte."""
    text = (project / MARKER).read_text()
    manifest = read_plan(project)
    assert json.dumps(manifest.to_json(), indent=1) + "\n" == text
    assert Manifest.from_json(json.loads(text)) == manifest


@pytest.mark.parametrize("version", [PLAN_SCHEMA_VERSION - 1, PLAN_SCHEMA_VERSION + 1, 0])
def test_an_unknown_plan_version_is_refused(project: Path, tmp_path: Path, version: int) -> None:
    """Older ones too: the words of the file have changed."""
    plan = json.loads((project / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"schema_version": version}))
    with pytest.raises(MicrotuneError, match=f"schema version {version} is unknown"):
        read_plan(tmp_path)


@pytest.mark.parametrize(("entry", "value"), [
    ("classes", "x"), ("classes", -1), ("classes", None), ("classes", 4), ("arenas", None),
    ("arena_bytes", 10**30), ("arena_bytes", float("nan")), ("budget", []), ("buffers", []),
    ("parameters", []), ("parameters", None), ("gradient_offsets", ["x"]), ("input", "rows"),
    ("input", 3), ("model", None), ("target", 7), ("preprocessing", []), ("stack_bank", None),
])  # fmt: skip
def test_a_plan_with_an_entry_that_is_none_is_refused(
    project: Path, tmp_path: Path, entry: str, value: object
) -> None:
    """By name, whatever is in it: no command computes with it."""
    shutil.copytree(project, tmp_path / "p")
    plan = json.loads((project / "plan.json").read_text())
    (tmp_path / "p/plan.json").write_text(json.dumps(plan | {entry: value}))
    with pytest.raises(MicrotuneError, match="Compile the model again"):
        read_project(tmp_path / "p")


def test_a_training_graph_of_another_project_is_refused(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "p")
    assert read_project(tmp_path / "p")[0].parameters
    compile_project(tmp_path / "q", "head-only")
    shutil.copyfile(tmp_path / "q" / TRAINING_FILE, tmp_path / "p" / TRAINING_FILE)
    with pytest.raises(MicrotuneError, match="other trained parameters"):
        read_project(tmp_path / "p")


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff\xfe\0", b"", b"null", b"\xef\xbb\xbf{}"]
)
def test_a_plan_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(MicrotuneError, match="not a readable plan"):
        read_plan(tmp_path)
