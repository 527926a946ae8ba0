"""What a search has computed, in one SQLite file: key -> JSON value."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from microtune.errors import MicrotuneError
from microtune.tools.cache import SEARCH, required_cache_folder

FILE = "search.sqlite"
Value = int | dict[str, Any]
# "mtse": tells our files from others.
_APPLICATION_ID = 0x6D747365
_SCHEMA_VERSION = 1
# Between a value and the hash of key and value. JSON never holds this character as it is.
_MARK = "\x1f"
# Seconds that a writer waits for another process.
_PATIENCE = 60.0


def default_folder() -> Path:
    """`search` in the cache's folder (tools.cache). Raises MicrotuneError without a home."""
    return required_cache_folder() / SEARCH


class Cache:
    """Values by key, each written whole in a transaction of its own: Ctrl-C loses nothing that was
    put, and several processes may share the file. Raises MicrotuneError where the file is damaged
    or is none of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MicrotuneError(f"cannot use the cache folder {folder}: {error}") from error
        with self._explained():
            self._open()

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
        (ours,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and (ours, version) != (_APPLICATION_ID, _SCHEMA_VERSION):
            self._db.close()
            raise MicrotuneError(
                f"{self.path} is not a cache of this version of microtune search; "
                "move it away or give another folder with --cache"
            )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
        )
        self._db.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise MicrotuneError(
                f"the cache {self.path} is damaged or cannot be used ({error}); "
                "delete it to compute everything again, or give another folder with --cache"
            ) from error

    def get(self, key: str) -> Value | None:
        """What was put under the key, None if nothing was."""
        with self._explained():
            row = self._db.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
            value: Value | None = None if row is None else json.loads(_checked(key, row[0]))
            return value

    def put(self, key: str, value: Value) -> None:
        """Keep a JSON value; what was there is replaced."""
        text = json.dumps(value)
        text += _MARK + _check(key, text)
        with self._explained():
            self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, text))

    def close(self) -> None:
        """Give the file back."""
        self._db.close()


def _check(key: str, text: str) -> str:
    return hashlib.sha256(f"{key}\0{text}".encode()).hexdigest()[:16]


def _checked(key: str, row: str) -> str:
    """The value's JSON. Rows of before the marks have none and are taken as they are."""
    text, mark, check = row.partition(_MARK)
    if mark and check != _check(key, text):
        raise ValueError(f"the value of {key} has changed")
    return text
