"""C with rules of the arithmetic replaced: an overlay over the runtime of a fresh project.

The shipped sources know one arithmetic. A study lays the folder `overlay/` over a project's `src/`:
its C files are added, and `edits.toml` replaces pieces of the shipped ones, each of which must be
there exactly once. Built without macros the result has the bits of the shipped sources; the macros
of `overlay/mt_study.h` replace a rule.
"""

from __future__ import annotations

import shutil
import tomllib
from functools import cache
from pathlib import Path

from microtune.errors import MicrotuneError
from microtune.run.builds import Overlay, digest
from microtune.runtime.files import project_place, project_text

_FOLDER = Path(__file__).parent / "overlay"
_ADDED_TO = "portable"


def lay_over(sources: Path) -> None:
    """Change `sources`, a project's src/ or a copy of the runtime. Raises MicrotuneError if an edit
    does not fit them."""
    for file in _FOLDER.glob("*.[ch]"):
        shutil.copyfile(file, sources / _ADDED_TO / file.name)
    for edit in tomllib.loads((_FOLDER / "edits.toml").read_text(encoding="utf-8"))["edit"]:
        path = _place(sources, Path(edit["file"]))
        text = path.read_text(encoding="utf-8")
        old, new = edit["old"], edit["new"]
        if path != sources / edit["file"]:
            old, new = project_text(old), project_text(new)
        if text.count(old) != 1:
            raise MicrotuneError(
                f"{path}: the study overlay looks for a text that is there "
                f"{text.count(old)} times, not once: {old.strip()!r}. Adapt "
                f"{_FOLDER / 'edits.toml'}."
            )
        path.write_text(text.replace(old, new), encoding="utf-8")


@cache
def study_overlay() -> Overlay:
    """`lay_over` for a project, and the hash of all that it reads."""
    content = [path.read_text(encoding="utf-8") for path in sorted(_FOLDER.iterdir())]
    return Overlay(digest(*content), lambda project: lay_over(project / "src"))


def rule_flags(rule: str) -> tuple[str, ...]:
    """The compiler's flags for the macros of a rule, "A=B C=D"."""
    return tuple(f"-D{macro}" for macro in rule.split())


def _place(sources: Path, file: Path) -> Path:
    """Where a file of the runtime lies: in a copy of the runtime, or in a project's src/."""
    place = sources / file
    return place if place.is_file() else sources.parent / project_place(file)
