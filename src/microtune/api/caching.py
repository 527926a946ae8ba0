"""Where things are kept between runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from microtune.api.arguments import public
from microtune.errors import MicrotuneError
from microtune.tools import cache as kept


@dataclass(frozen=True)
class CacheContent:
    """The cache's folder, the bytes that it may have, and what is in it."""

    folder: Path
    limit: int
    entries: tuple[kept.Entry, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all entries of the cache together."""
        return sum(entry.bytes for entry in self.entries)

    def __repr__(self) -> str:
        return (
            f"CacheContent({str(self.folder)!r}: {self.bytes:,} of {self.limit:,} bytes in "
            f"{len(self.entries)} entries)"
        )


@public
def cache() -> CacheContent:
    """Where decoded pictures, search results and compiled code are kept, and what is there.

    Raises:
        MicrotuneError: there is no home folder, and no MICROTUNE_CACHE instead.
    """
    return CacheContent(_folder(), kept.cache_limit(), tuple(kept.entries()))


@public
def clear_cache() -> int:
    """Remove everything that is kept between runs; how many bytes that were.

    Raises:
        MicrotuneError: as `cache`.
    """
    _folder()
    return kept.clear()


def _folder() -> Path:
    folder = kept.cache_folder()
    if folder is None:
        raise MicrotuneError(f"there is no cache: no home folder; set {kept.FOLDER} to have one")
    return folder
