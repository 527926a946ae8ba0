"""The static bound of the stack: reading GCC's reports, and that the bound holds on a chip."""

from __future__ import annotations

from pathlib import Path

import pytest

from microtune.errors import MicrotuneError
from microtune.measure.listing import read_listing
from microtune.measure.measure import measure
from microtune.measure.stack import (
    ENTRIES,
    CallGraph,
    StackBounds,
    library_frames,
    parse_call_graph,
    stack_bounds,
)
from microtune.pipeline import InputMode
from microtune.targets import ARM, DEFAULT_STACK_BYTES, RISCV, load_target
from microtune.tools.toolchain import Firmware, build_firmware
from microtune.training.build import Formats
from tests.projects import compile_project

M7 = load_target("cortex-m7")
# Frames are small: what is above the limit is recorded here (the core that spills most), and may
# shrink.
FRAME_LIMIT = 512
RECORDED = {"dense_rows": 776}
BOUND_LIMIT = 1536
RISCV_CORE = pytest.param("riscv32imc", marks=pytest.mark.riscv)


def node(title: str, size: int, kind: str = "static") -> str:
    name = title.rpartition(":")[2]
    label = rf"{name}\nsrc/a.c:3:5\n{size} bytes ({kind})"
    return f'node: {{ title: "{title}" label: "{label}" }}\n'


def edge(source: str, target: str) -> str:
    return f'edge: {{ sourcename: "{source}" targetname: "{target}" label: "src/a.c:4:5" }}\n'


def bounds(*lines: str) -> StackBounds:
    return stack_bounds(parse_call_graph("".join(lines)), M7)


def test_the_deepest_path_counts() -> None:
    found = bounds(
        node("mt_init", 8), node("src/a.c:one.isra.0", 100), node("two", 40), node("three", 70),
        edge("mt_init", "src/a.c:one.isra.0"), edge("mt_init", "two"), edge("two", "three"),
        node("mt_save", 24), edge("mt_save", "three"),
    )  # fmt: skip
    assert found.bounds == {"mt_init": 8 + 40 + 70, "mt_save": 24 + 70}
    assert found.paths["mt_init"] == ("mt_init", "two", "three")
    assert found.bytes == 118


def test_pointers_are_resolved_by_table() -> None:
    lines = (
        node("mt_infer", 24), edge("mt_infer", "__indirect_call"),
        node("model/m.c:infer", 300), node("mt_train_step", 16),
        edge("mt_train_step", "__indirect_call"),
    )  # fmt: skip
    assert bounds(*lines).bounds == {"mt_infer": 324, "mt_train_step": 16}
    assert bounds(*lines, node("model/m.c:train", 50)).bounds["mt_train_step"] == 66


@pytest.mark.parametrize(("lines", "words"), [
    ((node("mt_init", 8), node("f", 8), edge("mt_init", "f"), edge("f", "mt_init")),
     "mt_init -> f -> mt_init"),
    ((node("mt_init", 8), node("f", 8), edge("mt_init", "f"), edge("f", "f")), "f -> f"),
    ((node("mt_init", 8), node("f", 64, "dynamic"), edge("mt_init", "f")),
     r"f \(src/a.c\) has a stack frame of no fixed size"),
    ((node("mt_init", 8), node("f", 64, "dynamic,bounded"), edge("mt_init", "f")),
     "no fixed size"),
    ((node("mt_init", 8), node("f", 8), edge("mt_init", "f"), edge("f", "__indirect_call")),
     "f calls through a pointer"),
    ((node("mt_infer", 8), edge("mt_infer", "__indirect_call")),
     "mt_infer calls through a pointer"),
    ((node("other", 8),), "no function to bound"),
])  # fmt: skip
def test_what_has_no_bound_is_named(lines: tuple[str, ...], words: str) -> None:
    with pytest.raises(MicrotuneError, match=words):
        bounds(*lines)


def test_a_jump_belongs_to_the_function_that_holds_its_target() -> None:
    """objdump names the nearest symbol, here that of a size."""
    _, calls = read_listing(
        "00008000 <one>:\n    8000:\tbne.n\t8004 <_ram_used+0x14>\n    8004:\tbx\tlr\n"
        "00008008 <two>:\n    8008:\tb.n\t8000 <_ram_used+0x10>\n", ARM,
    )  # fmt: skip
    assert calls == {"one": set(), "two": {"one"}}


def test_a_disassembly_is_read() -> None:
    frames, calls = read_listing(
        "00008000 <one>:\n"
        "    8000:\tpush\t{r4, r5, lr}\n"
        "    8002:\tvpush\t{d8-d10}\n"
        "    8004:\tsub\tsp, #12\n"
        "    8006:\tstrd\tip, lr, [sp, #-16]!\n"
        "    800a:\tbl\t8020 <two>\n"
        "    800e:\tblt.n\t8006 <one+0x6>\n"
        "00008020 <two>:\n"
        "    8020:\tstmdb\tsp!, {r4, lr}\n"
        "    8024:\tb.w\t8100 <three+0x4>\n"
        "000080fc <three>:\n"
        "    80fc:\tbx\tlr\n"
        "    80fe:\t.word\t0x12345678\n",
        ARM,
    )
    assert frames == {"one": 12 + 24 + 12 + 16, "two": 8, "three": 0}
    assert calls == {"one": {"two"}, "two": {"three"}, "three": set()}
    for line in ("sub\tsp, r3", "blx\tr3", "bx\tr3"):
        with pytest.raises(MicrotuneError, match="odd"):
            read_listing(f"00008000 <odd>:\n    8000:\t{line}\n", ARM)


def test_a_disassembly_of_riscv_is_read() -> None:
    frames, calls = read_listing(
        "80000000 <one>:\n"
        "80000000:\tadd\tsp,sp,-32\n"
        "80000002:\tsw\tra,28(sp)\n"
        "80000004:\tjal\t80000020 <two>\n"
        "80000008:\tjalr\t-12(ra) # 80000100 <three>\n"
        "8000000c:\tbeqz\ta0,80000002 <one+0x2>\n"
        "80000010:\tadd\tsp,sp,32\n"
        "80000012:\tret\n"
        "80000020 <two>:\n"
        "80000020:\taddi\tsp,sp,-16\n"
        "80000022:\tjr\ta5\n"
        "80000024 <four>:\n"
        "80000024:\tmv\ta0,a1\n"
        "80000100 <three>:\n"
        "80000100:\tret\n",
        RISCV,
    )
    assert frames == {"one": 32, "two": 16, "three": 0, "four": 0}
    assert calls == {"one": {"two", "three"}, "two": set(), "four": {"three"}, "three": set()}
    for line in ("sub\tsp,sp,t0", "add\tsp,sp,t1", "jalr\ta5"):
        with pytest.raises(MicrotuneError, match="odd"):
            read_listing(f"80000000 <odd>:\n80000000:\t{line}\n", RISCV)


@pytest.mark.chip
@pytest.mark.parametrize(("core", "division", "addition"), [
    ("cortex-m3", "__aeabi_uldivmod", "__aeabi_fadd"),
    pytest.param("riscv32imc", "__udivdi3", "__divsf3", marks=pytest.mark.riscv),
])  # fmt: skip
def test_frames_of_libgcc_are_found(core: str, division: str, addition: str) -> None:
    found = library_frames([division, addition], load_target(core))
    assert 0 <= found[division] <= 128
    assert 0 <= found[addition] <= 64
    assert sum(found.values()) >= 32
    with pytest.raises(MicrotuneError, match="mt_nowhere"):
        library_frames(["mt_nowhere"], M7)


def firmware_of(folder: Path, core: str, optimisation: str) -> Firmware:
    return build_firmware(folder, load_target(core), folder.parent / "x.elf", optimisation)


def frames_of(graph: CallGraph) -> dict[str, int]:
    """Bytes of each product function by its name in the source."""
    frames: dict[str, int] = {}
    for title, size in graph.product_frames().items():
        name = title.rpartition(":")[2].partition(".")[0]
        frames[name] = max(size, frames.get(name, 0))
    return frames


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3", "cortex-m7", RISCV_CORE])
@pytest.mark.parametrize("optimisation", ["-O3", "-O2", "-Os"])
def test_nothing_large_is_on_the_stack(tmp_path: Path, core: str, optimisation: str) -> None:
    project = tmp_path / "p"
    compile_project(project, "last-3", Formats("int16", "float32"))
    firmware = firmware_of(project, core, optimisation)
    graph = parse_call_graph(firmware.call_graph)
    large = {name: size for name, size in frames_of(graph).items() if size > FRAME_LIMIT}
    assert all(size <= RECORDED.get(name, 0) for name, size in large.items()), large
    found = stack_bounds(graph, load_target(core), firmware.elf)
    assert set(found.bounds) == set(ENTRIES)
    steps = [found.bounds[name] for name in ("mt_train_step", "mt_train_latent")]
    assert found.bytes == max(steps) <= BOUND_LIMIT
    assert max(found.bounds[name] for name in ("mt_init", "mt_save", "mt_load")) < 128


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m7", RISCV_CORE])
@pytest.mark.parametrize(("scheme", "input_mode"), [
    ("full", "resident"), ("last-3", "rows"), ("none", "rows"),
])  # fmt: skip
def test_the_high_water_mark_stays_below_the_bound(
    tmp_path: Path, core: str, scheme: str, input_mode: InputMode
) -> None:
    compile_project(tmp_path / "p", scheme, input_mode=input_mode, target=core)
    figures = measure(tmp_path / "p").to_json()
    assert 0 < figures["stack_bytes"] <= figures["stack_bound_bytes"] <= DEFAULT_STACK_BYTES
    assert figures["stack_bound_bytes"] <= BOUND_LIMIT
