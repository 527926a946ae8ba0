"""docs/commands.md from the command line itself: every command, argument and option.

python scripts/commands_page.py          # writes the page; a test holds it equal
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from pathlib import Path

import typer.main

from microtune.cli import app

PAGE = Path(__file__).resolve().parents[1] / "docs/commands.md"
HEAD = """\
# Commands

Written by `python scripts/commands_page.py` from the command line itself; `microtune COMMAND
--help` says the same. A user's error is one message and exit code 2, Ctrl-C is exit code 130.
"""
_Parameter = typer.core.TyperArgument | typer.core.TyperOption


def _choices(hint: object) -> list[str]:
    """The values of an enum, or of an optional one."""
    kinds = [hint, *typing.get_args(hint)]
    found = [k for k in kinds if isinstance(k, type) and issubclass(k, enum.Enum)]
    return [f"`{member.value}`" for kind in found for member in kind]


def _row(parameter: _Parameter, hint: object) -> str:
    names = [f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts]]
    if isinstance(parameter, typer.core.TyperArgument):
        names = [f"`{(parameter.metavar or parameter.name or '').strip('{}')}`"]
    notes = [", ".join(_choices(hint))]
    default = parameter.default
    if parameter.required:
        notes.append("required")
    elif isinstance(default, str | int | float | enum.Enum) and not isinstance(default, bool):
        notes.append(f"default `{default.value if isinstance(default, enum.Enum) else default}`")
    text = " ".join((parameter.help or "").split()).replace("|", "\\|")
    said = "; ".join(note for note in notes if note)
    return f"| {', '.join(names)} | {text}{f' ({said})' if said else ''} |"


def _section(name: str, function: Callable[..., object], parameters: list[_Parameter]) -> str:
    hints = typing.get_type_hints(function)
    rows = [_row(parameter, hints.get(parameter.name or "")) for parameter in parameters]
    about = (function.__doc__ or "").strip()
    return "\n".join([f"## {name}", "", about, "", "| | |", "|---|---|", *rows, ""])


def page() -> str:
    """The page's text."""
    group: typing.Any = typer.main.get_command(app)
    sections = [HEAD]
    for info in app.registered_commands:
        assert info.callback is not None
        name = info.name or info.callback.__name__
        parameters = [p for p in group.commands[name].params if isinstance(p, _Parameter)]
        sections.append(_section(name, info.callback, parameters))
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
