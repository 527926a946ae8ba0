"""docs/commands.md says what the command line says."""

from __future__ import annotations

import subprocess
import sys

from tests.docs.pages import ROOT


def test_the_page_of_commands_is_that_of_the_command_line() -> None:
    code = "import commands_page as c; print(c.PAGE.read_text() == c.page())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT / "scripts", capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout == "True\n", "run: python scripts/commands_page.py"
