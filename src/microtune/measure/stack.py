"""The static bound of the stack: frames and calls as GCC reports them, the deepest path summed.

GCC writes both with `-fcallgraph-info=su`. The few calls through pointers are resolved by a table;
what comes from libgcc is read from its disassembly. Interrupts are the application's: on top of the
bound come the handler's own frames and what the hardware stacks (Cortex-M: 32 bytes, 104 with
floating point; RISC-V: nothing).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from microtune.errors import MicrotuneError
from microtune.measure.listing import FUNCTION, read_listing
from microtune.targets import Target
from microtune.tools.compilers import find_program, run_tool
from microtune.tools.elf import read_elf
from microtune.tools.toolchain import find_cross_gcc, install_advice

ENTRIES = (
    "mt_init", "mt_infer", "mt_train_step", "mt_make_latent", "mt_infer_latent", "mt_train_latent",
    "mt_save", "mt_load",
)  # fmt: skip
# Who calls through a pointer -> what it may hold (shell patterns). A firmware's row callback is
# mt_read_frame_row; a callback of the application's own needs what it needs.
POINTERS: Mapping[str, tuple[str, ...]] = {
    # The first two are inlined into the others or not.
    "infer_from": ("infer",), "train_from": ("train",), "mt_make_latent": ("infer",),
    "mt_infer": ("infer",), "mt_infer_latent": ("infer",),
    "mt_train_step": ("train",), "mt_train_latent": ("train",),
    "mt_stream": ("mt_read_frame_row", "mt_*_stage"),
}  # fmt: skip
_MAY_BE_MISSING = frozenset({"train", "mt_*_stage"})
_INDIRECT = "__indirect_call"
_NODE = re.compile(
    r'node: \{ title: "([^"]+)" label: "[^"\\]*\\n([^"\\]*?):\d+:\d+\\n(\d+) bytes \(([a-z,]+)\)'
)
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')


@dataclass(frozen=True)
class Frame:
    """The stack frame of one function in bytes; `file` is relative to the project."""

    bytes: int
    kind: str
    file: str


@dataclass
class CallGraph:
    """Functions by the title that GCC gives them (static ones are FILE:NAME), and their callees."""

    frames: dict[str, Frame] = field(default_factory=dict)
    calls: dict[str, set[str]] = field(default_factory=dict)

    def product_frames(self) -> dict[str, int]:
        """Bytes of the frames of all functions but those of the port and the harness."""
        return {
            title: frame.bytes for title, frame in self.frames.items()
            if not frame.file.startswith("port/")
        }  # fmt: skip


@dataclass(frozen=True)
class StackBounds:
    """Bounds of the stack in bytes of each public function, with the deepest path."""

    bounds: dict[str, int]
    paths: dict[str, tuple[str, ...]]

    @property
    def bytes(self) -> int:
        """The largest bound of all public functions, in bytes."""
        return max(self.bounds.values())


def parse_call_graph(text: str) -> CallGraph:
    """The call graph in the `.ci` files of all sources, concatenated."""
    graph = CallGraph()
    for title, file, size, kind in _NODE.findall(text):
        graph.frames[title] = Frame(int(size), kind, file)
    for source, target in _EDGE.findall(text):
        graph.calls.setdefault(source, set()).add(target)
    return graph


def stack_bounds(graph: CallGraph, target: Target, elf: Path | None = None) -> StackBounds:
    """The stack bound of every public function that the firmware has.

    Raises MicrotuneError, which names the function, for recursion, a frame of variable size, a call
    through an unknown pointer, and a function of unknown frame.
    """
    entries = [name for name in ENTRIES if name in graph.frames]
    if not entries:
        raise MicrotuneError(f"no function to bound: {', '.join(ENTRIES)} are not in the firmware")
    calls = {title: _resolve(graph, title) for title in graph.frames}
    outside = _reachable(entries, calls) - graph.frames.keys()
    library = (
        assembler_frames(elf, {n for n in outside if n.startswith("mt_")}, target)
        if elf is not None
        else {}
    )
    missing = sorted(outside - library.keys())
    library |= library_frames(missing, target) if missing else {}
    walk = _Walk(graph, calls, library)
    found = {name: walk.deepest(name) for name in entries}
    return StackBounds(
        {name: size for name, (size, _) in found.items()},
        {name: tuple(_base(title) for title in path) for name, (_, path) in found.items()},
    )


def _base(title: str) -> str:
    """The function's name without what GCC appends: FILE:NAME.isra.0 -> NAME."""
    return title.rpartition(":")[2].partition(".")[0]


def _resolve(graph: CallGraph, title: str) -> set[str]:
    """The functions that a function calls, with known pointers resolved."""
    calls = set(graph.calls.get(title, ()))
    if _INDIRECT not in calls:
        return calls
    calls.discard(_INDIRECT)
    for name in POINTERS.get(_base(title), (_INDIRECT,)):
        targets = {other for other in graph.frames if fnmatchcase(_base(other), name)}
        if not targets and name not in _MAY_BE_MISSING:
            targets = {_INDIRECT}
        calls |= targets
    return calls


def _reachable(roots: Sequence[str], calls: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        title = waiting.pop()
        if title == _INDIRECT or title in seen:
            continue
        seen.add(title)
        waiting += calls.get(title, ())
    return seen


class _Walk:
    """Finds the deepest path from a function; each function is visited once."""

    def __init__(
        self, graph: CallGraph, calls: Mapping[str, set[str]], library: Mapping[str, int]
    ) -> None:
        self.graph, self.calls, self.library = graph, calls, library
        self.known: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.open: list[str] = []

    def deepest(self, title: str) -> tuple[int, tuple[str, ...]]:
        """(bytes, path) from `title` down."""
        if title in self.known:
            return self.known[title]
        if title in self.open:
            cycle = [*self.open[self.open.index(title) :], title]
            raise MicrotuneError(f"recursion has no bound: {' -> '.join(map(_base, cycle))}")
        own = self._own(title)
        self.open.append(title)
        below = [self.deepest(name) for name in sorted(self.calls.get(title, ()))]
        self.open.pop()
        size, path = max(below, default=(0, ()))
        self.known[title] = (own + size, (title, *path))
        return self.known[title]

    def _own(self, title: str) -> int:
        if title == _INDIRECT:
            raise MicrotuneError(
                f"{_base(self.open[-1])} calls through a pointer: POINTERS in measure/stack.py "
                "must say what it may hold"
            )
        frame = self.graph.frames.get(title)
        if frame is None:
            return self.library[title]
        if frame.kind != "static":
            raise MicrotuneError(
                f"{_base(title)} ({frame.file}) has a stack frame of no fixed size"
            )
        return frame.bytes


def assembler_frames(elf: Path, names: set[str], target: Target) -> dict[str, int]:
    """Bytes of the frames of assembler kernels, of which GCC reports nothing.

    Only functions that the firmware has are looked at; they must call nothing.
    """
    found: dict[str, int] = {}
    for block in re.split(r"\n(?=[0-9a-f]{8} <)", _disassembly(elf, target)):
        head = FUNCTION.match(block)
        if head is None or head[2] not in names:
            continue
        frames, calls = read_listing(block, target.architecture)
        if calls[head[2]] - {head[2]}:
            others = ", ".join(sorted(calls[head[2]]))
            raise MicrotuneError(f"{head[2]} is written in assembler and calls {others}")
        found |= frames
    return found


def _disassembly(elf: Path, target: Target) -> str:
    kind = target.architecture
    objdump = find_program(kind.objdump, install_advice(kind.compiler_package))
    return run_tool([*objdump.command, "-d", "--no-show-raw-insn", str(elf)], "disassembling")


def library_frames(names: Sequence[str], target: Target) -> dict[str, int]:
    """Bytes of stack of functions of libgcc, with all that each calls.

    Read from the disassembly: everything that any of them may push is added up, so that the sum is
    a bound.
    """
    with tempfile.TemporaryDirectory(prefix="microtune-libgcc-") as folder:
        elf = Path(folder) / "library.elf"
        wanted = [f"-Wl,--undefined={name}" for name in names]
        gcc = find_cross_gcc(target.architecture)
        command = [*gcc.command, *target.gcc_flags, "-nostdlib", "-Wl,-e,0", *wanted]
        run_tool([*command, "-lgcc", "-o", str(elf)], "linking libgcc")
        listing = _disassembly(elf, target)
        symbols = read_elf(elf).symbols
    frames, calls = read_listing(listing, target.architecture)
    # A function may have several names, of which the listing shows one.
    shown = {int(at, 16): name for at, name in FUNCTION.findall(listing)}
    heads = {name: shown.get(symbols.get(name, 0) & ~1, "") for name in names}
    missing = [name for name, head in heads.items() if not head]
    if missing:
        raise MicrotuneError(f"no stack usage is known of: {', '.join(missing)}")
    return {name: sum(frames[n] for n in _reachable([head], calls)) for name, head in heads.items()}
