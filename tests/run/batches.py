"""Builds a batch of training cases with one runtime and runs it, here or on an emulated core.

`python -m tests.run.batches SEED [BUILD]` replays one case in one of HOST_BUILDS or on a core
and prints every step.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from microtune.run.emulator import run_firmware
from microtune.runtime.files import (
    RUNTIME,
    RUNTIME_INCLUDES,
    kernel_sources,
    runtime_includes,
)
from microtune.targets import COMPILE_FLAGS, LINK_FLAGS, load_target, render_linker_script
from microtune.tools.compilers import Compiler
from microtune.tools.objects import Compilation, object_store
from microtune.tools.toolchain import find_clang, find_cross_gcc, find_host_gcc
from tests.run.training_cases import (
    Step,
    TrainingCase,
    draw,
    parse_steps,
    training_case,
    write_batch,
)
from tests.runtime.runtime_native import BUILDS, COMMON, PORTABLE, SANITIZE, compilation

HERE = Path(__file__).parent
NATIVE_PORT = HERE.parent / "runtime" / "native_port.c"
DRIVER = HERE / "training_batch.c"
CORE = ("microtune.c", "mt_row_source.c", "mt_steps.c", "mt_crc32.c", "mt_learning_rate.c")
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# The core takes the model that the driver points to: its declaration becomes one of a pointer.
INDIRECT = "-Dmt_generated_model=(*training_batch_model)"


@dataclass(frozen=True)
class HostBuild:
    """Flags of the runtime, and of the models: those are tables and calls, so kernels of one build
    and of another share them, and nobody optimises them."""

    runtime: list[str]
    model: list[str]
    compiler: Callable[[], Compiler] = find_host_gcc


PLAIN, CHECKED = ["-O0"], ["-O1", *SANITIZE]
UNCHECKED = "-fno-sanitize=all"  # zig checks at low levels of optimisation
HOST_BUILDS = {
    "portable": HostBuild(PORTABLE, PLAIN),
    "avx2": HostBuild(["-O1", "-march=native"], PLAIN),
    "clang": HostBuild(BUILDS["clang-O2"], ["-O0", UNCHECKED], find_clang),
    "sanitize": HostBuild([*PORTABLE, *SANITIZE], CHECKED),
    "sanitize-avx2": HostBuild(["-O1", "-march=native", *SANITIZE], CHECKED),
}
STACK_BYTES = 8192


def run(command: list[str], cwd: Path | None = None) -> str:
    """Run a tool; its words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(command[:8])} …\n{done.stdout}{done.stderr[-4000:]}"
    return done.stdout


def includes() -> list[str]:
    """Where the headers of the runtime lie."""
    return runtime_includes("port")


def runtime_objects(compilation: Compilation) -> list[str]:
    """The kernels and the core, compiled once for these flags by all tests."""
    flags = (*compilation.flags, INDIRECT)
    indirect = replace(compilation, flags=flags, placing=(f"-I{HERE}",))
    core = [Path("core", name) for name in CORE]
    objects = [*compilation.objects(kernel_sources()), *indirect.objects(core)]
    return [str(path) for path in objects]


_STATIC = re.compile(r"^static [^=;{(\[]*?(\w+)(?= =|[\[(;])", re.MULTILINE)
_MACRO = re.compile(r"^#define (\w+)", re.MULTILINE)


def one_unit(folders: list[Path]) -> str:
    """All models as one file of C, which takes a third of the time: names of one file and public
    ones are numbered, macros end with their model."""
    parts = []
    for i, folder in enumerate(folders):
        texts = [(folder / f"microtune_model.{kind}").read_text() for kind in "hc"]
        header, source = (
            re.sub(r"\bmt_generated_(model|frame)\b", rf"mt_\1_{i}", t) for t in texts
        )
        names = "|".join(sorted(set(_STATIC.findall(source))))
        own = re.sub(rf"(?<![.>\w])({names})\b", rf"\1_{i}", source)
        parts += [header, own.replace('#include "microtune_model.h"\n', "")]
        parts += [f"#undef {macro}" for macro in _MACRO.findall(header + source)]
    return "\n".join(parts)


def model_object(command: list[str], folders: list[Path], tag: str) -> str:
    """The object of all models."""
    place = folders[0].parent
    unit, target = place / f"{tag}-models.c", place / f"{tag}-models.o"
    unit.write_text(one_unit(folders))
    run([*command, *includes(), "-c", str(unit), "-o", str(target)])
    return str(target)


def run_on_host(
    cases: list[TrainingCase], folder: Path, builds: list[str]
) -> list[list[list[Step]]]:
    """For each of some HOST_BUILDS the steps of every case."""
    folders = write_batch(cases, folder)
    models: dict[str, str] = {}
    results = []
    for name in builds:
        build = HOST_BUILDS[name]
        compiler = build.compiler()
        objects = runtime_objects(compilation(compiler, build.runtime, folder / f"{name}-objects"))
        command = [*compiler.command, *build.model, *COMMON]
        if str(command) not in models:
            models[str(command)] = model_object(command, folders, name)
        sources = [str(DRIVER), str(folder / "cases.c"), str(NATIVE_PORT)]
        program = str(folder / name)
        objects.append(models[str(command)])
        link = [*compiler.command, *build.runtime, *COMMON, *includes(), f"-I{HERE}"]
        run([*link, *sources, *objects, "-o", program])
        results.append(parse_steps(run([program])))
    return results


def run_on_core(cases: list[TrainingCase], folder: Path, core: str) -> list[list[Step]]:
    """The steps of every case in one firmware of an emulated core."""
    folders, target = write_batch(cases, folder), load_target(core)
    gcc = find_cross_gcc(target.architecture)
    flags = (*target.gcc_flags, *COMPILE_FLAGS, *WARNINGS)
    command = [*gcc.command, *flags, "-O0"]
    within = (*flags, "-O2", *RUNTIME_INCLUDES, "-Iport")
    kept = Compilation(gcc, within, RUNTIME, folder / "objects", object_store())
    objects = [*runtime_objects(kept), model_object(command, folders, core)]
    family = "riscv" if target.architecture.name == "riscv" else "arm"
    port = ("startup.c", f"startup_{family}.c", f"harness_{family}.c", "semihosting.c", "string.c")
    sources = [DRIVER, folder / "cases.c", *(RUNTIME / "port" / name for name in port)]
    script = folder / "linker.ld"
    script.write_text(render_linker_script(target, stack_bytes=STACK_BYTES), encoding="utf-8")
    elf = folder / "batch.elf"
    link = [*LINK_FLAGS, f"-Wl,-T,{script}", *map(str, sources), *objects, "-lgcc"]
    run([*command, *includes(), f"-I{HERE}", *link, "-o", str(elf)])
    done = run_firmware(elf, target, folder)
    assert done.exit_code == 0, done.stdout[-2000:]
    return parse_steps(done.stdout)


def main() -> None:
    """Replay one seed: SEED [BUILD]."""
    seed, build = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "portable"
    case = training_case(seed)
    with tempfile.TemporaryDirectory() as name:
        if build in HOST_BUILDS:
            found = run_on_host([case], Path(name), [build])[0][0]
        else:
            found = run_on_core([case], Path(name), build)[0]
    print("tags:", ", ".join(sorted(draw(seed).tags)))
    for number, (step, expected) in enumerate(zip(found, case.expected(), strict=True)):
        print(f"step {number}:", "equal" if step == expected else f"C {step}, numpy {expected}")


if __name__ == "__main__":
    main()
