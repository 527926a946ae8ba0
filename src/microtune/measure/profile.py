"""Exact instruction counts of every node of a step, by address, in QEMU.

The generated code calls one kernel for each node, or `mt_stream` for a segment of rows. The
emulator's plugin counts each instruction apart for every such call, and within `mt_stream` for
every stage: a row begins where the table of the order of rows is read. So a streamed layer gets
all its rows, wherever they were made; nothing is estimated and nothing is added to the firmware.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph, Node
from microtune.ir.macs import node_macs
from microtune.ir.ops import Trait, has
from microtune.measure.codemap import CodeMap, kernel_text_bytes, read_code
from microtune.measure.records import training_record
from microtune.memory.rings import Segment, segments_of
from microtune.project.manifest import read_plan
from microtune.project.project import read_project
from microtune.run.emulator import MAP_NAME, PROFILE_NAME, run_firmware
from microtune.run.job import JOB_NAME, Call, Record, write_job
from microtune.targets import DEFAULT_STACK_BYTES, Target
from microtune.tools.elf import memory_image
from microtune.tools.toolchain import Firmware, FirmwareCompiler, build_firmware
from microtune.training.calibrate import synthetic_frame
from microtune.training.tasks import target_codes

STREAM = "mt_stream"
BETWEEN = "(calls)"
_FRAME, _SEED = 1000, 1

Counts = dict[int, int]


@dataclass(frozen=True)
class Build:
    """How the firmware is built; `portable` leaves out all kernels for instruction sets."""

    target: Target
    optimisation: str = "-O3"
    compiler: FirmwareCompiler = "gcc"
    portable: bool = False
    stack_bytes: int = DEFAULT_STACK_BYTES

    @property
    def name(self) -> str:
        """The build as tables name it: target, compiler and flags."""
        compiler = "GCC" if self.compiler == "gcc" else "Clang"
        kernels = " portable" if self.portable else ""
        return f"{self.target.name}{kernels} {compiler} {self.optimisation}"


@dataclass(frozen=True)
class Part:
    """A node of the graph with the instruction counts, by address, of its kernel call or rows.

    Code between the calls, and the runtime around it, is a part `BETWEEN` without a node. The rows
    of the input and the start of a segment have no node either.
    """

    name: str
    node: Node | None
    macs: int
    counts: Counts

    @property
    def instructions(self) -> int:
        """The number of instructions executed in the part."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Profile:
    """The profile of one inference and, if the project trains, of one training step.

    `text_bytes` is the code of kernels and runtime.
    """

    graph: Graph
    firmware: Firmware
    text_bytes: int
    code: CodeMap
    infer: tuple[Part, ...]
    train: tuple[Part, ...]

    @staticmethod
    def total(parts: tuple[Part, ...]) -> int:
        """Instructions of the whole call: the same number as `measure` counts."""
        return sum(part.instructions for part in parts)

    def functions(self, parts: tuple[Part, ...]) -> dict[str, int]:
        """Instructions by C function, the largest first."""
        return self.code.by_function(merge(part.counts for part in parts))


def merge(counts: Iterator[Counts]) -> Counts:
    """The sum, by address, of several instruction counts."""
    total: Counts = {}
    for one in counts:
        for address, count in one.items():
            total[address] = total.get(address, 0) + count
    return total


def profile_project(project: Path, build: Build) -> Profile:
    """Build the firmware, run two calls of each kind on a fixed frame, and profile the second ones.

    Needs qemu-system-arm and arm-none-eabi-gcc (and Clang for `compiler="zig"`). Raises
    MicrotuneError if one is missing.
    """
    plan, graph = read_project(project)
    with tempfile.TemporaryDirectory(prefix="microtune-profile-") as name:
        folder = Path(name)
        firmware = _build(project, build, folder / "firmware.elf")
        code = read_code(firmware.elf)
        map_text = _map_text(graph, code, firmware.elf, build.target)
        (folder / MAP_NAME).write_text(map_text, encoding="ascii")
        job = write_job(
            folder / JOB_NAME, _SEED, _records(graph), graph.input_tensor.bytes,
            plan.outputs, target_codes=target_codes(graph),
        )  # fmt: skip
        run = run_firmware(firmware.elf, build.target, folder, plugin=True, profile=True)
        run.require_success()
        calls = _read_profile(folder / PROFILE_NAME)
        text_bytes = kernel_text_bytes(firmware.elf)
    totals = [sum(sum(c.values()) for c in call.values()) for call in calls]
    if len(calls) != len(job.calls) or tuple(totals) != run.call_instructions:
        raise MicrotuneError(
            f"the profile of {project} does not add up to the instructions counted: "
            f"{totals} and {list(run.call_instructions)}"
        )
    train = _parts(graph, code, calls[3], True) if len(calls) > 2 else ()
    infer = _parts(graph, code, calls[1], False)
    return Profile(graph, firmware, text_bytes, code, infer, train)


def chip_of(build: Build) -> Target:
    """The target of a build, with the flag that chooses portable kernels."""
    if not build.portable:
        return build.target
    flag = ("-DMT_PORTABLE",)
    return replace(
        build.target, gcc_flags=build.target.gcc_flags + flag,
        zig_flags=build.target.zig_flags + flag,
    )  # fmt: skip


def _build(project: Path, build: Build, elf: Path) -> Firmware:
    return build_firmware(
        project, chip_of(build), elf, build.optimisation, build.compiler,
        stack_bytes=build.stack_bytes, placement=read_plan(project).placement_on(build.target),
    )  # fmt: skip


def _records(graph: Graph) -> list[Record]:
    """Two calls of each: a first training step may see other exponents than later ones."""
    frame = synthetic_frame(graph.input_tensor.shape, _FRAME)
    records = [Record(Call.INFER, frame)] * 2
    if graph.updates:
        records += [training_record(graph, frame)] * 2
    return records


# -- the map that the plugin gets -----------------------------------------------------------------


def _map_text(graph: Graph, code: CodeMap, elf: Path, target: Target) -> str:
    lines = [f"code {target.flash.origin:x} {target.flash.bytes:x}"]
    for address, site in code.model_calls().items():
        lines += [f"call {address:x} 0", f"back {site.instruction.next:x} 0"]
    segments = segments_of(graph)
    driver = code.function(STREAM)
    if segments and driver is not None:
        lines.append(f"reader {driver.address:x} {driver.bytes:x}")
    image = memory_image(elf)
    for segment in segments:
        for first in _order_tables(image, segment):
            lines += [f"row {first + i:x} {stage + 1:x}" for i, stage in enumerate(segment.order)]
    return "\n".join(lines) + "\n"


def _order_tables(image: Sequence[tuple[int, bytes]], segment: Segment) -> list[int]:
    """Addresses of the tables with the order of a segment's rows, each behind its second pointer.

    Names would not do: Clang merges tables and drops their names. Several segments may have equal
    tables; then they are read alike.
    """
    counts = struct.pack("<II", len(segment.stages), len(segment.order))
    found: set[int] = set()
    for _, content in image:
        at = content.find(counts, 8)
        while at >= 0:
            (pointer,) = struct.unpack_from("<I", content, at - 4)
            if _read(image, pointer, len(segment.order)) == segment.order:
                found.add(pointer)
            at = content.find(counts, at + 1)
    if not found:
        raise MicrotuneError(f"no table of rows of {segment.stages[-1]}: build the project again")
    return sorted(found)


def _read(image: Sequence[tuple[int, bytes]], address: int, size: int) -> bytes:
    for start, content in image:
        if start <= address < start + len(content):
            return content[address - start : address - start + size]
    return b""


def _read_profile(path: Path) -> list[dict[tuple[int, int], Counts]]:
    """For each call: (part, stage) -> counts by address."""
    calls: list[dict[tuple[int, int], Counts]] = []
    for line in path.read_text(encoding="ascii").splitlines():
        words = line.split()
        if words == ["call"]:
            calls.append({})
            continue
        key = (int(words[0]), int(words[1]))
        calls[-1].setdefault(key, {})[int(words[2], 16)] = int(words[3])
    return calls


# -- parts of a call -> nodes of the graph --------------------------------------------------------


def calls_of(graph: Graph, train: bool) -> list[Node | Segment]:
    """The kernel calls of the generated code, in order, as codegen/model_source.py makes them."""
    segments = {segment.first: segment for segment in segments_of(graph)}
    calls: list[Node | Segment] = []
    streamed = 0
    for index, node in enumerate(graph.nodes):
        if index in segments:
            calls.append(segments[index])
            streamed = segments[index].last
        if index < streamed or has(node, Trait.VIEW):
            continue
        if train or not has(node, Trait.TRAINING_ONLY):
            calls.append(node)
        if has(node, Trait.HEAD) and not train:
            break
    return calls


def _parts(
    graph: Graph, code: CodeMap, found: Mapping[tuple[int, int], Counts], train: bool
) -> tuple[Part, ...]:
    expected = calls_of(graph, train)
    begun = max(part for part, _ in found)
    if begun != len(expected):
        raise MicrotuneError(
            f"the firmware made {begun} kernel calls, the graph has {len(expected)}: "
            "build the project again"
        )
    sites = code.model_calls()
    parts = [Part(BETWEEN, None, 0, found[0, 0])]
    for number, what in enumerate(expected, 1):
        kernels = {sites[address].kernel for address in found[number, 0] if address in sites}
        if isinstance(what, Segment) != (STREAM in kernels):
            raise MicrotuneError(f"call {number} of the firmware is of {', '.join(kernels)}")
        if isinstance(what, Segment):
            parts += _stages(graph, what, number, found)
        else:
            name = what.outputs[0] if what.outputs else what.op
            parts.append(Part(name, what, node_macs(graph, what), found[number, 0]))
    return tuple(parts)


def _stages(
    graph: Graph, segment: Segment, number: int, found: Mapping[tuple[int, int], Counts]
) -> list[Part]:
    nodes = {node.outputs[0]: node for node in graph.nodes[segment.first : segment.last]}
    parts = [Part(f"segment of {segment.stages[-1]}", None, 0, found[number, 0])]
    for stage, name in enumerate(segment.stages, 1):
        counts = found.get((number, stage), {})
        if name not in nodes:
            parts.append(Part(f"rows of {name}", None, 0, counts))
        else:
            parts.append(Part(name, nodes[name], node_macs(graph, nodes[name]), counts))
    return parts
