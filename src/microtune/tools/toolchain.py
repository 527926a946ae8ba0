"""Compilers: finding them, building a firmware with them, and the sizes of what they built."""

import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from microtune.errors import MicrotuneError
from microtune.runtime.files import PROJECT_INCLUDES
from microtune.targets import (
    ARM,
    COMPILE_FLAGS,
    DEFAULT_STACK_BYTES,
    LINK_FLAGS,
    Architecture,
    Placement,
    Target,
    render_linker_script,
)
from microtune.tools.compilers import Compiler, find_program, run_tool, version_of
from microtune.tools.elf import read_elf
from microtune.tools.flags import DEBUG_FLAG, PLAIN_NAMES
from microtune.tools.objects import CALL_GRAPH, Compilation, object_store

FirmwareCompiler = Literal["gcc", "zig"]

_ARENA = ".arena."
_OVERFLOW = re.compile(r"region [`'](\w+)'(?: overflowed by|: overflowed by) (\d+) bytes")


@dataclass(frozen=True)
class SectionSizes:
    """Bytes of a firmware, counted as a linker counts.

    `flash_bytes`: vectors, code, constants and the image of .data, libgcc included.
    `static_bytes`: .data, .bss, context and replay memory without the arenas; `arenas` lists
    (bank, bytes) of what `arena_bytes` sums; `stack_reserve_bytes` is what the linker script sets
    aside. The harness is listed apart and is in none of the others.
    """

    flash_bytes: int
    static_bytes: int
    arenas: tuple[tuple[str, int], ...]
    stack_reserve_bytes: int
    harness_flash_bytes: int
    harness_ram_bytes: int

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arenas in all memories together."""
        return sum(size for _, size in self.arenas)


@dataclass(frozen=True)
class Firmware:
    """A linked firmware and how it was made.

    `call_graph` is what GCC reports of frames and calls (`measure.stack`); Clang reports none.
    """

    elf: Path
    sizes: SectionSizes
    compiler: str
    optimisation: str
    call_graph: str = ""


@cache
def find_host_gcc() -> Compiler:
    """The host's gcc. Raises MicrotuneError, which says what to install, if there is none."""
    return find_program("gcc", "Install it with: apt-get install gcc libc6-dev")


@cache
def find_arm_gcc() -> Compiler:
    """The cross compiler for Cortex-M.

    Raises MicrotuneError, which says what to install, if there is none.
    """
    return find_cross_gcc(ARM)


def find_cross_gcc(architecture: Architecture) -> Compiler:
    """The cross compiler for an architecture.

    Raises MicrotuneError, which says what to install, if there is none.
    """
    return find_program(architecture.gcc, install_advice(architecture.compiler_package))


def install_advice(package: str) -> str:
    """Words that say how to install a program from a Debian package."""
    return f"Install it with: apt-get install --no-install-recommends {package}"


@cache
def find_clang() -> Compiler:
    """Clang from the `ziglang` package, which compiles for the host and for all chips.

    Raises MicrotuneError if the package is not installed.
    """
    package = find_spec("ziglang")
    if package is None or package.origin is None:
        raise MicrotuneError("Clang not found. Install it with: pip install ziglang==0.17.1")
    # What `python -m ziglang` starts, without an interpreter before each file.
    command = (str(Path(package.origin).with_name("zig")), "cc")
    return Compiler("clang", command, version_of(command))


def find_host_compiler() -> Compiler:
    """A C compiler for this machine: gcc if there is one, else Clang.

    Raises MicrotuneError, which says what to install, if there is neither.
    """
    if shutil.which("gcc") is not None:
        return find_host_gcc()
    try:
        return find_clang()
    except MicrotuneError as error:
        raise MicrotuneError(
            "no C compiler found. Install one with: apt-get install gcc libc6-dev"
            " (or: pip install ziglang==0.17.1)"
        ) from error


def build_firmware(
    project_dir: Path,
    target: Target,
    out_elf: Path,
    optimisation: str = "-O3",
    compiler: FirmwareCompiler = "gcc",
    *,
    stack_bytes: int = DEFAULT_STACK_BYTES,
    ram_bytes: int | None = None,
    flash_bytes: int | None = None,
    placement: Placement | None = None,
    debug: bool = False,
    augment: bool = False,
    load: bool = False,
) -> Firmware:
    """Compile and link the project at `project_dir` for `target` into `out_elf`.

    The sources are `src/**/*.c`, `model/*.c` and `port/*.c`. The linker script is rendered for
    `target` with the given budgets (bytes; default: all the target has), so that one project can
    be measured on several cores; `placement` says what goes to which of its memories (default:
    everything to the fastest). `debug` checks and counts (`run.debug`), `augment`
    links what changes frames, `load` what loads. What does not compile or does not fit is a
    MicrotuneError.
    """
    found = find_cross_gcc(target.architecture) if compiler == "gcc" else find_clang()
    cpu_flags = target.gcc_flags if compiler == "gcc" else target.zig_flags
    project = project_dir.resolve()
    sources = firmware_sources(project)
    script = render_linker_script(
        target, stack_bytes=stack_bytes, ram_bytes=ram_bytes, flash_bytes=flash_bytes,
        placement=placement,
    )  # fmt: skip
    base = [*found.command, *cpu_flags, optimisation, PLAIN_NAMES]
    # Without -g, zig strips the symbols that counting needs where it optimises for size.
    zig_flags = ["-fno-sanitize=undefined", "-w", "-g"]
    base += zig_flags if compiler == "zig" else ["-fcallgraph-info=su"]
    base += ([DEBUG_FLAG] if debug else []) + (["-DMT_HARNESS_AUGMENT"] if augment else [])
    base += ["-DMT_HARNESS_LOAD"] if load else []
    with tempfile.TemporaryDirectory(prefix="microtune-") as name:
        build = Path(name)
        (build / "linker.ld").write_text(script, encoding="utf-8")
        placing = (f"-ffile-prefix-map={project}=.",)
        flags = (*base[len(found.command) :], *COMPILE_FLAGS, *PROJECT_INCLUDES, "-Iport")
        compilation = Compilation(found, flags, project, build, object_store(), placing)
        objects = compilation.objects(sources)
        libraries = ["-lgcc"] if compiler == "gcc" else ["-rtlib=compiler-rt"]
        link = [*base, *LINK_FLAGS, "-Wl,-T,linker.ld", *map(str, objects), *libraries]
        _link([*link, "-o", "firmware.elf"], build)
        out_elf.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(build / "firmware.elf", out_elf)
        reports = [_call_graph(path) for path in objects]
    sizes = section_sizes(out_elf)
    return Firmware(out_elf, sizes, found.version, optimisation, "".join(reports))


def firmware_sources(project: Path) -> list[Path]:
    """The C files of a project, relative to it, in a fixed order."""
    files = [
        *sorted(project.glob("src/**/*.c")),
        *sorted(project.glob("model/*.c")),
        *sorted(project.glob("port/*.c")),
    ]
    if not files:
        raise MicrotuneError(
            f"{project}: no C sources found. Give a folder that `microtune compile` has written."
        )
    return [path.relative_to(project) for path in files]


def _call_graph(object_file: Path) -> str:
    """What GCC reported beside an object; Clang reports nothing."""
    report = object_file.with_suffix(CALL_GRAPH)
    return report.read_text(encoding="utf-8") if report.is_file() else ""


def _link(command: list[str], build: Path) -> None:
    try:
        run_tool(command, "linking the firmware", cwd=build)
    except MicrotuneError as error:
        overflows = _OVERFLOW.findall(str(error))
        if not overflows:
            raise
        worst = {
            region: max(int(b) for r, b in overflows if r == region) for region, _ in overflows
        }
        listed = ", ".join(f"{region} by {excess} bytes" for region, excess in worst.items())
        raise MicrotuneError(
            f"the firmware does not fit: {listed}. Choose a smaller scheme or model, or a target"
            " with more memory."
        ) from error


def section_sizes(elf: Path) -> SectionSizes:
    """Sizes in bytes of the sections of `elf`, of the product and of the test harness apart."""
    allocated = [section for section in read_elf(elf).sections if section.allocated]
    harness = [section for section in allocated if section.name.startswith(".harness")]
    product = [section for section in allocated if section not in harness]
    ram = {".data", ".bss", ".context", ".replay", ".stack"}
    arenas = [section for section in product if section.name.startswith(_ARENA)]

    def total(*names: str) -> int:
        return sum(section.bytes for section in product if section.name in names)

    return SectionSizes(
        flash_bytes=sum(s.bytes for s in product if s.name not in ram and s not in arenas)
        + total(".data"),
        static_bytes=total(".data", ".bss", ".context", ".replay"),
        arenas=tuple((s.name.removeprefix(_ARENA), s.bytes) for s in arenas if s.bytes),
        stack_reserve_bytes=total(".stack"),
        harness_flash_bytes=sum(s.bytes for s in harness if s.name != ".harness.bss"),
        harness_ram_bytes=sum(
            s.bytes for s in harness if s.name in (".harness.data", ".harness.bss")
        ),
    )
