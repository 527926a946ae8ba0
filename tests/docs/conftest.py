"""One workspace in which the pages' commands run, with what a reader has: the embedded model and
data, a photo, the README's program and samples for it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microtune import embedded
from microtune.data import Preprocessing
from microtune.importers import load_any
from tests.docs.pages import ROOT, pieces
from tests.projects import load_train

PASSES = 2


def readme_program() -> str:
    """The C of the README."""
    (program,) = (p.text for p in pieces(ROOT / "README.md") if p.kind == "c")
    return program


def write_samples(path: Path, passes: int = PASSES) -> int:
    """The embedded training images in random order, each a byte of label and its frame."""
    split = load_train(embedded.DATA, load_any(embedded.MODEL))
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(len(split.labels)) for _ in range(passes)])
    samples = (bytes([split.labels[i]]) + split.frames[i].tobytes() for i in order)
    path.write_bytes(b"".join(samples))
    return len(order)


def write_photo(path: Path) -> None:
    """A photo larger than the network's input, and of another shape."""
    size = Preprocessing.from_json(load_any(embedded.MODEL).preprocessing)
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (3 * size.height, 4 * size.width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    (folder / "src/microtune").mkdir(parents=True)
    (folder / "src/microtune/embedded").symlink_to(ROOT / "src/microtune/embedded")
    (folder / "learn.c").write_text(readme_program(), encoding="utf-8")
    write_samples(folder / "samples.bin", passes=1)
    write_photo(folder / "photo.png")
    (board,) = (p.text for p in pieces(ROOT / "docs/targets.md") if p.kind == "toml")
    (folder / "board.toml").write_text(board, encoding="utf-8")
    tools = folder / "bin"
    tools.mkdir()
    for name, module in (("microtune", "-m microtune"), ("python", "")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        (tools / name).chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def shell_environment(workspace: Path) -> dict[str, str]:
    """What `source .venv/bin/activate` gives, without a cache of the reader's own."""
    path = f"{workspace / 'bin'}{os.pathsep}{os.environ['PATH']}"
    bash = shutil.which("bash")
    assert bash is not None
    return {**os.environ, "PATH": path, "XDG_CACHE_HOME": str(workspace / "cache")}
