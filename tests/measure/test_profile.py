"""Counts by layer add up to what is counted as a whole, streamed or not, on every core."""

from __future__ import annotations

from pathlib import Path

import pytest

from microtune import embedded
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir.macs import graph_macs
from microtune.measure.codemap import kernel_text_bytes, read_code
from microtune.measure.measure import measure
from microtune.measure.profile import BETWEEN, Build, Part, Profile, profile_project
from microtune.pipeline import Schedule
from microtune.targets import load_target
from microtune.tools.toolchain import build_firmware
from tests.projects import compile_project

pytestmark = pytest.mark.chip


def project(folder: Path, schedule: Schedule, scheme: str = "last-13") -> Path:
    compile_project(folder, scheme, model=load_any(embedded.MODEL), schedule=schedule)
    return folder


def profile(folder: Path, core: str, *, portable: bool = False) -> Profile:
    return profile_project(folder, Build(load_target(core), portable=portable))


def by_name(parts: tuple[Part, ...]) -> dict[str, Part]:
    return {part.name: part for part in parts if part.node is not None}


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("streamed"), "stream")


@pytest.fixture(scope="module")
def tuned(streamed: Path) -> Profile:
    return profile(streamed, "cortex-m7")


@pytest.mark.parametrize("core", ["cortex-m55", "cortex-m0plus"])
def test_the_parts_are_the_whole(streamed: Path, core: str) -> None:
    found, whole = profile(streamed, core), measure(streamed, target=core)
    assert found.total(found.infer) == whole.infer_instructions
    assert found.total(found.train) == whole.train_instructions
    assert sum(found.functions(found.train).values()) == whole.train_instructions
    macs = [sum(part.macs for part in parts) for parts in (found.infer, found.train)]
    assert tuple(macs) == graph_macs(found.graph)


def test_a_streamed_layer_gets_all_its_rows(tuned: Profile, tmp_path: Path) -> None:
    """Its kernel is that of the whole layer, so it costs nearly the same."""
    whole = profile(project(tmp_path, "layers"), "cortex-m7")
    a, b = by_name(tuned.infer), by_name(whole.infer)
    assert any(part.name.startswith("segment of") for part in tuned.infer)
    assert a.keys() == b.keys()
    for name, part in a.items():
        assert 0.9 < part.instructions / b[name].instructions < 1.5, name
    rest = sum(part.instructions for part in tuned.infer if part.node is None)
    assert 0 < rest < 0.02 * tuned.total(tuned.infer)


def test_parts_are_told_apart_by_their_kernels(tuned: Profile) -> None:
    """Nothing of a kernel is counted between the calls; the head's update is one function."""
    between = next(part for part in tuned.train if part.name == BETWEEN)
    assert not {"mt_conv2d", "mt_round_run"} & tuned.code.by_function(between.counts).keys()
    update = by_name(tuned.train)["head.weight.next"]
    assert "mt_head_update_int16" in tuned.code.by_function(update.counts)


def test_portable_kernels_are_slower(streamed: Path, tuned: Profile) -> None:
    plain = profile(streamed, "cortex-m7", portable=True)
    assert plain.total(plain.infer) > 1.5 * tuned.total(tuned.infer)


def test_a_model_that_does_not_learn_has_no_step(tmp_path: Path) -> None:
    found = profile(project(tmp_path, "stream", "none"), "cortex-m7")
    assert found.train == () and found.total(found.infer) > 0


def test_code_map_and_text(streamed: Path, tmp_path: Path) -> None:
    target = load_target("cortex-m7")
    elf = build_firmware(streamed, target, tmp_path / "f.elf").elf
    code = read_code(elf)
    kernels = {site.kernel for site in code.model_calls().values()}
    assert {"mt_stream", "mt_conv2d_input_grad", "mt_head_update_int16"} <= kernels
    driver = code.function("mt_stream")
    assert driver is not None and code.function_at(driver.address + 2) == "mt_stream"
    assert code.function("no such function") is None
    assert 10_000 < kernel_text_bytes(elf) < 48 * 1024
    with pytest.raises(MicrotuneError, match="disassembling failed"):
        read_code(Path(__file__))
