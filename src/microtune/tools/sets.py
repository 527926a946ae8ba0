"""Which instruction set's kernels the flags of a compiler take (runtime/isa/mt_isa.h).

The others are empty files under these flags: nothing is lost if they are not compiled.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from microtune.tools.compilers import run_tool

_LIST = "mt_isa"
_TAKEN = "set_taken "
_KNOWN: dict[tuple[str, ...], frozenset[str]] = {}


def without_other_sets(
    command: Sequence[str], project: Path, sources: Sequence[Path]
) -> list[Path]:
    """The sources, relative to the project, without those of sets that the command does not take.

    `command` is the compiler with its flags, which runs in the project's folder. A set's folder has
    the header mt_isa_<folder>.h, perhaps with a prefix before the name. Raises MicrotuneError if
    the list of sets cannot be read.
    """
    headers = {folder: _header(project / folder) for folder in {s.parent for s in sources}}
    sets = {folder: header for folder, header in headers.items() if header is not None}
    if not sets:
        return list(sources)
    taken = _taken(command, project, sorted(sets.values()))
    return [s for s in sources if s.parent not in sets or s.parent.name in taken]


def _header(folder: Path) -> Path | None:
    return next(folder.glob(f"*{_LIST}_{folder.name}.h"), None)


def _taken(command: Sequence[str], project: Path, headers: Sequence[Path]) -> frozenset[str]:
    texts = [path.read_text(encoding="utf-8") for path in headers]
    key = (*command, *texts)
    if key in _KNOWN:
        return _KNOWN[key]
    prefix = headers[0].name.partition(_LIST)[0]
    lines = [f'#include "{prefix}{_LIST}.h"']
    for name in (header.parent.name for header in headers):
        lines += [f"#if {prefix}{_LIST.upper()}_{name.upper()}", f"{_TAKEN}{name}", "#endif"]
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "sets.c")
        probe.write_text("\n".join(lines) + "\n", encoding="utf-8")
        said = run_tool([*command, "-E", str(probe)], "reading the instruction sets", cwd=project)
    found = [line for line in said.splitlines() if line.startswith(_TAKEN)]
    return _KNOWN.setdefault(key, frozenset(line.removeprefix(_TAKEN) for line in found))
