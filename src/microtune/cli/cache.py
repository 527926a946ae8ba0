"""The command `cache`."""

from __future__ import annotations

from typing import Annotated

import typer

import microtune as mt
from microtune.report.console import cache_table, console


def cache_command(
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything in it.")] = False,
) -> None:
    """Show where decoded pictures, search results and compiled code are kept, or clear that."""
    kept = mt.cache()
    if clear:
        console.print(f"{mt.clear_cache():,} bytes removed from {kept.folder}", soft_wrap=True)
        return
    console.print(str(kept.folder), soft_wrap=True)
    console.print(cache_table(kept.limit, kept.entries))
