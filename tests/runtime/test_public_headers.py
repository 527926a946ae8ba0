"""The public headers as applications see them: every function called, from C and C++, under strict
warnings; the words of images in the header for images alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from microtune.runtime.files import RUNTIME

HEADERS = RUNTIME / "include"
CALLERS = Path(__file__).with_name("callers.c")
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]
ZIG = [sys.executable, "-m", "ziglang"]
COMPILERS = {
    **{f"gcc {standard}": ["gcc", f"-std={standard}"] for standard in ("c99", "c17")},
    **{f"g++ {standard}": ["g++", "-xc++", f"-std={standard}"] for standard in ("c++11", "c++20")},
    "clang": [*ZIG, "cc", "-std=c99", "-Wsign-conversion"],
    "clang++": [*ZIG, "c++", "-xc++", "-std=c++17", "-Wsign-conversion"],
    "arm": ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-std=c99"],
    "arm c++": ["arm-none-eabi-g++", "-mcpu=cortex-m0plus", "-xc++", "-std=c++17"],
}
_FUNCTION = re.compile(r"\b(mt_\w+)\(")


@pytest.mark.parametrize("name", COMPILERS)
def test_callers_compile_without_a_warning(name: str, tmp_path: Path) -> None:
    compiler = COMPILERS[name]
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is not installed")
    command = [*compiler, *WARNINGS, f"-I{HEADERS}", "-c", str(CALLERS), "-o", "callers.o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_callers_call_every_function() -> None:
    declared: set[str] = set()
    for header in ("microtune.h", "microtune_image.h"):
        text = re.sub(r"/\*.*?\*/", "", (HEADERS / header).read_text(), flags=re.DOTALL)
        declared |= set(_FUNCTION.findall(text))
    assert len(declared) > 25
    assert declared <= set(re.findall(r"\bmt_\w+", CALLERS.read_text()))


def test_only_the_header_for_images_speaks_of_images() -> None:
    words = re.compile(r"image|frame|pixel|camera|bright|mirror|flip|\brows?\b|_rows?_", re.I)
    general = (HEADERS / "microtune.h").read_text()
    left = re.sub(r"\bmicrotune_image\.h\b|networks for images|--input rows", "", general)
    assert words.findall(left) == []
    assert len(words.findall((HEADERS / "microtune_image.h").read_text())) > 30
