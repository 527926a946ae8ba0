"""The debug build: the kernels' products are what the graph says, and no accumulator wraps."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest

from microtune import embedded, pipeline
from microtune.data import Split
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir.macs import graph_macs
from microtune.ir.modelfile import ModelFile, save_model
from microtune.ir.numerics import INT32_MAX
from microtune.ir.verifier import InvalidGraphError
from microtune.project.manifest import read_plan
from microtune.run.debug import MacCounts, overflow_error
from microtune.run.emulator import run_firmware
from microtune.run.host import HostLibrary, build_library
from microtune.run.job import JOB_NAME, Call, Record, write_job
from microtune.run.runners import DEBUG_FLAGS, HostRunner, QemuRunner, make_runner
from microtune.targets import load_target
from microtune.tools.toolchain import build_firmware
from microtune.training.build import Formats
from tests.passes.prefixes import random_prefix
from tests.projects import compile_project, hashes, load_train
from tests.run.test_core_kernels import write_prefix
from tests.run.test_same_bits import check_golden
from tests.test_cli import refused, run

RISCV = pytest.param("riscv32imc", marks=pytest.mark.riscv)
RATIOS = 'bias_layers = 9\nweights = { 10 = "1/4", 13 = "1/2", 14 = "1/8", 16 = 1, 18 = "1/2" }\n'


@pytest.fixture(scope="module")
def tops() -> Split:
    """The embedded data set."""
    return load_train(embedded.DATA, load_any(embedded.MODEL))


def counts_on_host(folder: Path, split: Split, steps: int) -> list[tuple[MacCounts, MacCounts]]:
    """(inference, training step) for the first samples."""
    library = HostLibrary(folder, 0, flags=DEBUG_FLAGS)
    library.set_learning_rate(0.01)
    found = []
    for frame, label in zip(split.frames[:steps], split.labels, strict=False):
        library.infer(frame)
        infer = library.macs()
        library.train_step(frame, int(label))
        found.append((infer, library.macs()))
    return found


@pytest.mark.parametrize("schedule", ["layers", "stream"])
@pytest.mark.parametrize("head", ["int16", "float32"])
@pytest.mark.parametrize("scheme", ["full", "last-7", "ratios", "bias-only"])
def test_the_kernels_multiply_what_the_graph_says(
    tmp_path: Path, tops: Split, scheme: str, head: str, schedule: pipeline.Schedule
) -> None:
    """Forward and backward, dense and depthwise, whole and partly trained layers."""
    if scheme == "ratios":
        (tmp_path / "ratios.toml").write_text(RATIOS)
        scheme = str(tmp_path / "ratios.toml")
    formats = Formats("int16", "float32" if head == "float32" else "int16")
    project = compile_project(tmp_path / "p", scheme, formats, schedule=schedule)
    infer_macs, train_macs = graph_macs(project.graph)
    for infer, train in counts_on_host(tmp_path / "p", tops, 3):
        assert (infer.analytic, train.analytic) == (infer_macs, train_macs)
        assert infer.repeated == 0 < train.repeated  # the head's input gradient, made twice
        assert 0 < infer.skipped < infer.performed  # the padding of depthwise layers


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_multiply_what_the_graph_says(tmp_path: Path, seed: int) -> None:
    """Kernels 1 to 7, strides, groups, odd sizes, streamed or not."""
    prefix = random_prefix(seed)
    graph = prefix.finish()
    write_prefix(tmp_path / "p", prefix, graph, "cortex-m7")
    library = HostLibrary(tmp_path / "p", 0, flags=DEBUG_FLAGS)
    library.infer(np.ascontiguousarray(prefix.frame[0]))
    assert library.macs().analytic == graph_macs(graph)[0]


@pytest.mark.data
def test_the_reference_step_multiplies_what_the_graph_says(
    tmp_path: Path, data_folder: Path
) -> None:
    """mcunet-5fps, 49KB."""
    model = load_any(data_folder / "models/mit_tiny-training/mcunet-5fps.pkl")
    train = load_train(data_folder / "data/clothing10.tar", model)
    project = compile_project(tmp_path / "p", "49KB", model=model, classes=10)
    for infer, step in counts_on_host(tmp_path / "p", train, 1):
        assert (infer.analytic, step.analytic) == graph_macs(project.graph)


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55", RISCV])
def test_the_firmware_counts_the_same(tmp_path: Path, tops: Split, core: str) -> None:
    """On every core the debug build takes the portable kernels."""
    folder, target = tmp_path / "p", load_target(core)
    project = compile_project(folder, "last-7", target=core)
    elf = tmp_path / "firmware.elf"
    build_firmware(folder, target, elf, debug=True)
    frame, label = tops.frames[0], int(tops.labels[0])
    records = [Record(Call.INFER, frame), Record(Call.TRAIN, frame, label, 0.01)]
    write_job(tmp_path / JOB_NAME, 0, records, frame.nbytes, read_plan(folder).classes)
    ended = run_firmware(elf, target, tmp_path)
    ended.require_success()
    assert ended.stdout == ""
    assert ended.macs == counts_on_host(folder, tops, 1)[0]
    assert tuple(macs.analytic for macs in ended.macs) == graph_macs(project.graph)


def test_the_bits_are_those_of_the_release(tmp_path: Path, tops: Split) -> None:
    project = compile_project(tmp_path / "p", "last-7")
    runner = make_runner(tmp_path / "p", "host", 0, debug=True)
    found = hashes(runner, project, tops, 64)
    check_golden("fashion5 last-7 bias int16 head int16", found)
    with pytest.raises(MicrotuneError, match="--debug needs the generated C"):
        make_runner(tmp_path / "p", "numpy", 0, debug=True)


def test_a_release_counts_nothing(tmp_path: Path) -> None:
    compile_project(tmp_path / "p", "last-2")
    build_library(tmp_path / "p", tmp_path / "release.so")
    with pytest.raises(AttributeError):
        ctypes.CDLL(str(tmp_path / "release.so")).mt_debug_overflow  # noqa: B018
    with pytest.raises(MicrotuneError, match="-DMT_DEBUG"):
        HostLibrary(tmp_path / "p").macs()


def overflowing(layer: str) -> ModelFile:
    """The embedded model with one bias at the end of its range."""
    model = load_any(embedded.MODEL)
    bias = model.graph.data[f"{layer}.bias"].copy()
    bias[3] = INT32_MAX
    model.graph.data[f"{layer}.bias"] = bias
    return model


def compile_overflowing(folder: Path, layer: str, target: str = "cortex-m7") -> None:
    """A project whose C was given that bias by hand: the compiler refuses such a model."""
    compile_project(folder, "last-2", target=target)
    source = folder / "model/microtune_model.c"
    table = rf"(static const int32_t {layer}_bias\[\d+\] = \{{\s*(?:-?\d+,\s*){{3}})-?\d+,"
    text, count = re.subn(table, rf"\g<1>{INT32_MAX},", source.read_text(encoding="utf-8"))
    assert count == 1
    source.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("layer", "file"), [
    ("block2_expand", "mt_dense.c"), ("block2_depthwise", "mt_depthwise.c"),
])  # fmt: skip
def test_an_overflow_is_an_error_on_the_host(
    tmp_path: Path, tops: Split, layer: str, file: str
) -> None:
    compile_overflowing(tmp_path / "p", layer)
    runner = HostRunner(tmp_path / "p", 0, flags=DEBUG_FLAGS)
    records = [Record(Call.INFER, frame) for frame in tops.frames[:20]]
    with pytest.raises(MicrotuneError, match=rf"accumulator overflowed at src/portable/{file}:\d"):
        list(runner.run(records))


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m7", RISCV])
def test_an_overflow_stops_the_firmware(tmp_path: Path, tops: Split, core: str) -> None:
    compile_overflowing(tmp_path / "p", "block2_expand", core)
    runner = QemuRunner(tmp_path / "p", 0, debug=True)
    records = [Record(Call.INFER, frame) for frame in tops.frames[:20]]
    with pytest.raises(MicrotuneError, match=r"accumulator overflowed at src/portable/mt_dense"):
        list(runner.run(records))


def test_the_command_refuses_an_overflow(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    compile_overflowing(folder, "block2_expand")
    message = refused("train", folder, "--data", embedded.DATA, "--steps", 20, "--debug")
    assert str(overflow_error("src")).split(" at ")[0] in message
    done = run("train", folder, "--data", embedded.DATA, "--steps", 20)
    assert done.returncode == 0, done.stderr


def test_a_model_that_could_overflow_is_not_compiled(tmp_path: Path) -> None:
    with pytest.raises(InvalidGraphError, match=r"block2_expand: the accumulator of channel 3"):
        save_model(overflowing("block2_expand"), tmp_path / "m.mt")
    with pytest.raises(InvalidGraphError, match=r"block2_expand: the accumulator of channel 3"):
        compile_project(tmp_path / "p", "last-2", model=overflowing("block2_expand"))
