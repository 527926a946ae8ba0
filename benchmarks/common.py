"""What the benchmarks share: where data are, where results go, tables into pages of docs/."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from microtune.errors import MicrotuneError
from microtune.tools.files import write_whole

OUT = Path("out")
DOCS = Path(__file__).resolve().parents[1] / "docs"


def run(main: Callable[[], None]) -> None:
    """As the command line does: a user's error is one message and exit code 2, Ctrl-C is 130
    without a traceback, and SIGTERM ends worker processes too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
    except MicrotuneError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def data_folder() -> Path:
    """The optional data folder; exits with a message where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("MICROTUNE_DATA", beside))
    if not folder.is_dir():
        raise SystemExit("set MICROTUNE_DATA to the folder with data/ and models/")
    return folder


def put_blocks(page: Path, blocks: Mapping[str, str]) -> None:
    """Put the text of each block between its marks `<!-- name -->` and `<!-- end -->`."""
    text = page.read_text(encoding="utf-8")
    for block, content in blocks.items():
        if f"<!-- {block} -->" not in text:
            raise MicrotuneError(f"{page} has no place for it: <!-- {block} --> … <!-- end -->")
        mark = re.compile(rf"(<!-- {block} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = mark.sub(lambda m, c=content: f"{m[1]}{c}{m[2]}", text)  # type: ignore[misc]
    write_whole(page, text.encode())


def put_tables(
    page: Path, blocks: Mapping[str, Sequence[Table]], width: int, pictures: Sequence[str] = ()
) -> None:
    """Put the tables of each block into its place, and behind them the pictures of docs/images."""
    shown_below = "".join(f"\n![{Path(name).stem}](images/{name})\n" for name in pictures)
    texts = {}
    for block, shown in blocks.items():
        plain = Console(width=width, file=io.StringIO(), record=True)
        plain.print(*shown)
        lines = [line.rstrip() for line in plain.export_text().splitlines()]
        content = "\n".join(line for line in lines if line)
        texts[block] = f"```text\n{content}\n```\n{shown_below}"
    put_blocks(page, texts)
