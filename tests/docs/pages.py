"""README.md and the pages of docs/, taken apart: fenced blocks, inline code, links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@dataclass(frozen=True)
class Piece:
    """A piece of a page. `kind`: the language of a fence, "indented" for a block without one,
    "code" for inline code, "link" for the target of a link or image."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def pieces(page: Path) -> Iterator[Piece]:
    """All of a page, in order."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    for token in tokens:
        line = token.map[0] + 1 if token.map else 0
        if token.type == "fence":
            yield Piece(page, line, token.info.strip() or "untagged", token.content)
        elif token.type == "code_block":
            yield Piece(page, line, "indented", token.content)
        for child in token.children or ():
            yield from _inline(page, line, child)


def _inline(page: Path, line: int, token: Token) -> Iterator[Piece]:
    if token.type == "code_inline":
        yield Piece(page, line, "code", token.content)
    target = token.attrGet("href") or token.attrGet("src")
    if target is not None:
        yield Piece(page, line, "link", str(target))


def all_pieces(*kinds: str) -> list[Piece]:
    """The pieces of these kinds on all pages."""
    return [piece for page in PAGES for piece in pieces(page) if piece.kind in kinds]
