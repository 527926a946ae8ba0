"""Projects compiled once for many runs, and the cached latents of their images."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import microtune
from microtune import pipeline
from microtune.data import Split
from microtune.ir.graph import Graph
from microtune.ir.modelfile import ModelFile, load_model
from microtune.memory.latent import latent_cut
from microtune.project.project import TRAINING_FILE
from microtune.run.host import build_library
from microtune.run.runners import HostRunner
from microtune.tools.cache import keep_array, make_room, read_array, touch
from microtune.training.scheme import resolve_scheme

UNLIMITED = 1 << 28  # what fits is the question of `compile`
LIBRARY = "library.so"
_STAGING, _DAY = ".compiling-", 24 * 60 * 60
FLAGS = ("-O3", "-march=native")
# Where the results of a training run come from; the other rooms print, plan or search.
DECIDING_ROOMS = (
    "codegen", "data", "ir", "passes", "pipeline.py", "project", "run", "runtime", "tools", "train",
    "training",
)  # fmt: skip


@cache
def code_version(rooms: Sequence[str] = ()) -> str:
    """A hash of all source files in these rooms or modules (none: of the whole package).

    Raises FileNotFoundError for a room that does not exist: its changes would go unnoticed.
    """
    root = Path(microtune.__file__).parent
    roots = [root / room for room in rooms] or [root]
    for place in roots:
        place.stat()
    files = sorted(
        p for place in roots for p in (place, *place.rglob("*"))
        if p.suffix in (".py", ".c", ".h", ".in", ".toml")
    )  # fmt: skip
    return digest(*(path.read_text(encoding="utf-8") for path in files))


def digest(*parts: str) -> str:
    """A hash of several texts, as 24 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Overlay:
    """A change of a project's sources before they are compiled: `lay` changes the folder of a fresh
    project, `key` stands for all that decides what it does."""

    key: str
    lay: Callable[[Path], None]


def compiled(
    model: ModelFile, request: pipeline.Request, flags: tuple[str, ...], kept: Path,
    overlay: Overlay | None = None,
) -> Path:  # fmt: skip
    """A folder below `kept` with `project` and its library for this machine, compiled once.

    Raises MicrotuneError if the model cannot be compiled as requested.
    """
    scheme = resolve_scheme(request.scheme, model.graph, model.graph.name).sha256()
    content = [code_version(), model.sha256(), scheme, str(request), str(flags), platform.node()]
    content += [overlay.key] if overlay is not None else []
    folder = kept / f"compiled-{digest(*content)}"
    touch(folder)
    if not (folder / LIBRARY).is_file():
        kept.mkdir(parents=True, exist_ok=True)
        make_room(0)
        _sweep(kept)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=kept))
        try:
            pipeline.compile_model(model, request, staging / "project")
            if overlay is not None:
                overlay.lay(staging / "project")
            build_library(staging / "project", staging / LIBRARY, flags=flags, kept=kept)
            with suppress(OSError):  # another process was faster
                staging.rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return folder


def _sweep(kept: Path) -> None:
    """Remove compilations that a killed process left unfinished a day ago or longer."""
    for left in kept.glob(f"{_STAGING}*"):
        with suppress(OSError):  # another process sweeps too
            if time.time() - left.stat().st_mtime > _DAY:
                shutil.rmtree(left, ignore_errors=True)


def host_runner(folder: Path, seed: int, flags: tuple[str, ...]) -> tuple[HostRunner, Graph]:
    """A runner with a fresh context of a project that `compiled` returned, and its graph."""
    project = folder / "project"
    graph = load_model(project / TRAINING_FILE).graph
    return HostRunner(project, seed, flags=flags, built=folder / LIBRARY), graph


def frames_sha256(split: Split) -> str:
    """A hash of the frames of a split, without labels and names."""
    return hashlib.sha256(np.ascontiguousarray(split.frames).data).hexdigest()


def kept_latents(
    runner: HostRunner, graph: Graph, split: Split, of: tuple[str, str], kept: Path
) -> Split:
    """The split with latents instead of frames; unchanged if no layer is frozen.

    Each image goes through the frozen layers once for all runs that are cut at the same tensor.
    `of` has the hashes of the model and of the frames.
    """
    cut = latent_cut(graph)
    if cut is None:
        return split
    path = kept / f"device-latents-{digest(code_version(), of[0], cut.tensor, of[1])}.bin"
    found = read_array(path)
    if found is not None:
        runner.from_latents = True
        return Split(found[0], split.labels, split.names)
    latents = runner.use_latents(split)
    keep_array(path, latents.frames)
    return latents
