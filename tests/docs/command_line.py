"""The real command line, asked what it knows; and the options of the benchmarks' scripts."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer.main

from microtune.cli import app
from tests.docs.pages import ROOT


@cache
def commands() -> dict[str, Any]:
    """Click's command of each name."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def options_of(name: str) -> set[str]:
    """All options of a command."""
    found = {"--help"}
    for parameter in commands()[name].params:
        found |= {o for o in (*parameter.opts, *parameter.secondary_opts) if o.startswith("-")}
    return found


def parse(words: list[str]) -> None:
    """Parse `microtune WORDS` as the command line does, and run nothing. Raises what it raises."""
    command = commands()[words[0]]
    command.make_context(words[0], list(words[1:]))


@cache
def script_options(name: str) -> frozenset[str]:
    """The options that a Python script of this repository declares with argparse."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    return frozenset(
        argument.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add_argument"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ) | {"--help"}


def shell_commands(block: str) -> Iterator[str]:
    """The commands of a shell block: lines continued by a backslash are one, comments go."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield " ".join(line.split("#")[0].split())
