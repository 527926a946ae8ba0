"""What is compiled once for many runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from microtune.run.builds import DECIDING_ROOMS, FLAGS, LIBRARY, code_version, compiled
from tests.search.small import embedded_model, request

DAY = 24 * 60 * 60


def test_what_a_killed_process_left_is_swept_after_a_day(tmp_path: Path) -> None:
    """Not what another process may still be compiling."""
    old, young = tmp_path / ".compiling-old", tmp_path / ".compiling-young"
    for folder in (old, young):
        (folder / "project").mkdir(parents=True)
    os.utime(old, times=(time.time() - DAY - 60,) * 2)
    folder = compiled(embedded_model(), request(5), FLAGS, tmp_path)
    assert not old.exists() and young.exists()
    built = (folder / LIBRARY).stat()
    assert compiled(embedded_model(), request(5), FLAGS, tmp_path) == folder
    again = (folder / LIBRARY).stat()
    assert (again.st_ino, again.st_mtime_ns) == (built.st_ino, built.st_mtime_ns)


def test_every_deciding_room_counts() -> None:
    """Changes of a room that is not there would go unnoticed, so it is refused."""
    assert len({code_version((room,)) for room in DECIDING_ROOMS}) == len(DECIDING_ROOMS)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        code_version(("nowhere",))
    assert code_version(DECIDING_ROOMS) != code_version() != code_version(("search/problem.py",))
