"""A file is written whole or not at all, whatever its name, and no link or device is replaced."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from microtune.errors import MicrotuneError
from microtune.tools.files import write_whole


def test_names_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    for name in ("x" * 255, "new/folder/f", os.fsdecode(b"\xe9\n")):
        write_whole(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"


def test_a_link_stays_a_link_and_a_mode_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """As /dev/stdout and /dev/null must be, above all for root."""
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"content")
    reader.join()
    assert read == [b"content"] and stat.S_ISFIFO(pipe.stat().st_mode)
    write_whole(Path("/dev/null"), b"content")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_refusal_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "circle").symlink_to("circle")
    for path in ("file/x", "y" * 256, "circle", "/proc/none/x", "."):
        with pytest.raises(MicrotuneError, match="cannot write"):
            write_whole(tmp_path / path, b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["circle", "file"]
    assert (tmp_path / "file").read_bytes() == b"old"
