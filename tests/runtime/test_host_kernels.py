"""The kernels for x86 hosts equal the portable ones over the random cases of the chip's test."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from microtune.runtime.files import kernel_sources, runtime_includes
from microtune.tools.toolchain import find_host_gcc
from tests.runtime.kernel_pools import write_pools
from tests.runtime.runtime_native import COMMON, PORTABLE, SANITIZE, compilation

HERE = Path(__file__).parent


def run(*command: str) -> str:
    """Output of a tool or program; its words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def macros(isa: str) -> str:
    """What gcc defines for an instruction set; "" if it does not know it."""
    command = ["gcc", isa, "-dM", "-E", "-xc", "/dev/null"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def build(folder: Path, isa: str, more: list[str], cases: int) -> Path:
    """Both versions of all kernels and the cases in one program."""
    kernels = [path for path in kernel_sources() if path.name != "mt_stream.c"]
    merged: list[str] = []
    for prefix, version in (("ref_", PORTABLE), ("", ["-O1", isa])):
        flags = [*version, *more]
        parts = map(str, compilation(find_host_gcc(), flags, folder / prefix).objects(kernels))
        merged.append(str(folder / f"{prefix}kernels.o"))
        run("ld", "-r", *parts, "-o", merged[-1])
        names = run("nm", "--defined-only", "-g", "-j", merged[-1]).split()
        renames = [f"--redefine-sym={name}={prefix}{name}" for name in names]
        run("objcopy", *renames, merged[-1])
    program = folder / "cases"
    bench = sorted(HERE.glob("kernel_cases*.c"))
    cases_c = [*bench, write_pools(folder), HERE / "native_port.c"]
    includes = [*runtime_includes("port"), f"-I{HERE}"]
    base = ["-O1", *more, *COMMON[:3], *includes, f"-DCASES={cases}"]
    run("gcc", *base, *map(str, cases_c), *merged, "-o", str(program))
    return program


@pytest.mark.parametrize("isa", ["-mavx2", "-march=native"])
@pytest.mark.parametrize(("more", "cases"), [([], 3000), (SANITIZE, 400)], ids=["", "sanitize"])
def test_host_kernels_equal_the_portable_ones(
    tmp_path: Path, isa: str, more: list[str], cases: int
) -> None:
    """With and without the fused dot products that this machine may have."""
    if "__AVX2__" not in macros("-march=native"):
        pytest.skip("this machine has no AVX2")
    assert "__AVX2__" in macros(isa)
    assert run(str(build(tmp_path, isa, more, cases))).strip() == "the same"
