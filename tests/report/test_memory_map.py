"""The memory map: what it says about a plan, and that the views of it are drawn and legible."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from microtune import pipeline
from microtune.cli import app
from microtune.errors import MicrotuneError
from microtune.measure.memory_map import Block, BufferKind, MemoryMap, load_memory_map, memory_map
from microtune.project.manifest import ArenaEntry, Manifest, read_plan
from microtune.project.project import Project
from microtune.report.memory_labels import spread
from microtune.report.memory_picture import save_memory_picture
from microtune.report.memory_text import occupancy, render_memory
from tests.projects import compile_project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Project]:
    folder = tmp_path_factory.mktemp("map") / "p"
    return folder, compile_project(folder, "last-3")


def two_banks(plan: Manifest) -> Manifest:
    """The plan with its buffers of the second half of the arena in a bank of their own."""
    half = plan.arena_bytes // 2
    buffers = tuple(
        replace(b, bank="dtcm", offset=b.offset - half) if b.offset >= half else b
        for b in plan.buffers
    )
    arenas = tuple(
        ArenaEntry(bank, max(b.offset + b.bytes for b in buffers if b.bank == bank), 1, False, "")
        for bank in ("ram", "dtcm")
    )
    return replace(plan, buffers=buffers, arenas=arenas)


def as_text(memory: MemoryMap, *, colour: bool, width: int = 100) -> str:
    console = Console(width=width, force_terminal=colour, color_system=None)
    with console.capture() as capture:
        console.print(render_memory(memory, colour=colour, width=width), soft_wrap=True)
    return capture.get()


def test_the_map_says_what_the_planner_found(built: tuple[Path, Project]) -> None:
    folder, project = built
    memory = load_memory_map(folder)
    (bank,) = memory.banks
    assert bank.bytes == project.plan.arena_bytes
    assert bank.lower_bound == project.plan.lower_bound
    assert bank.peak_step == project.plan.peak_step
    expected = [b.name for b in project.plan.alive_at_peak()]
    assert [b.name for b in bank.at_peak()] == expected
    assert memory.steps == len(project.graph.nodes)
    assert project.graph.nodes[memory.backward - 1].op == "softmax_cross_entropy"
    assert ("proven minimal" in memory.verdict()) == (bank.bytes == bank.lower_bound)


def test_all_sram_adds_up_to_what_compile_planned(built: tuple[Path, Project]) -> None:
    folder, project = built
    parts = load_memory_map(folder).sram
    assert sum(parts.values()) == pipeline.planned_sram(project.graph, project.plan)
    assert all(size > 0 for size in parts.values())


def test_kinds(built: tuple[Path, Project]) -> None:
    kinds = {b.name: b.kind for b in load_memory_map(built[0]).banks[0].blocks}
    assert kinds["input"] is BufferKind.INPUT
    assert kinds["stem"] is BufferKind.ACTIVATION
    assert kinds["block6_expand"] is BufferKind.SAVED
    assert kinds["last.mask"] is BufferKind.MASK
    assert kinds["pool.dx"] is BufferKind.GRADIENT
    assert kinds["logits.grad"] is BufferKind.GRADIENT
    assert kinds["logits"] is BufferKind.RESULT
    assert kinds["scratch of stem"] is BufferKind.SCRATCH


def test_a_row_ring_is_known_by_the_kind_of_its_buffer(built: tuple[Path, Project]) -> None:
    plan = read_plan(built[0])
    first = replace(plan.buffers[0], name="stem ring", kind="ring")
    plan = replace(plan, buffers=(first, *plan.buffers[1:]))
    blocks = memory_map(plan, built[1].graph).banks[0].blocks
    assert blocks[0].kind is BufferKind.RING


def test_a_bank_is_proven_minimal_where_it_reaches_its_bound(built: tuple[Path, Project]) -> None:
    plan = read_plan(built[0])
    first = replace(plan.buffers[0], offset=8, bytes=80, first=0, last=9, bank="x", kind="tensor")
    second = replace(first, name="b", bank="y", offset=0, first=3, last=5)
    for bound, proven in ((88, True), (80, False)):
        arenas = (ArenaEntry("x", 88, bound, True, ""), ArenaEntry("y", 80, 80, True, ""))
        changed = replace(plan, buffers=(first, second), arenas=arenas)
        memory = memory_map(changed, built[1].graph)
        x, y = memory.banks
        assert [(b.offset, b.bytes, b.first, b.last) for b in x.blocks] == [(8, 80, 0, 9)]
        assert (x.bytes, x.lower_bound, y.bytes) == (88, bound, 80)
        assert ("each proven minimal" in memory.verdict()) == proven


def test_inference_only_has_no_backward_phase(tmp_path: Path) -> None:
    compile_project(tmp_path / "p", "none")
    memory = load_memory_map(tmp_path / "p")
    assert memory.backward == memory.steps
    text = as_text(memory, colour=False)
    assert "forward" in text and "backward" not in text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_the_terminal_view_is_plain_text_of_that_width(
    built: tuple[Path, Project], width: int
) -> None:
    text = as_text(load_memory_map(built[0]), colour=False, width=width)
    lines = text.splitlines()
    prose = ("fashion5, ", "arena ", "Peak ", "SRAM ")
    drawn = [line.rstrip() for line in lines if width >= 80 or not line.startswith(prose)]
    assert max(map(len, drawn)) <= width and not any("…" in line for line in drawn)
    rows = [line for line in lines if line[8:9] in ("|", "+")]
    assert len(rows) == 24 + 1
    flat = " ".join(text.split())
    for words in ("block6_expand", "eak at step", "lower bound", "proven minimal", "SRAM"):
        assert words in flat
    largest = max(load_memory_map(built[0]).banks[0].at_peak(), key=lambda b: b.bytes)
    assert f"{largest.bytes:,}" in text


def test_the_coloured_view_uses_half_blocks(built: tuple[Path, Project]) -> None:
    text = as_text(load_memory_map(built[0]), colour=True)
    assert "▀" in text and "▄" in text and "▼" in text and "#=" not in text


def test_pictures_are_written_and_hold_the_names(
    built: tuple[Path, Project], tmp_path: Path
) -> None:
    paths = [tmp_path / "new" / "m.svg", tmp_path / "m.png"]
    memory = load_memory_map(built[0])
    save_memory_picture(memory, paths)
    words = " ".join(ElementTree.parse(paths[0]).getroot().itertext())
    for name in ("block6_expand", "forward", "backward", "lower bound", "arena", "budget"):
        assert name in words
    for block in memory.banks[0].at_peak()[:3]:
        assert block.name in words and f"{block.bytes:,} B" in words
    with Image.open(paths[1]) as image:
        assert image.width > 1500 and len(image.convert("RGB").getcolors(1 << 24) or []) > 50
    first = paths[0].read_bytes()
    save_memory_picture(memory, paths[:1])
    assert paths[0].read_bytes() == first


def test_every_bank_has_a_panel(built: tuple[Path, Project], tmp_path: Path) -> None:
    memory = memory_map(two_banks(read_plan(built[0])), built[1].graph)
    assert [bank.name for bank in memory.banks] == ["ram", "dtcm"]
    text = as_text(memory, colour=False)
    assert "bank ram (beside stack and context)" in text and "bank dtcm:" in text
    save_memory_picture(memory, [tmp_path / "m.svg"])
    words = " ".join(ElementTree.parse(tmp_path / "m.svg").getroot().itertext())
    assert "address in dtcm" in words


def test_the_command(built: tuple[Path, Project], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["plan", str(built[0])])
    assert done.exit_code == 0 and "written" in done.stdout
    assert {p.name for p in built[0].glob("memory.*")} == {"memory.svg", "memory.png"}
    one = tmp_path / "only.svg"
    assert CliRunner().invoke(app, ["plan", str(built[0]), "-o", str(one)]).exit_code == 0
    assert one.is_file()
    with pytest.raises(MicrotuneError, match="a picture is called"):
        CliRunner().invoke(app, ["plan", str(built[0]), "-o", "map.bmp"], catch_exceptions=False)
    with pytest.raises(MicrotuneError, match="not a microtune project"):
        CliRunner().invoke(app, ["plan", str(tmp_path)], catch_exceptions=False)


def test_plan_json_alone_is_enough(built: tuple[Path, Project]) -> None:
    plan = json.loads((built[0] / "plan.json").read_text())
    assert memory_map(Manifest.from_json(plan), built[1].graph) == load_memory_map(built[0])


def test_a_cell_shows_the_block_that_fills_most_of_it() -> None:
    low = Block("low", BufferKind.ACTIVATION, 0, 50, 0, 4)
    thin = Block("thin", BufferKind.MASK, 50, 2, 0, 4)
    late = Block("late", BufferKind.GRADIENT, 50, 50, 2, 4)
    cells = occupancy((low, thin, late), 4, 100, 4, 4)
    assert cells[0] == cells[1] == [0, 0, 0, 0]
    assert cells[2] == cells[3] == [None, None, 2, 2]


@given(st.lists(st.floats(0, 100), max_size=10))
def test_spread_keeps_order_and_distance(heights: list[float]) -> None:
    places = spread(sorted(heights), 5.0, 0.0, 100.0)
    assert all(b - a >= 5.0 - 1e-9 for a, b in pairwise(places))
    assert all(-1e-9 <= place <= 100.0 + 1e-9 for place in places)
