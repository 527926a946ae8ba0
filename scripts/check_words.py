"""Words that belong to some rooms only; import-linter has the walls of imports (docs/develop).

    python scripts/check_words.py

A word of pictures in the compiler, or PyTorch in the wheel, is a thought in the wrong room, long
before it is an import.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src/microtune"
# word (and what it must not be a part of) -> the files and folders of the package that may say it
WORDS: dict[str, tuple[str, ...]] = {
    # Elsewhere a picture is an array, and a place in it a position. "pixels" is a field of the C.
    r'(?<!")\bpixels?\b': (
        "data/image",
        "data/npz.py",
        "importers",
        "project/camera.py",
        "report/pictures.py",
    ),
    r"\bPIL\b": ("data/image", "report"),
    # A format of networks, as its reader and who calls that know it; nobody else.
    r"\b(?:py)?torch\b": ("importers", "api/quantizing.py", "api/calibration.py"),
    r"\bmicrotune_studies\b": (),
    # Only the harness and what talks to it know how the emulated chip speaks.
    r"\bsemihosting\b": ("run", "tools", "targets"),
}


def problems(package: Path) -> list[str]:
    """A line for each word in a room that must not say it: file, line and word."""
    found: list[str] = []
    for file in sorted(package.rglob("*.py")):
        place = file.relative_to(package)
        lines = file.read_text(encoding="utf-8").splitlines()
        for word, rooms in WORDS.items():
            if any(place.is_relative_to(room) for room in rooms):
                continue
            found += [
                f"{place}:{number}: {match[0]!r} belongs to {', '.join(rooms) or 'no room'}"
                for number, line in enumerate(lines, start=1)
                for match in re.finditer(word, line, re.IGNORECASE)
            ]
    return found


def main() -> int:
    """Print what stands in the wrong room; exit code 1 if anything does."""
    found = problems(PACKAGE)
    print("\n".join(found) if found else "words: each in its rooms")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
