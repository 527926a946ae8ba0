"""The command `cache`."""

from __future__ import annotations

from typing import Annotated

import typer

from microtune.errors import MicrotuneError
from microtune.report.console import cache_table, console


def cache_command(
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything in it.")] = False,
) -> None:
    """Show where decoded pictures, search results and compiled code are kept, or clear that."""
    from microtune.tools import cache

    folder = cache.cache_folder()
    if folder is None:
        raise MicrotuneError(f"there is no cache: no home folder; set {cache.FOLDER} to have one")
    if clear:
        console.print(f"{cache.clear():,} bytes removed from {folder}", soft_wrap=True)
        return
    console.print(str(folder), soft_wrap=True)
    console.print(cache_table(cache.cache_limit(), cache.entries()))
