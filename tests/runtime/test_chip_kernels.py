"""Tuned kernels equal the portable ones over random cases, on the emulated cores."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from microtune.run.emulator import run_firmware
from microtune.runtime.files import (
    RUNTIME,
    RUNTIME_INCLUDES,
    kernel_sources,
    runtime_includes,
)
from microtune.targets import COMPILE_FLAGS, LINK_FLAGS, Target, load_target, render_linker_script
from microtune.tools.objects import Compilation, object_store
from microtune.tools.toolchain import find_arm_gcc
from tests.runtime.kernel_pools import write_pools

CASES = 600
HERE = Path(__file__).parent
BENCH = sorted(HERE.glob("kernel_cases*.c"))
PORT = ("startup.c", "startup_arm.c", "harness_arm.c", "semihosting.c", "string.c")


def run(*command: str) -> str:
    """Run a tool; its words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(folder: Path, target: Target, cases: int) -> Path:
    """Both versions of all kernels and the cases in one firmware."""
    gcc = find_arm_gcc()
    ld, nm, objcopy = (
        run(*gcc.command, f"-print-prog-name={tool}").strip() for tool in ("ld", "nm", "objcopy")
    )
    flags = (*target.gcc_flags, "-O3", *COMPILE_FLAGS, f"-DCASES={cases}")
    base = [*gcc.command, *flags, *runtime_includes("port"), f"-I{HERE}"]
    kernels = [path for path in kernel_sources() if path.name != "mt_stream.c"]
    objects: list[str] = []
    for prefix, more in (("ref_", ["-DMT_PORTABLE"]), ("", [])):
        merged = folder / f"{prefix}kernels.o"
        within = (*flags, *more, *RUNTIME_INCLUDES)
        kept = Compilation(gcc, within, RUNTIME, folder / prefix, object_store())
        parts = map(str, kept.objects(kernels))
        run(ld, "-r", *parts, "-o", str(merged))
        names = run(nm, "--defined-only", "-g", "-j", str(merged)).split()
        renames = [f"--redefine-sym={name}={prefix}{name}" for name in names]
        run(objcopy, *renames, str(merged))
        objects.append(str(merged))
    for path in (*BENCH, write_pools(folder), *(RUNTIME / "port" / name for name in PORT)):
        objects.append(str(folder / f"{path.stem}.o"))
        run(*base, "-c", str(path), "-o", objects[-1])
    script = folder / "linker.ld"
    script.write_text(render_linker_script(target, stack_bytes=8192), encoding="utf-8")
    elf = folder / "cases.elf"
    run(*base, *LINK_FLAGS, f"-Wl,-T,{script}", *objects, "-lgcc", "-o", str(elf))
    return elf


@pytest.mark.chip
@pytest.mark.parametrize("core", ["cortex-m55", "cortex-m7"])
def test_tuned_kernels_equal_the_portable_ones(tmp_path: Path, core: str) -> None:
    """One boot per core."""
    target = load_target(core)
    done = run_firmware(build(tmp_path, target, CASES), target, tmp_path)
    assert (done.exit_code, done.stdout.strip()) == (0, "the same")
