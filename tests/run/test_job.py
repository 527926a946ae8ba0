"""The job file, its results and the ELF reader, without a chip."""

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from microtune.errors import MicrotuneError
from microtune.run.emulator import plugin_api
from microtune.run.job import Call, Record, read_results, write_job
from microtune.tools.compilers import find_program
from microtune.tools.elf import read_elf

FRAME = np.arange(4, dtype=np.int8).reshape(2, 2)


def test_job_bytes_are_as_documented(tmp_path: Path) -> None:
    records = (r for r in (Record(Call.TRAIN, FRAME, 2, 0.5), Record(Call.SAVE)))
    job = write_job(tmp_path / "job.bin", 9, records, 4, 3, measure=True)
    expected = b"MTJB" + struct.pack("<7I", 1, 9, 2, 1, 4, 3, 0)
    expected += struct.pack("<B3xIf", 0, 2, 0.5) + bytes([0, 1, 2, 3])
    expected += struct.pack("<B3xIf", 2, 0, 0.0)
    assert (tmp_path / "job.bin").read_bytes() == expected
    assert job.calls == (Call.TRAIN, Call.SAVE)


@pytest.mark.parametrize("frame", [None, FRAME[0], FRAME.astype(np.uint8)])
def test_wrong_frames_are_refused(tmp_path: Path, frame: NDArray[np.int8] | None) -> None:
    with pytest.raises(MicrotuneError, match="4 values of int8"):
        write_job(tmp_path / "job.bin", 0, [Record(Call.INFER, frame)], 4, 3)


def test_results_are_read_and_truncation_is_an_error(tmp_path: Path) -> None:
    records = [Record(Call.INFER, FRAME), Record(Call.SAVE)]
    job = write_job(tmp_path / "job.bin", 0, records, 4, 2, measure=True)
    data = struct.pack("<Iii2iI", 0, 1, 0, -5, 7, 64) + struct.pack("<II", 0, 3) + b"abc"
    path = tmp_path / "result.bin"
    path.write_bytes(data + struct.pack("<I", 0))
    infer, save = read_results(path, job)
    assert (infer.predicted, infer.logits.tolist(), infer.stack_bytes) == (1, [-5, 7], 64)
    assert (save.call, save.blob) == (Call.SAVE, b"abc")
    path.write_bytes(data)
    with pytest.raises(MicrotuneError, match="ends early"):
        list(read_results(path, job))


def test_what_is_no_elf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.elf"
    path.write_bytes(b"MZ" * 40)
    with pytest.raises(MicrotuneError, match="not a 32-bit"):
        read_elf(path)
    path.write_bytes(b"\x7fELF\x01\x01" + b"\xff" * 60)
    with pytest.raises(MicrotuneError, match="damaged ELF"):
        read_elf(path)


def test_plugin_interface_follows_the_version() -> None:
    assert plugin_api("QEMU emulator version 7.2.22 (Debian 1:7.2)") == 1
    assert plugin_api("QEMU emulator version 10.0.2") == 4
    with pytest.raises(MicrotuneError, match="cannot read the version"):
        plugin_api("something else")


def test_a_missing_tool_says_what_to_install() -> None:
    with pytest.raises(MicrotuneError, match="no-such-cc not found"):
        find_program("no-such-cc", "Install it with: apt-get install no-such-cc")
