"""The cache of searches: JSON values by key, in one SQLite file."""

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
# "mtse" in ASCII, by which SQLite files of this program are known.
_APPLICATION_ID = 0x6D747365
_SCHEMA_VERSION = 1
# Between a value and the hash of key and value. JSON text never has this character unescaped.
_SEPARATOR = "\x1f"
# How long a writer waits for another process.
_LOCK_TIMEOUT_SECONDS = 60.0


def default_folder() -> Path:
    """The folder `search` in the cache of this program (tools/cache.py).

    Raises MicrotuneError if there is no home directory.
    """
    return required_cache_folder() / SEARCH


class Cache:
    """JSON values by key in the file `search.sqlite` of a folder, which is made.

    Each value is written in a transaction of its own. An interrupted program loses no value that
    was put, and several processes may share the file. All methods raise MicrotuneError if the file
    is damaged, is not a cache of this program, or cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MicrotuneError(f"cannot use the cache folder {folder}: {error}") from error
        with self._errors_explained():
            self._open()

    def _open(self) -> None:
        """Open the file, check that it is a cache of this version, and make its table."""
        self._db = sqlite3.connect(self.path, timeout=_LOCK_TIMEOUT_SECONDS, isolation_level=None)
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
    def _errors_explained(self) -> Iterator[None]:
        """A context that turns errors of SQLite and JSON into MicrotuneError."""
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise MicrotuneError(
                f"the cache {self.path} is damaged or cannot be used ({error}); "
                "delete it to compute everything again, or give another folder with --cache"
            ) from error

    def get(self, key: str) -> Value | None:
        """The value that was put under the key, None if there is none."""
        with self._errors_explained():
            row = self._db.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
            value: Value | None = None if row is None else json.loads(_verified_value(key, row[0]))
            return value

    def put(self, key: str, value: Value) -> None:
        """Store a JSON value under the key; a former one is replaced."""
        text = json.dumps(value)
        text += _SEPARATOR + _checksum(key, text)
        with self._errors_explained():
            self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, text))

    def close(self) -> None:
        """Close the file; the cache cannot be used any more."""
        self._db.close()


def _checksum(key: str, text: str) -> str:
    """The hash of a key and the JSON text of its value, 16 hexadecimal digits."""
    return hashlib.sha256(f"{key}\0{text}".encode()).hexdigest()[:16]


def _verified_value(key: str, row: str) -> str:
    """The JSON text of a row. Raises ValueError if its hash does not match.

    Rows of older versions have no hash and are not checked.
    """
    text, separator, checksum = row.partition(_SEPARATOR)
    if separator and checksum != _checksum(key, text):
        raise ValueError(f"the value of {key} has changed")
    return text
