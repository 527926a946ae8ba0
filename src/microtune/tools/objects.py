"""Object files kept by content: what was compiled once is not compiled again.

The key of an object is everything that decides its bytes: the compiler's version, the command, the
source and every header that it includes, and this machine (`-march=native`). So two projects
share the runtime, two tests or processes share a whole model, and a changed line compiles anew.
Where the command defines macros, many objects do not depend on them and are shared too. A macro
that none of the files names is no part of the key; else it is what the preprocessor leaves of the
source.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from microtune.tools.compilers import Compiler, run_tool
from microtune.tools.flags import NAMES_HEADER, PLAIN_NAMES
from microtune.tools.sets import without_other_sets

OBJECTS = "MICROTUNE_OBJECTS"
CALL_GRAPH = ".ci"
_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)
_NETWORK = re.compile(rb"NETWORK (?:!= )?(0x[0-9a-f]{8})$", re.MULTILINE)


def object_store(kept: Path | None = None) -> Path | None:
    """The folder of cached object files: the one that the environment names, else `kept`."""
    named = os.environ.get(OBJECTS)
    return Path(named).resolve() if named else kept and kept.resolve()


@dataclass(frozen=True)
class Compilation:
    """How the C files of one project become objects.

    `flags` decide the objects' bytes; `placing` flags only name places on this machine and are no
    part of the key. Objects go to `store` if there is one, else to `folder`.
    """

    compiler: Compiler
    flags: tuple[str, ...]
    project: Path
    folder: Path
    store: Path | None = None
    placing: tuple[str, ...] = ()

    def objects(self, sources: Sequence[Path]) -> list[Path]:
        """The object of each source (relative to the project), compiled on all cores where it is
        not kept. What GCC reports of calls lies beside it. Kernels of instruction sets that the
        flags do not take have none."""
        sources = without_other_sets(self._command, self.project, sources)
        read = cache(lambda path: (self.project / path).read_bytes())
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            return list(pool.map(lambda source: self._object(source, read), sources))

    @property
    def _command(self) -> list[str]:
        return [*self.compiler.command, *self.flags, *self.placing]

    def _object(self, source: Path, read: Callable[[Path], bytes]) -> Path:
        if self.store is None:
            return self._compile(source, self.folder)
        contents = included(self.project, source, self.flags, read)
        flags = _named(self.flags, contents)
        kept = self.store / self._key(flags, contents)
        if not kept.is_dir():
            self.store.mkdir(parents=True, exist_ok=True)
            if any(flag.startswith("-D") and flag != PLAIN_NAMES for flag in flags):
                same = self._preprocessed_key(source)
                self._keep(source, self.store / same)
                with suppress(FileExistsError):  # another process was faster
                    kept.symlink_to(same)
            else:
                self._keep(source, kept)
        return kept / source.with_suffix(".o")

    def _keep(self, source: Path, kept: Path) -> None:
        if kept.is_dir():
            return
        with tempfile.TemporaryDirectory(prefix=".compiling-", dir=self.store) as staging:
            self._compile(source, Path(staging, "o"))
            with suppress(OSError):  # another process was faster
                Path(staging, "o").rename(kept)

    def _compile(self, source: Path, folder: Path) -> Path:
        target = (folder / source.with_suffix(".o")).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["-c", str(source), "-o", str(target)]
        run_tool([*self._command, *arguments], f"compiling {source}", cwd=self.project)
        return target

    def _preprocessed_key(self, source: Path) -> str:
        text = run_tool(
            [*self._command, "-E", str(source)], f"compiling {source}", cwd=self.project
        )
        flags = tuple(flag for flag in self.flags if not flag.startswith(("-D", "-I")))
        return self._key(flags, {source: text.encode()})

    def _key(self, flags: tuple[str, ...], contents: Mapping[Path, bytes]) -> str:
        told = (self.compiler.version, platform.node(), *self.compiler.command, *flags)
        key = hashlib.sha256("\0".join(told).encode())
        numbers = {number for text in contents.values() for number in _numbers(text)}
        for path, content in contents.items():
            key.update(f"\0{path}\0".encode())
            key.update(_digest(content, plain=len(numbers) == 1))
        return key.hexdigest()[:32]


def _named(flags: Sequence[str], contents: Mapping[Path, bytes]) -> tuple[str, ...]:
    """The flags without macros of the product that none of the files names."""

    def read(flag: str) -> bool:
        name = re.match(r"-D((?i:mt)_\w+)", flag)
        return name is None or any(name[1].encode() in text for text in contents.values())

    return tuple(flag for flag in flags if read(flag))


# The header files are the same for many sources and projects.
@lru_cache(maxsize=4096)
def _includes(content: bytes) -> list[str]:
    return [name.decode() for name in _INCLUDE.findall(content)]


@lru_cache(maxsize=4096)
def _numbers(content: bytes) -> frozenset[bytes]:
    """The numbers by which headers of two networks are told apart."""
    return frozenset(_NETWORK.findall(content))


@lru_cache(maxsize=4096)
def _digest(content: bytes, plain: bool) -> bytes:
    """A hash; `plain`: without the number of the network, which decides nothing where there is
    no other."""
    text = _NETWORK.sub(b"NETWORK", content) if plain else content
    return hashlib.sha256(text).digest()


def included(
    project: Path, source: Path, flags: Sequence[str], read: Callable[[Path], bytes] | None = None
) -> dict[Path, bytes]:
    """The source file and all of the project's headers that it includes, directly or not; `read`
    gives the content of a file of the project."""
    read = read or (lambda path: (project / path).read_bytes())
    plain = PLAIN_NAMES in flags  # then the generated names are not used
    folders = [Path(flag.removeprefix("-I")) for flag in flags if flag.startswith("-I")]
    found: dict[Path, bytes] = {}
    waiting = [source]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = read(path)
        for name in _includes(found[path]):
            if plain and name.endswith(NAMES_HEADER):
                continue
            places = (folder / name for folder in (path.parent, *folders))
            waiting += [place for place in places if (project / place).is_file()][:1]
    return found
