"""Figures as a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from microtune.tools.files import check_place, write_whole


def check_json_place(path: Path | None) -> None:
    """Raise MicrotuneError, before any work, if `write_json` could not write there."""
    if path is not None and (not path.exists() or path.is_dir()):
        check_place(path)


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write figures where asked, whole or not at all. Raises MicrotuneError."""
    if path is not None:
        write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
