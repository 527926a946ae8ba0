"""The cache: what was put comes back, from another process too, and strangers are refused."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from microtune.errors import MicrotuneError
from microtune.search.cache import FILE, Cache, default_folder


def test_what_was_put_comes_back_with_the_same_bits(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    value = {"losses": [0.1, 1 / 3, 5e-324], "predicted": [1, 2]}
    cache.put("a", value)
    cache.put("a", value)
    cache.put("n", 7)
    cache.close()
    again = Cache(tmp_path)
    assert again.get("a") == value and again.get("n") == 7 and again.get("b") is None


def test_two_processes_share_it(tmp_path: Path) -> None:
    ours = Cache(tmp_path)
    write = (
        "import sys; from pathlib import Path; from microtune.search.cache import Cache\n"
        "c = Cache(Path(sys.argv[1]))\n"
        "for i in range(200): c.put(f'{sys.argv[2]}{i}', i)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", write, str(tmp_path), name]) for name in "xy"
    ]
    for number in range(200):
        ours.put(f"z{number}", number)
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert all(ours.get(f"{name}{i}") == i for name in "xyz" for i in range(200))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(MicrotuneError, match=r"search.sqlite is damaged.*--cache"):
        Cache(tmp_path)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(MicrotuneError, match="is not a cache of this version"):
        Cache(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_damaged_value_is_named(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("a", 1)
    direct = sqlite3.connect(tmp_path / FILE)
    for change in ("'{'", "replace(value, '1', '2')", "'2' || substr(value, 2)"):
        direct.execute(f"UPDATE kept SET value = {change}")
        direct.commit()
        with pytest.raises(MicrotuneError, match="damaged"):
            cache.get("a")
        cache.put("a", 1)
        assert cache.get("a") == 1


def test_values_of_before_their_hashes_are_taken(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    direct = sqlite3.connect(tmp_path / FILE)
    direct.execute("INSERT INTO kept VALUES ('old', '{\"nats\": 0.5}')")
    direct.commit()
    assert cache.get("old") == {"nats": 0.5}


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MicrotuneError, match="cannot use the cache folder"):
        Cache(tmp_path / "file" / "below")


def test_the_default_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "microtune" / "search"
