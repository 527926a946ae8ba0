"""The C of the pages of docs/: each page's snippets, compiled in one file with a driver that calls
them, and run. The README's program has its own file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from microtune.run.host import build_library
from microtune.tools.flags import PLAIN_NAMES
from microtune.training.tasks import REGRESS
from tests.docs.pages import ROOT, all_pieces, pieces
from tests.projects import compile_project

DRIVERS = Path(__file__).with_name("drivers")
FLAGS = [
    PLAIN_NAMES,
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wpedantic",
    "-Werror",
    "-Wno-unused-function",
]
# Page -> kinds of project that its snippets are run with.
PAGES = {
    "augmentation.md": ("resident", "rows"),
    "camera.md": ("resident",),
    "latents.md": ("resident",),
    "memory.md": ("rows",),
    "tasks.md": ("encoder",),
}
REPLAY_BYTES = 16 * 1024


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One project with a resident frame and a replay memory, one that asks for rows, and an
    auto-encoder."""
    folder = tmp_path_factory.mktemp("docs")
    compile_project(folder / "resident", "last-3", replay=REPLAY_BYTES)
    compile_project(folder / "rows", "last-3", input_mode="rows")
    compile_project(folder / "encoder", "last-3", classes=784, task=REGRESS)
    names = ("resident", "rows", "encoder")
    for name in names:
        build_library(folder / name, folder / name / "libmicrotune.so")
    return {name: folder / name for name in names}


def test_every_page_with_c_has_a_driver() -> None:
    found = {piece.page.name for piece in all_pieces("c")} - {"README.md"}
    assert found == set(PAGES) == {f"{path.stem}.md" for path in DRIVERS.glob("*.c")}


@pytest.mark.parametrize(
    ("page", "kind"), [(page, kind) for page, kinds in PAGES.items() for kind in kinds]
)
def test_the_snippets_compile_and_do_what_the_page_says(
    projects: dict[str, Path], tmp_path: Path, page: str, kind: str
) -> None:
    project, program = projects[kind], tmp_path / "program"
    snippets = [p.text for p in pieces(ROOT / "docs" / page) if p.kind == "c"]
    (tmp_path / "snippets.c").write_text("\n".join(snippets), encoding="utf-8")
    include = [f"-I{folder}" for folder in (tmp_path, project / "include", project / "model")]
    driver = DRIVERS / page.replace(".md", ".c")
    command = ["gcc", *FLAGS, "-O1", *include, str(driver), str(project / "libmicrotune.so")]
    built = subprocess.run(
        [*command, f"-Wl,-rpath,{project}", "-o", str(program)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (built.returncode, built.stderr) == (0, "")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
