"""Scratch is planned by Python (`codegen/scratch.py`) and used by C: both must say the same bytes.

The cases are the parameter structures that are emitted for random training graphs, so that the
emitter is a part of the comparison. Canaries in the kernel tests (tests/runtime/kernel_cases.c)
hold the other half: no kernel of any instruction set writes outside of what the C functions say.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtune import pipeline
from microtune.codegen.emitter import identifier
from microtune.codegen.model_source import model_source
from microtune.codegen.scratch import scratch_rule
from microtune.ir.convolution import ConvKind
from microtune.ir.graph import Graph, Node
from microtune.run.emulator import run_firmware
from microtune.runtime.files import RUNTIME, kernel_sources, runtime_includes
from microtune.targets import COMPILE_FLAGS, LINK_FLAGS, load_target, render_linker_script
from microtune.tools.toolchain import find_cross_gcc
from tests.codegen.layer_graphs import random_training_graph
from tests.runtime import runtime_native as native
from tests.runtime.runtime_native import ConvShape, fill

FORWARD, ROW, GRADIENT, UPDATE = range(4)
KINDS = {
    FORWARD: ("mt_conv2d_scratch_bytes", native.ConvParams),
    ROW: ("mt_conv2d_row_scratch_bytes", native.ConvParams),
    GRADIENT: ("mt_conv2d_input_grad_scratch_bytes", native.ConvGradParams),
    UPDATE: ("mt_conv2d_weight_update_scratch_bytes", native.WeightUpdateParams),
}
OPS = {
    "conv2d": FORWARD, "fully_connected": FORWARD, "q_conv2d_input_grad": GRADIENT,
    "conv2d_weight_update": UPDATE,
}  # fmt: skip
STRUCTS = {FORWARD: "conv2d_params", GRADIENT: "conv2d_input_grad_params",
           UPDATE: "conv2d_weight_update_params"}  # fmt: skip
KIND_NAMES = [kind.value for kind in ConvKind]
ON_CHIP = 100  # graphs
FILES = ("mt_conv2d_finish.c", "mt_conv2d_input_grad.c", "mt_weight_update.c")


@dataclass(frozen=True)
class Case:
    """A kernel call of a generated model and the scratch that Python plans for it."""

    kind: int
    shape: tuple[int, ...]
    ordered: bool
    trained: int
    in_place: bool
    bytes: int


def cases_of(graph: Graph) -> list[Case]:
    """One for each kernel with scratch; a layer that is streamed makes one row at a time."""
    source = model_source(graph, pipeline.plan_graph(graph), "00" * 32, "00" * 32)
    rule = scratch_rule(graph)
    options = graph.execution
    found = []
    for node in graph.nodes:
        if node.op in OPS:
            streamed = node.outputs[0] in options.segments
            in_place = node.outputs[0] in options.in_place
            found.append(_case(node, source, rule(node), streamed, in_place))
    return found


def _case(node: Node, source: str, planned: int, streamed: bool, in_place: bool) -> Case:
    kind = OPS[node.op]
    name = node.inputs[3] if kind == UPDATE else node.outputs[0]
    symbol = f"{identifier(name)}_{STRUCTS[kind]}"
    body = re.search(rf"^static const mt_\w+ {symbol} = \{{\n(.*?)\n\}};", source, re.M | re.S)
    assert body, symbol
    shape = re.search(r"\.shape = \{(.*?)\}", body[1])
    order = re.search(r"\.channel_order = (\w+)", body[1])
    trained = re.search(r"\.trained_channels = (\d+)", body[1])
    assert shape and order and trained
    fields: dict[str, str | int] = dict(re.findall(r"\.(\w+) = (-?\w+)", shape[1]))
    fields["kind"] = KIND_NAMES.index(str(fields["kind"]))
    values = tuple(int(fields[name]) for name, *_ in ConvShape._fields_)
    return Case(ROW if streamed else kind, values, order[1] != "NULL", int(trained[1]), in_place,
                planned)  # fmt: skip


there = ctypes.c_uint16()  # a channel order of which only the address counts


def bytes_of(lib: ctypes.CDLL, case: Case) -> int:
    """What the C function says."""
    function, struct = KINDS[case.kind]
    order = ctypes.addressof(there) if case.ordered else None
    params = fill(
        struct, shape=ConvShape(*case.shape), channel_order=order, trained_channels=case.trained
    )
    return native.scratch_bytes(lib, function, params, int(case.in_place))


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> list[ctypes.CDLL]:
    """The scratch functions beside the portable kernels and beside those for this machine."""
    folder, found = tmp_path_factory.mktemp("scratch"), []
    includes = runtime_includes()
    files = [str(RUNTIME / file) for file in kernel_sources()]
    for name, flag in (("portable", "-DMT_PORTABLE"), ("native", "-march=native")):
        path = folder / f"{name}.so"
        command = ["gcc", "-std=c99", "-O0", "-fPIC", "-shared", flag, *includes, *files]
        subprocess.run([*command, "-o", str(path)], check=True, capture_output=True)
        found.append(ctypes.CDLL(str(path)))
    return found


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_python_plans_the_scratch_that_the_kernels_ask_for(
    libraries: list[ctypes.CDLL], seed: int
) -> None:
    for case in cases_of(random_training_graph(seed)):
        assert [bytes_of(lib, case) for lib in libraries] == [case.bytes] * 2, case


@pytest.fixture(scope="module")
def many() -> list[Case]:
    """Cases enough for every way a formula can go."""
    return [case for seed in range(ON_CHIP) for case in cases_of(random_training_graph(seed))]


def test_the_cases_go_every_way(many: list[Case]) -> None:
    """Kinds of call and of convolution, parts of weights, in place, few pixels, wide, narrow."""
    tags: Counter[str] = Counter()
    for case in many:
        named = dict(zip((name for name, *_ in ConvShape._fields_), case.shape, strict=True))
        groups, taps = named["groups"], named["k_h"] * named["k_w"]
        inputs, pixels = named["in_c"] // groups, named["out_h"] * named["out_w"]
        kind = KIND_NAMES[named["kind"]].removeprefix("MT_").lower()
        tags[f"{('forward', 'row', 'gradient', 'update')[case.kind]} {kind}"] += 1
        if case.ordered:
            tags[f"ordered {kind} {case.kind}"] += 1
        tags["in place"] += case.in_place
        tags["one to one"] += named["in_c"] == named["out_c"] == 1
        tags["few pixels"] += pixels < 8
        tags["wide"] += inputs * taps > 256 and pixels >= 8
        tags["narrow"] += inputs * taps <= 256 and pixels >= 8
        tags["pointwise gradient"] += case.kind == GRADIENT and taps == groups == 1
    wanted = [f"{call} {kind}" for call in ("forward", "gradient", "update", "row")
              for kind in ("dense", "grouped", "depthwise")]  # fmt: skip
    wanted += [f"ordered {kind} {call}" for call in (FORWARD, GRADIENT, UPDATE)
               for kind in ("dense", "depthwise")]  # fmt: skip
    wanted += ["in place", "one to one", "few pixels", "wide", "narrow", "pointwise gradient"]
    assert not [tag for tag in wanted if tags[tag] < 4], tags


@pytest.mark.chip
@pytest.mark.parametrize(
    "core",
    ["cortex-m0plus", "cortex-m7", "cortex-m55",
     pytest.param("riscv32imc", marks=pytest.mark.riscv)],
)  # fmt: skip
def test_the_kernels_on_the_chip_ask_for_the_same(
    many: list[Case], tmp_path: Path, core: str
) -> None:
    """All cases in one boot: portable, DSP and Helium kernels."""
    rows = "".join(
        f"    {{{case.kind}, {{{', '.join(map(str, case.shape))}}}, {int(case.ordered)}, "
        f"{case.trained}, {int(case.in_place)}, {case.bytes}}},\n"
        for case in many
    )
    (tmp_path / "scratch_table.h").write_text(rows)
    target = load_target(core)
    gcc = find_cross_gcc(target.architecture)
    port = RUNTIME / "port"
    family = "riscv" if core.startswith("riscv") else "arm"
    sources = [
        Path(__file__).parent / "scratch_cases.c",
        *(RUNTIME / "portable" / name for name in FILES),
        *(port / f"{name}.c" for name in ("startup", f"startup_{family}", f"harness_{family}",
                                          "semihosting", "string")),
    ]  # fmt: skip
    script = tmp_path / "linker.ld"
    script.write_text(render_linker_script(target, stack_bytes=8192), encoding="utf-8")
    includes = [f"-I{tmp_path}", *runtime_includes("port")]
    flags = [*target.gcc_flags, "-O1", *COMPILE_FLAGS, *includes, *LINK_FLAGS, f"-Wl,-T,{script}"]
    elf = tmp_path / "cases.elf"
    command = [*gcc.command, *flags, *map(str, sources), "-lgcc", "-o", str(elf)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    done = run_firmware(elf, target, tmp_path)
    assert (done.exit_code, done.stdout.strip()) == (0, "the same")
