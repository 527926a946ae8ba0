"""Mutants: one fault at a time in a copy of the code, and whether the test named for it fails.

    python benchmarks/mutants.py [--only TEXT] [--list] [--write]

The faults and their tests are data (benchmarks/mutants.toml). Each test must first pass on the
unchanged copy; then a mutant is caught if its test fails, and survives if it passes. Exit code 1
says that one survived. `--list` shows them and runs nothing; `--write` renews the table in
docs/tests.md. Nothing of the checkout is changed; Ctrl-C ends the run with what is known.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common import DOCS, run

from microtune.errors import MicrotuneError

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "benchmarks/mutants.toml"
PAGE = DOCS / "tests.md"
MARKS = ("<!-- mutants -->\n", "<!-- end -->")
COPIED = ("src", "tests", "benchmarks", "docs", "pyproject.toml")
TIMEOUT_S = 900


@dataclass(frozen=True)
class Mutant:
    """In `file` the one place of `old` becomes `new`; `test` is what pytest must find failing."""

    part: str
    what: str
    file: str
    old: str
    new: str
    test: str

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"{self.part}: {self.what}"

    def mutated(self, text: str) -> str:
        """The file's text with the fault. Raises MicrotuneError if the place is not there."""
        places = text.count(self.old)
        if places != 1:
            raise MicrotuneError(
                f"{FILE.name}: {self.name}: {places} places in {self.file} read {self.old!r}; "
                "write the mutant anew"
            )
        return text.replace(self.old, self.new)


def mutants() -> list[Mutant]:
    """All of them, in the order of the file."""
    content = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return [Mutant(**entry) for entry in content["mutant"]]


def table(chosen: Sequence[Mutant]) -> str:
    """The mutants as a Markdown table."""
    lines = ["| part | fault | file | caught by |", "|---|---|---|---|"]
    for mutant in chosen:
        file = mutant.file.removeprefix("src/microtune/")
        test = mutant.test.removeprefix("tests/")
        lines.append(f"| {mutant.part} | {mutant.what} | `{file}` | `{test}` |")
    return "\n".join(lines) + "\n"


def page_with_table(text: str) -> str:
    """The page with the table of today between its marks."""
    begin, end = MARKS
    if begin not in text:
        raise MicrotuneError(f"{PAGE.name} has no place for the table: {begin.strip()} … {end}")
    head, rest = text.split(begin, 1)
    return head + begin + table(mutants()) + rest[rest.index(end) :]


# -- runs -----------------------------------------------------------------------------------------


class Copy:
    """A copy of the checkout in which tests run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.healthy: dict[str, str] = {}
        ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, folder / name)

    def outcome(self, test: str) -> str:
        """passed, failed, skipped, or why the test could not run."""
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(self.folder / "src"), str(self.folder))),
            "MICROTUNE_DATA": os.environ.get("MICROTUNE_DATA", str(ROOT.parent / "shared")),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        environment.pop("MICROTUNE_UPDATE_GOLDEN", None)
        command = [sys.executable, "-m", "pytest", "-x", "-o", "addopts=", "-p", "no:cacheprovider",
                   "--color=no", test]  # fmt: skip
        code, words = _finished(command, self.folder, environment)
        if code == 1:
            return "failed"
        if code == 0:
            return "passed" if re.search(r"\b\d+ passed", words) else "skipped"
        return "\n".join(words.strip().splitlines()[-3:])

    def verdict(self, mutant: Mutant) -> str:
        """caught, survived, skipped, or why the test could not run on the unchanged code."""
        if mutant.test not in self.healthy:
            self.healthy[mutant.test] = self.outcome(mutant.test)
        before = self.healthy[mutant.test]
        if before == "skipped":
            return "skipped: its test does not run on this machine"
        if before != "passed":
            return f"broken: its test does not pass on the unchanged code: {before}"
        path = self.folder / mutant.file
        text = path.read_text(encoding="utf-8")
        path.write_text(mutant.mutated(text), encoding="utf-8")
        try:
            after = self.outcome(mutant.test)
        finally:
            path.write_text(text, encoding="utf-8")
        verdicts = {"failed": "caught", "passed": "survived", "skipped": "survived"}
        return verdicts.get(after, f"broken: its test cannot run any more: {after}")


def _finished(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and output; whatever ends the run early ends the processes of the test too."""
    with subprocess.Popen(
        command, cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            words, _ = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return 1, "it does not end"
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, words


def try_all(chosen: Sequence[Mutant]) -> int:
    """Run and print; returns the exit code."""
    verdicts: list[str] = []
    with tempfile.TemporaryDirectory(prefix="microtune-mutants-") as name:
        copy = Copy(Path(name))
        try:
            for number, mutant in enumerate(chosen, start=1):
                print(f"[{number}/{len(chosen)}] {mutant.name} … ", end="", flush=True)
                start = time.monotonic()
                verdicts.append(copy.verdict(mutant))
                print(f"{verdicts[-1]} ({time.monotonic() - start:.0f} s, {mutant.test})")
        finally:
            words = [verdict.partition(":")[0] for verdict in verdicts]
            counts = {word: words.count(word) for word in dict.fromkeys(words)}
            done = ", ".join(f"{count} {word}" for word, count in counts.items())
            print(f"\n{len(words)} of {len(chosen)} tried: {done or 'none'}")
    return int(any(word in ("survived", "broken") for word in words))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="mutants with this in their name"
    )
    parser.add_argument("--list", action="store_true", help="show them and run nothing")
    parser.add_argument("--write", action="store_true", help="renew the table in docs/tests.md")
    options = parser.parse_args()
    chosen = [mutant for mutant in mutants() if options.only in f"{mutant.name} {mutant.test}"]
    if not chosen:
        raise MicrotuneError(f"no mutant has {options.only!r} in its name; see --list")
    for mutant in chosen:
        mutant.mutated((ROOT / mutant.file).read_text(encoding="utf-8"))
    if options.write:
        PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    elif options.list:
        print(table(chosen), end="")
    else:
        sys.exit(try_all(chosen))


if __name__ == "__main__":
    run(main)
