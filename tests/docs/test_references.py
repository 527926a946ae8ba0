"""What the pages name exists: links, anchors, files, commands, options, make's targets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from microtune.importers import load_any
from microtune.training.scheme import resolve_scheme
from tests.docs.command_line import commands, options_of, script_options
from tests.docs.pages import PAGES, ROOT, Piece, all_pieces, pieces

ROOMS = [
    ROOT,
    ROOT / "src/microtune",
    ROOT / "src/microtune/runtime",
    ROOT / "docs",
    ROOT / "tests",
]
FILE = re.compile(r"[\w.*<>~-]+(?:/[\w.*<>-]+)*/?")
SUFFIXES = (".py", ".md", ".toml", ".c", ".h", ".json", ".sh")
# Names of the reader's files, of what commands write and of folders of a data set: no file of ours.
NOT_OURS = re.compile(
    r"photos/|flowers|include/microtune\.h|model/|(?:train|test|val|validation|valid|dev)/|out/|~/"
    r"|build/|board/|port/uart|src/(?:core|portable|isa|\*)"
)
# Options of other programs, which no table of ours can know.
FOREIGN = {
    "--strict": "mypy", "--num-cpus": "ray", "--nthreads": "dask", "--nworkers": "dask",
    "--privileged": "docker", "--gc-sections": "ld",
}  # fmt: skip


def codes() -> list[Piece]:
    """Inline code of all pages."""
    return all_pieces("code")


def slugs(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def test_links_lead_somewhere() -> None:
    for piece in all_pieces("link"):
        target, _, anchor = piece.text.partition("#")
        if re.match(r"https?:", target):
            continue
        page = piece.page if not target else piece.page.parent / target
        assert page.exists(), f"{piece}: {piece.text}"
        assert not anchor or anchor in slugs(page), f"{piece}: {piece.text}"


def paths() -> Iterator[tuple[Piece, str]]:
    """What looks like a file of the repository in inline code."""
    for piece in codes():
        for word in re.split(r"[\s:,()]+", piece.text):
            named = word.endswith(SUFFIXES) and len(word) > 6 and "/" in word
            if named and FILE.fullmatch(word) and not NOT_OURS.match(word):
                yield piece, word


def test_files_that_pages_name_exist() -> None:
    found = 0
    for piece, word in paths():
        found += 1
        assert any(any(room.glob(word)) for room in ROOMS), f"{piece}: {word}"
    assert found > 50


def test_every_page_has_only_blocks_of_known_languages() -> None:
    """`text` is for what commands print, formulas and drawings: no command hides in it."""
    assert not [str(p) for p in all_pieces("indented", "untagged")]
    kinds = {p.kind for page in PAGES for p in pieces(page)} - {"code", "link"}
    assert kinds <= {"c", "sh", "python", "toml", "json", "text"}
    for piece in all_pieces("text"):
        assert not re.search(r"^\s*(microtune|make|python|cc|pip) [a-z-]", piece.text, re.M), piece


def _options(words: list[str]) -> set[str]:
    return {m[0] for word in words if (m := re.match(r"--[a-z][a-z-]*", word))}


def test_commands_and_options_in_inline_code_exist() -> None:
    scripts = [str(path.relative_to(ROOT)) for path in ROOT.glob("benchmarks/*.py")]
    every = {o for name in commands() for o in options_of(name)} | set(FOREIGN)
    every |= {o for name in scripts for o in script_options(name)}
    found = 0
    for piece in codes():
        words = piece.text.split()
        if words[:1] == ["microtune"]:
            words = words[1:]
            known = not words or words[0] in commands() or words[0].isupper()
            assert known or words[0].startswith("-"), f"{piece}: {piece.text}"
        if not words:
            continue
        options = _options(words)
        found += len(options)
        script = next((word for word in words if word in scripts), None)
        if words[0] in commands():
            unknown = options - options_of(words[0])
        elif script is not None:
            unknown = options - script_options(script)
        else:
            unknown = options - every
        assert not unknown, f"{piece}: {piece.text}: no {', '.join(sorted(unknown))}"
    assert found > 60


# What the line in docs/commands.md says is all there is to say.
SELF_EXPLANATORY = {
    "--json", "--images", "--optimisation", "--all-layers", "--models", "--sources", "--seed",
    "--lr-schedule",
}  # fmt: skip


def test_every_option_is_on_the_page_of_its_subject() -> None:
    """docs/commands.md lists all; what most are for stands where their subject is explained."""
    pages = [p for p in all_pieces("code", "sh") if p.page.name != "commands.md"]
    words = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(piece.text for piece in pages)))
    missing = {o for name in commands() for o in options_of(name)} - words - {"--help"}
    assert missing <= SELF_EXPLANATORY, sorted(missing - SELF_EXPLANATORY)


def test_make_has_the_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    project = (ROOT / "src/microtune/project/templates/Makefile").read_text()
    targets |= set(re.findall(r"^([a-z-]+):", project, re.MULTILINE))
    for piece in codes():
        match = re.match(r"make ([a-z-]+)$", piece.text)
        assert match is None or match[1] in targets, f"{piece}: {piece.text}"


@pytest.mark.data
def test_the_schemes_of_the_pages_are_read(data_folder: Path, tmp_path: Path) -> None:
    blocks = all_pieces("toml")
    assert [piece.page.name for piece in blocks] == ["schemes.md", "targets.md"]
    (tmp_path / "mine.toml").write_text(blocks[0].text, encoding="utf-8")
    graph = load_any(next((data_folder / "models").rglob("mcunet-5fps.pkl"))).graph
    scheme = resolve_scheme(str(tmp_path / "mine.toml"), graph, graph.name)
    assert scheme.name == "mine"
    assert set(scheme.weights) == {"conv24", "conv30"}


def test_json_blocks_are_json() -> None:
    for piece in all_pieces("json"):
        json.loads(piece.text)
