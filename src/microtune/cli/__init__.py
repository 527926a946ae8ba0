"""The command line: parse, call, print, one file a command. No logic lives here."""

from __future__ import annotations

import microtune.cli.quiet  # noqa: F401

# isort: split
import io
import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from microtune import __version__
from microtune.cli import failures
from microtune.cli.cache import cache_command
from microtune.cli.compile import compile_command
from microtune.cli.convert import convert
from microtune.cli.demo import demo
from microtune.cli.evaluate import evaluate
from microtune.cli.inspect import inspect
from microtune.cli.measure import measure
from microtune.cli.plan import plan_command
from microtune.cli.predict import predict
from microtune.cli.quantize import quantize
from microtune.cli.search import search
from microtune.cli.train import train
from microtune.cli.verify import verify
from microtune.report.console import console

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    help="Turn a pre-trained int8 network into plain C that keeps learning on a microcontroller.",
)  # fmt: skip
app.command()(inspect)
app.command()(convert)
app.command()(quantize)
app.command()(verify)
app.command("compile")(compile_command)
app.command("plan")(plan_command)
app.command()(train)
app.command()(evaluate)
app.command()(predict)
app.command()(measure)
app.command()(search)
app.command()(demo)
app.command("cache")(cache_command)
# Commands of other installed packages: the studies of this repository bring `study`.
for _point in entry_points(group="microtune.commands"):
    app.command(_point.name)(_point.load())


def _version(value: bool) -> None:
    if value:
        console.print(f"microtune {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Networks that keep learning on the microcontroller they run on."""


def main() -> None:
    """Entry point: whatever goes wrong becomes one clear message and an exit code
    (`failures.run`)."""
    for stream in (sys.stdout, sys.stderr):
        # A name may hold what the terminal's encoding lacks, or bytes that are no text.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(failures.run(app))
