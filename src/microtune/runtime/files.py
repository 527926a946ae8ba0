"""The C of the runtime: which files a project gets, and where compilers find the headers.

The one list for the project writer, the builds, the templates and the tests. An instruction set is
a folder below `isa/`; it is found, never named.
"""

from __future__ import annotations

import re
from pathlib import Path

RUNTIME = Path(__file__).parent
# Folders whose headers every file may include. The headers of one instruction set lie beside its
# kernels and are included by them alone.
_FOLDERS = ("core", "portable", "isa")
# In a project the list of sets lies beside the portable kernels and each set in a folder right
# below src/, so that src/*/*.c are all sources and no folder of includes is for sets.
_LIST, _LIST_IN_PROJECT = Path("isa/mt_isa.h"), "src/portable/mt_isa.h"
_SET_INCLUDE = re.compile(r'^#include "(\w+/mt_isa_\w+\.h)"$', re.MULTILINE)
# Folders of a project with headers: the interface's, and the runtime's own.
PUBLIC_FOLDERS = ("include", "model")
PRIVATE_FOLDERS = ("src/core", "src/portable")
# Flags of a compiler that runs in a project's folder, and of one that runs in RUNTIME.
PROJECT_INCLUDES = tuple(f"-I{folder}" for folder in (*PUBLIC_FOLDERS, *PRIVATE_FOLDERS))
RUNTIME_INCLUDES = ("-Iinclude", *(f"-I{folder}" for folder in _FOLDERS))


def project_texts() -> dict[str, str]:
    """Every C file and header that a project gets of the runtime, by its path in the project."""
    found = {f"include/{file.name}": _text(file) for file in _c_files(RUNTIME / "include")}
    for folder in _FOLDERS:
        for file in _c_files(RUNTIME / folder):
            found[project_place(file.relative_to(RUNTIME))] = _text(file)
    found[_LIST_IN_PROJECT] = project_text(found[_LIST_IN_PROJECT])
    return found


def project_text(text: str) -> str:
    """A text of the list of sets as it stands in a project, where sets lie one folder up."""
    return _SET_INCLUDE.sub(r'#include "../\1"', text)


def project_place(file: Path) -> str:
    """Where a file of core/, portable/ or isa/ (relative to RUNTIME) lies in a project."""
    if file == _LIST:
        return _LIST_IN_PROJECT
    return f"src/{file.as_posix().removeprefix('isa/')}"


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def kernel_sources(root: Path = RUNTIME) -> list[Path]:
    """The C files of the kernels, portable ones and those of all instruction sets, relative to
    `root`: RUNTIME or a copy of it."""
    files = (file for folder in _FOLDERS[1:] for file in _c_files(root / folder))
    return [file.relative_to(root) for file in files if file.suffix == ".c"]


def core_sources() -> list[Path]:
    """The C files around the kernels: context, steps, save and load; relative to RUNTIME."""
    return [f.relative_to(RUNTIME) for f in _c_files(RUNTIME / "core") if f.suffix == ".c"]


def runtime_includes(*more: str, root: Path = RUNTIME) -> list[str]:
    """RUNTIME_INCLUDES, and the folders `more`, for a compiler that runs anywhere."""
    flags = (*RUNTIME_INCLUDES, *(f"-I{folder}" for folder in more))
    return [f"-I{root / flag.removeprefix('-I')}" for flag in flags]


def _c_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".c", ".h"))
