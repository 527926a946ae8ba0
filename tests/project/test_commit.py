"""Files are put into a folder whole or not at all, whatever fails or is killed at whatever moment,
and nothing of the user's is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from microtune.errors import MicrotuneError
from microtune.project import commit as module
from microtune.project.commit import MANIFEST, WORK, commit, read_manifest, recover

Files = dict[str, str]
CALLS = ("mkdir", "rmdir", "rename", "replace", "unlink", "link")
FIRST: Files = {"same": "0", "a": "old a", "edited": "old e", "src/gone": "x", "deleted": "d"}
SECOND: Files = {"same": "0", "a": "new a", "edited": "new e", "deep/er/b": "b", "deleted": "d2",
                 "src2/c": "c", "mine": "generated"}  # fmt: skip
MINE: Files = {"edited": "edited by hand", "mine": "my own", "src/main.c": "int main;"}


class Killed(BaseException):
    """The process is dead: nothing after it runs."""


def writer(files: Files) -> Callable[[Path], None]:
    """What `commit` calls to get the files."""

    def fill(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)

    return fill


def contents(folder: Path) -> Files:
    """Every file, without what an interrupted commit has left for the next one."""
    files = (p for p in folder.rglob("*") if p.is_file() and WORK not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_text() for p in files}


def begin(folder: Path) -> Files:
    """The first project, then what its user did with it."""
    commit(folder, writer(FIRST))
    for name, content in MINE.items():
        (folder / name).write_text(content)
    (folder / "deleted").unlink()
    return contents(folder)


@contextmanager
def failing(at: int, failure: BaseException, *, dead: bool) -> Iterator[list[str]]:
    """The `at`-th call that changes a folder raises; all later ones too if that is death."""
    calls: list[str] = []
    real = {name: getattr(os, name) for name in CALLS}

    def wrap(name: str) -> Callable[..., object]:
        def call(*arguments: object, **more: object) -> object:
            calls.append(name)
            if len(calls) - 1 == at or (dead and len(calls) - 1 > at):
                raise failure
            return real[name](*arguments, **more)

        return call

    try:
        for name in CALLS:
            setattr(os, name, wrap(name))
        yield calls
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def new_state(before: Files, folder: Path) -> Files:
    """What the second commit makes of `before`."""
    after = dict(before) | SECOND | {"edited.yours": MINE["edited"], "mine.yours": MINE["mine"]}
    del after["src/gone"]
    return after | {MANIFEST: (folder / MANIFEST).read_text()}


def count_calls(folder: Path) -> int:
    """Of a commit that succeeds."""
    begin(folder)
    with failing(-1, Killed(), dead=False) as calls:
        commit(folder, writer(SECOND))
    return len(calls)


def test_a_second_commit_keeps_what_is_not_ours_and_says_so(tmp_path: Path) -> None:
    before = begin(tmp_path)
    changes = commit(tmp_path, writer(SECOND))
    assert contents(tmp_path) == new_state(before, tmp_path)
    assert set(read_manifest(tmp_path)) == set(SECOND)
    assert changes.aside == [("edited", "edited.yours"), ("mine", "mine.yours")]
    assert changes.restored == ["deleted"] and changes.kept == []
    assert not (tmp_path / WORK).exists()
    assert (tmp_path / "src/main.c").exists() and not (tmp_path / "src/gone").exists()
    stamp = (tmp_path / "a").stat()
    assert commit(tmp_path, writer(SECOND)).notes() == []
    assert (tmp_path / "a").stat().st_ino == stamp.st_ino  # what is equal is not touched


def test_what_is_edited_again_gets_a_name_of_its_own(tmp_path: Path) -> None:
    for number in range(3):
        commit(tmp_path, writer({"a": f"{number}"}))
        (tmp_path / "a").write_text(f"by hand {number}")
    commit(tmp_path, writer({}))
    assert {n: c for n, c in contents(tmp_path).items() if n != MANIFEST} == {
        "a.yours": "by hand 0", "a.yours1": "by hand 1", "a": "by hand 2",
    }  # fmt: skip


def test_killed_at_every_step_leaves_the_old_or_the_new_files(tmp_path: Path) -> None:
    """And the undoing itself, killed at every step, too."""
    total = count_calls(tmp_path / "count")
    assert total > 20
    seen = set()
    for at in range(total):
        folder = tmp_path / f"{at}"
        before = begin(folder)
        with pytest.raises(Killed), failing(at, Killed(), dead=True):
            commit(folder, writer(SECOND))
        for again in range(total):
            with failing(again, Killed(), dead=True) as calls:
                try:
                    recover(folder)
                except Killed:
                    continue
            assert len(calls) <= again
            break
        is_new = contents(folder) != before
        seen.add(is_new)
        if is_new:
            assert contents(folder) == new_state(before, folder), at
        commit(folder, writer(SECOND))
        assert contents(folder) == new_state(before, folder), at
        assert not (folder / WORK).exists()
    assert seen == {True, False}


def test_a_failure_at_every_step_is_taken_back_at_once(tmp_path: Path) -> None:
    """A full disk, a folder without permission: the error is raised, the old files are there."""
    total = count_calls(tmp_path / "count")
    raised = 0
    for at in range(total):
        folder = tmp_path / f"{at}"
        before = begin(folder)
        try:
            with failing(at, OSError(28, "No space left on device"), dead=False):
                commit(folder, writer(SECOND))
        except OSError:
            raised += 1
            assert contents(folder) == before, at
            assert not (folder / WORK / "journal.json").exists()
        else:
            assert contents(folder) == new_state(before, folder), at
    assert raised > total / 2


def test_a_failed_first_commit_leaves_no_folder(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        writer(FIRST)(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        commit(tmp_path / "not/yet/there", fill)
    assert list(tmp_path.iterdir()) == []


def test_what_the_user_changes_after_a_kill_is_not_undone(tmp_path: Path) -> None:
    tried = 0
    for at in range(count_calls(tmp_path / "count")):
        folder = tmp_path / f"{at}"
        begin(folder)
        with pytest.raises(Killed), failing(at, Killed(), dead=True):
            commit(folder, writer(SECOND))
        if (folder / "a").read_text() == "new a":
            tried += 1
            (folder / "a").write_text("written after the kill")
            recover(folder)
            assert (folder / "a").read_text() == "written after the kill"
    assert tried > 3


LOOP = """
import sys
from pathlib import Path
from microtune.project.commit import commit
def fill(letter):
    def write(folder):
        for i in range(12):
            (folder / f"f{i}").write_text(letter * 2000)
    return write
print("begun", flush=True)
while True:
    for letter in "AB":
        commit(Path(sys.argv[1]), fill(letter))
"""


def test_sigkill_leaves_the_old_or_the_new_files(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(10):
        child = subprocess.Popen([sys.executable, "-c", LOOP, tmp_path], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline() == b"begun\n"
        time.sleep(rng.uniform(0.02, 0.06))
        child.send_signal(signal.SIGKILL)
        child.wait()
        recover(tmp_path)
        files = contents(tmp_path)
        files.pop(MANIFEST)
        assert len(files) == 12 and len(set(files.values())) == 1, files.keys()


def test_two_at_once_take_turns_and_a_stuck_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def many(letter: str) -> Files:
        return {f"f{i}": letter for i in range(20)}

    threads = [
        threading.Thread(target=commit, args=(tmp_path, writer(many(letter)))) for letter in "ABCD"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = contents(tmp_path)
    files.pop(MANIFEST)
    assert len(files) == 20 and len(set(files.values())) == 1
    monkeypatch.setattr(module, "_WAIT_S", 0.1)

    def stuck(folder: Path) -> None:
        with pytest.raises(MicrotuneError, match="another microtune is writing"):
            commit(tmp_path, writer({"a": "b"}))
        writer({"z": "z"})(folder)

    commit(tmp_path, stuck)
    assert (tmp_path / "z").exists()


def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "src2").write_text("a file")
    with pytest.raises(MicrotuneError, match="src2 is no folder"):
        commit(tmp_path, writer(SECOND))
    (tmp_path / "src2").unlink()
    (tmp_path / "a").mkdir()
    with pytest.raises(MicrotuneError, match="a is a folder"):
        commit(tmp_path, writer(SECOND))
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_links_within_the_folder_are_the_users(tmp_path: Path) -> None:
    """A file behind a link is neither overwritten nor removed; a linked folder is used."""
    folder, away = tmp_path / "p", tmp_path / "away"
    commit(folder, writer({"a": "1", "b": "1", "src/c": "1"}))
    away.mkdir()
    for name in ("a", "b"):
        (folder / name).rename(away / name)
        (folder / name).symlink_to(away / name)
    (folder / "src").rename(away / "src")
    (folder / "src").symlink_to(away / "src")
    changes = commit(folder, writer({"a": "2", "src/c": "2"}))
    assert (away / "a").read_text() == "1" and (folder / "a.yours").is_symlink()
    assert (folder / "a").read_text() == "2" and (away / "src/c").read_text() == "2"
    assert changes.kept == ["b"] and (folder / "src").is_symlink()


def test_a_manifest_cannot_point_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    commit(folder, writer({"a": "1"}))
    (tmp_path / "outside").write_text("1")
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"a"', '"../outside"'))
    commit(folder, writer({"b": "1"}))
    assert (tmp_path / "outside").exists()
    for damage in ("", "[]", '{"version": 1, "files": 3}', "\0"):
        (folder / MANIFEST).write_text(damage)
        commit(folder, writer({"b": f"{damage}2"}))
        assert (folder / "a").read_text() == "1"
