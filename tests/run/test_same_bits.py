"""One arithmetic: numpy, host GCC and Clang at -O0 and -O3, and the emulated cores agree."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from microtune import embedded, pipeline
from microtune.data import Split
from microtune.importers import load_any
from microtune.ir.numerics import NUMERICS_VERSION
from microtune.project.project import STACK, Project
from microtune.run.host import HostCompiler
from microtune.run.runners import HostRunner, NumpyRunner, QemuRunner
from microtune.targets import MemoryBank, load_target
from microtune.training.build import Formats
from microtune.training.scheme import published_schemes
from tests.projects import compile_project, hashes, load_train

GOLDEN = Path(__file__).parents[1] / "golden/hashes.json"
STEPS, SHORT = 64, 4
CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
RISCV = "riscv32imc"
EVERY_CORE = (*CORES, pytest.param(RISCV, marks=pytest.mark.riscv))
MODELS = ("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3")


def check_golden(name: str, found: tuple[str, str]) -> None:
    """Compare with the recorded hashes of this numerics version; a new version needs new ones."""
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    if os.environ.get("MICROTUNE_UPDATE_GOLDEN"):
        golden["numerics_version"] = NUMERICS_VERSION
        golden.setdefault("runs", {})[name] = list(found)
        golden["runs"] = dict(sorted(golden["runs"].items()))
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
    assert golden["numerics_version"] == NUMERICS_VERSION
    assert golden["runs"][name] == list(found), f"{name}: the arithmetic has changed"


@pytest.fixture(scope="module")
def tops() -> Split:
    """The embedded data set."""
    return load_train(embedded.DATA, load_any(embedded.MODEL))


@pytest.mark.parametrize("bias", ["int32", "int16"])
@pytest.mark.parametrize("head", ["int16", "float32"])
def test_every_format_has_the_same_bits(tmp_path: Path, tops: Split, bias: str, head: str) -> None:
    """The embedded model, whole layers and a depthwise one trained, in numpy and in C."""
    formats = Formats("int16" if bias == "int16" else "int32",
                      "float32" if head == "float32" else "int16")  # fmt: skip
    project = compile_project(tmp_path / "p", "last-7", formats)
    expected = hashes(NumpyRunner(tmp_path / "p", 0), project, tops, STEPS)
    check_golden(f"fashion5 last-7 bias {bias} head {head}", expected)
    fast = HostRunner(tmp_path / "p", 0)
    assert hashes(fast, project, tops, STEPS) == expected


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Project]:
    """Ratios of dense and depthwise layers, both narrow formats of the smallest device."""
    folder = tmp_path_factory.mktemp("partial")
    scheme = folder / "ratios.toml"
    scheme.write_text(
        'bias_layers = 9\nweights = { 10 = "1/4", 13 = "1/2", 14 = "1/8", 16 = 1, 18 = "1/2" }\n'
    )
    return folder / "p", compile_project(folder / "p", str(scheme), Formats("int16", "float32"))


@pytest.fixture(scope="module")
def meant(partial: tuple[Path, Project], tops: Split) -> tuple[str, str]:
    """The hashes of its numpy meaning, which are the recorded ones; worked out once."""
    folder, project = partial
    found = hashes(NumpyRunner(folder, 0), project, tops, STEPS)
    check_golden("fashion5 ratios bias int16 head float32", found)
    return found


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_compilers_agree(
    partial: tuple[Path, Project], tops: Split, meant: tuple[str, str], compiler: HostCompiler,
    level: str,
) -> None:  # fmt: skip
    folder, project = partial
    assert hashes(HostRunner(folder, 0, compiler, (level,)), project, tops, STEPS) == meant


def test_a_whole_run_has_no_undefined_behaviour(partial: tuple[Path, Project], tops: Split) -> None:
    """Overflow, bad shifts and misaligned access trap, with the same bits otherwise."""
    folder, project = partial
    flags = ("-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
    expected = hashes(HostRunner(folder, 0), project, tops, STEPS)
    assert hashes(HostRunner(folder, 0, "gcc", flags), project, tops, STEPS) == expected


@pytest.mark.chip
@pytest.mark.parametrize("core", EVERY_CORE)
def test_cores_agree(partial: tuple[Path, Project], tops: Split, core: str) -> None:
    """With and without FPU, float head included."""
    folder, project = partial
    found = hashes(QemuRunner(folder, 0, target=core), project, tops, STEPS)
    check_golden("fashion5 ratios bias int16 head float32", found)


@pytest.mark.chip
@pytest.mark.parametrize("core", EVERY_CORE)
@pytest.mark.parametrize("head", ["int16", "float32"])
def test_cores_agree_on_whole_layers(tmp_path: Path, tops: Split, core: str, head: str) -> None:
    """The other bias format, with both heads."""
    formats = Formats("int32", "float32" if head == "float32" else "int16")
    project = compile_project(tmp_path / "p", "last-7", formats, target=core)
    found = hashes(QemuRunner(tmp_path / "p", 0), project, tops, STEPS)
    check_golden(f"fashion5 last-7 bias int32 head {head}", found)


@pytest.mark.chip
@pytest.mark.parametrize("input_mode", ["resident", "rows"])
def test_several_memories_have_the_bits_of_one(
    tmp_path: Path, tops: Split, input_mode: pipeline.InputMode
) -> None:
    """A plan over two banks: on the chip that has them, on one with a single bank, on the host."""
    one = compile_project(tmp_path / "one", "last-7")
    expected = hashes(HostRunner(tmp_path / "one", 0), one, tops, STEPS)
    folder = tmp_path / "two"
    two = compile_project(folder, "last-7", input_mode=input_mode, target="cortex-m7-banks")
    assert two.plan.resident_banks[STACK] == "dtcm"
    runners = (
        HostRunner(folder, 0),
        QemuRunner(folder, 0),
        QemuRunner(folder, 0, target="cortex-m7"),
    )
    for runner in runners:
        assert hashes(runner, two, tops, STEPS) == expected


@pytest.mark.parametrize("schedule", ["layers", "stream"])
@pytest.mark.parametrize("input_mode", ["resident", "rows"])
def test_many_small_memories_have_the_bits_of_one(
    tmp_path: Path, tops: Split, schedule: pipeline.Schedule, input_mode: pipeline.InputMode
) -> None:
    """Six banks, so that rings, masks, gradients and scratch of one layer lie apart."""
    one = compile_project(tmp_path / "one", "last-7")
    expected = hashes(HostRunner(tmp_path / "one", 0), one, tops, STEPS)
    sizes = (9000, 500, 1500, 4000, 12_000, 80_000)
    memories = tuple(
        MemoryBank(f"bank{i}", 0x20000000 + (i << 24), size // 8 * 8, i + 1)
        for i, size in enumerate(sizes)
    )
    target = replace(load_target("cortex-m7"), memories=memories)
    request = pipeline.Request(5, "last-7", target, 1 << 18, 1 << 20, Formats(), input_mode,
                               schedule)  # fmt: skip
    project = pipeline.compile_model(load_any(embedded.MODEL), request, tmp_path / "p")
    assert len(project.plan.arenas) >= 4
    assert hashes(HostRunner(tmp_path / "p", 0), project, tops, STEPS) == expected


@pytest.mark.chip
@pytest.mark.data
def test_the_reference_step_over_two_memories(tmp_path: Path, data_folder: Path) -> None:
    """mcunet-5fps, 49KB: the recorded hash of one bank, in QEMU with two."""
    model = load_any(data_folder / "models/mit_tiny-training/mcunet-5fps.pkl")
    train = load_train(data_folder / "data/clothing10.tar", model)
    folder = tmp_path / "p"
    project = compile_project(folder, "49KB", model=model, classes=10, target="cortex-m7-banks")
    assert [arena.bank for arena in project.plan.arenas] == ["dtcm", "sram"]
    found = hashes(QemuRunner(folder, 0), project, train, STEPS)
    check_golden("mcunet-5fps 49KB, 64 steps", found)


@pytest.mark.chip
@pytest.mark.data
def test_the_reference_step_has_the_same_bits_everywhere(tmp_path: Path, data_folder: Path) -> None:
    """mcunet-5fps, 49KB, 64 steps on real images: numpy, compilers, cores."""
    model = load_any(data_folder / "models/mit_tiny-training/mcunet-5fps.pkl")
    train = load_train(data_folder / "data/clothing10.tar", model)
    folder = tmp_path / "p"
    project = compile_project(folder, "49KB", model=model, classes=10)
    expected = hashes(NumpyRunner(folder, 0), project, train, STEPS)
    check_golden("mcunet-5fps 49KB, 64 steps", expected)
    compilers: tuple[HostCompiler, ...] = ("gcc", "clang")
    for compiler in compilers:
        for level in ("-O0", "-O3"):
            runner = HostRunner(folder, 0, compiler, (level,))
            assert hashes(runner, project, train, STEPS) == expected, (compiler, level)
    for core in CORES:
        assert hashes(QemuRunner(folder, 0, target=core), project, train, STEPS) == expected, core


@pytest.mark.chip
@pytest.mark.riscv
@pytest.mark.data
@pytest.mark.parametrize("optimisation", ["-O3", "-Os"])
def test_the_reference_step_on_riscv(tmp_path: Path, data_folder: Path, optimisation: str) -> None:
    """mcunet-5fps, 49KB, compiled for the core without FPU: the recorded hash."""
    model = load_any(data_folder / "models/mit_tiny-training/mcunet-5fps.pkl")
    train = load_train(data_folder / "data/clothing10.tar", model)
    project = compile_project(tmp_path / "p", "49KB", model=model, classes=10, target=RISCV)
    runner = QemuRunner(tmp_path / "p", 0, optimisation=optimisation)
    check_golden("mcunet-5fps 49KB, 64 steps", hashes(runner, project, train, STEPS))


@pytest.mark.data
@pytest.mark.parametrize("name", MODELS)
def test_golden_hashes_of_every_published_scheme(
    tmp_path: Path, data_folder: Path, name: str
) -> None:
    """Model x scheme, by the numpy meaning."""
    model = load_any(data_folder / "models/mit_tiny-training" / f"{name}.pkl")
    train = load_train(data_folder / "data/clothing10.tar", model)
    for scheme in [*published_schemes(name), "last-3", "bias-only", "head-only"]:
        folder = tmp_path / scheme
        project = compile_project(folder, scheme, model=model, classes=10, sram=2**28)
        found = hashes(NumpyRunner(folder, 0), project, train, SHORT)
        check_golden(f"{name} {scheme}, {SHORT} steps", found)
