"""Walls between the folders of the C runtime; import-linter has Python's (docs/develop).

    python scripts/check_c_walls.py [RUNTIME]

* No circle of includes.
* A file includes the folders that `_MAY_INCLUDE` lists for its own and no other.
* Only an instruction set's own folder speaks of it: `MT_ISA_<SET>` occurs nowhere else.
* The shipped sources know no study (`MT_STUDY_…`).
* Static functions of two C files that a build may hold have two names, for builds in one
  translation unit.
"""

from __future__ import annotations

import re
import sys
from graphlib import CycleError, TopologicalSorter
from os.path import normpath
from pathlib import Path

RUNTIME = Path(__file__).parents[1] / "src/microtune/runtime"
# Written for each project: no file of the runtime.
_GENERATED = frozenset({"microtune_model.h"})
_LIST = Path("isa/mt_isa.h")
# By folder; the list of instruction sets counts as a folder, "isa". Every set is a folder "isa/…".
_MAY_INCLUDE = {
    "include": {"include"},
    "portable": {"include", "portable", "isa"},
    "isa": {"include"},
    "core": {"include", "core", "portable"},
    "port": {"include", "port", "portable"},
}
_OF_A_SET = {"include", "portable", "isa"}
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
_SET_WORD = re.compile(r"\bMT_ISA_(?!NAME\b|H\b)(\w+)")
_STATIC = re.compile(r"^(?:static|MT_INLINE) [^;={]*?\b(\w+)\(", re.MULTILINE)
_ATTRIBUTE = re.compile(r"__attribute__\(\(.*?\)\)")
_STUDY = re.compile(r"\bMT_STUDY_\w+")

Includes = dict[Path, list[Path]]


def folder_of(file: Path) -> str:
    """The folder of a file (relative to the runtime) as `_MAY_INCLUDE` names it."""
    return file.parent.as_posix()


def read_includes(runtime: Path) -> tuple[Includes, list[str]]:
    """The files of the runtime that each of its files includes, and what is not found. All paths
    are relative to `runtime`; the folder of the including file is looked at first."""
    files = sorted(p.relative_to(runtime) for p in runtime.rglob("*") if p.suffix in (".c", ".h"))
    places = [Path(folder) for folder in _MAY_INCLUDE]
    found: Includes = {}
    problems: list[str] = []
    for file in files:
        found[file] = []
        for name in _INCLUDE.findall((runtime / file).read_text(encoding="utf-8")):
            if Path(name).name in _GENERATED:
                continue
            here = [p / name for p in (file.parent, *places) if (runtime / p / name).is_file()]
            if here:
                found[file].append(Path(normpath(here[0])))
            else:
                problems.append(f"{file}: {name} is in no folder of the runtime")
    return found, problems


def circles(includes: Includes) -> list[str]:
    """A circle of includes, if there is one."""
    try:
        TopologicalSorter(includes).prepare()
    except CycleError as error:
        return ["circle of includes: " + " -> ".join(map(str, reversed(error.args[1])))]
    return []


def forbidden_includes(includes: Includes) -> list[str]:
    """Includes across a wall."""
    problems: list[str] = []
    for file, others in includes.items():
        own = folder_of(file)
        for other in others:
            folder = folder_of(other)
            if file == _LIST and re.fullmatch(r"isa/(\w+)/mt_isa_\1\.h", other.as_posix()):
                continue
            if folder != own and folder not in _MAY_INCLUDE.get(own, _OF_A_SET):
                problems.append(f"{file}: includes {other}, which {own}/ must not know")
    return problems


def forbidden_words(file: Path, text: str) -> list[str]:
    """Words of an instruction set outside its folder, and of studies."""
    own = file.parts[1].upper() if len(file.parts) == 3 and file.parts[0] == "isa" else ""
    problems = [
        f"{file}: {match[0]} belongs to isa/{match[1].removesuffix('_H').lower()}/ alone"
        for match in _SET_WORD.finditer(text)
        if match[1].removesuffix("_H") != own
    ]
    return problems + [
        f"{file}: {match[0]} is a word of studies" for match in _STUDY.finditer(text)
    ]


def repeated_statics(texts: dict[Path, str]) -> list[str]:
    """Static functions of the library's C files that bear one name. Two sets are never built
    together."""
    owners: dict[str, list[Path]] = {}
    problems: list[str] = []
    for file, text in texts.items():
        if file.suffix != ".c" or file.parts[0] == "port":
            continue
        for name in set(_STATIC.findall(_ATTRIBUTE.sub("", text))):
            for other in owners.setdefault(name, []):
                sets = {folder_of(path) for path in (file, other) if path.parts[0] == "isa"}
                if len(sets) < 2:
                    problems.append(f"{file}: {name} is static in {other} too")
            owners[name].append(file)
    return problems


def problems_of(runtime: Path) -> list[str]:
    """Everything that is wrong, a line each."""
    includes, problems = read_includes(runtime)
    problems += circles(includes) + forbidden_includes(includes)
    texts = {file: (runtime / file).read_text(encoding="utf-8") for file in includes}
    for file, text in texts.items():
        problems += forbidden_words(file, text)
    return problems + repeated_statics(texts)


def main() -> int:
    """Print what is wrong; exit code 1 if anything is."""
    runtime = Path(sys.argv[1]) if len(sys.argv) > 1 else RUNTIME
    problems = problems_of(runtime)
    print("\n".join(problems) or "C walls: no circle, no include or word across a wall")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
