"""Replay of generated code: which of the recorded C sources a change of ours has changed, and how.

    python benchmarks/replay.py [--against COMMIT] [--lines 60] [--only TEXT]

Compiles the pairs of model and options below (those with TEXT in their name) and says which
sources are no longer the recorded ones (tests/golden/sources.json). With `--against`, the same
pairs are compiled with the code of that commit too, and what differs is shown as a unified diff.
A refactoring must change nothing. A deliberate change is recorded with `make golden`. Exit code 1
says that something differs.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common import run

from microtune.cli import app
from microtune.errors import MicrotuneError

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests/golden/sources.json"
EMBEDDED = "src/microtune/embedded/fashion5.mt"
FILES = ("microtune_model.h", "microtune_model.c")
_NUMBER = re.compile(r"#if !defined\(\w*MT_NETWORK\)\n.*?#endif\n", re.DOTALL)
RATIOS = 'bias_layers = 9\nweights = { 10 = "1/4", 13 = "1/2", 14 = "1/8", 16 = 1, 18 = "1/2" }\n'
# As on a machine without ortools: what it finds depends on its version.
WITHOUT_SOLVER = "import sys; sys.modules['ortools'] = None; from microtune.cli import main; main()"
WITH_SOLVER = "from microtune.cli import main; main()"


@dataclass(frozen=True)
class Pair:
    """A model, an update scheme and the options of `microtune compile`."""

    model: str
    scheme: str
    options: str
    solver: bool = False

    @property
    def name(self) -> str:
        """As in the golden file."""
        words = (self.model, self.scheme, self.options, "with the solver" if self.solver else "")
        return " ".join(word for word in words if word)

    def arguments(self, source: Path, folder: Path, project: Path) -> list[str]:
        """The command line, with the embedded model of `source` (a checkout)."""
        model, classes = source / EMBEDDED, 5
        if self.model != "fashion5":
            data = Path(os.environ.get("MICROTUNE_DATA", ROOT.parent / "shared"))
            model, classes = data / f"models/mit_tiny-training/{self.model}.pkl", 10
        scheme = self.scheme
        if scheme == "ratios":
            scheme = str(folder / "ratios.toml")
            Path(scheme).write_text(RATIOS, encoding="utf-8")
        budgets = "--sram 64MB --flash 64MB" if "--target" not in self.options else "--sram 256KB"
        count = "" if "--outputs" in self.options else f"--classes {classes}"
        words = f"{count} {budgets} {self.options}".split()
        return ["compile", str(model), "--scheme", scheme, *words, "-o", str(project)]


PAIRS = (
    Pair("fashion5", "full", "--bias int32 --head-format float32 --schedule layers"),
    Pair("fashion5", "full", "--bias int16 --head-format int16 --schedule in-place --input rows"),
    Pair("fashion5", "last-7", "--bias int16 --head-format float32"),
    Pair("fashion5", "ratios", "--bias int32 --head-format int16 --input rows"),
    Pair("fashion5", "ratios", "--schedule layers"),
    Pair("fashion5", "bias-only", "--schedule in-place"),
    Pair("fashion5", "head-only", "--replay 16KB"),
    Pair("fashion5", "ratios", "--optimizer momentum --input rows"),
    Pair("fashion5", "none", "--input rows"),
    Pair("fashion5", "head-only", "--prefix tops_ --classes a,b,c,d,e --class-names"),
    Pair("fashion5", "last-3", "--head keep --bias int32"),
    Pair("fashion5", "last-3", "--head extend:3 --classes 8 --head-format float32"),
    Pair("fashion5", "last-3", "--loss binary --classes 2 --replay 4KB"),
    Pair("fashion5", "last-3", "--outputs 784"),
    Pair("fashion5", "last-7", "--target cortex-m7-banks --input rows"),
    Pair("fashion5", "last-7", "--input rows", solver=True),
    Pair("mcunet-5fps", "49KB", "--input rows"),
    Pair("mcunet-5fps", "49KB", "--input rows", solver=True),
    Pair("mbv2-w0.35", "49KB", "--bias int32 --head-format float32 --schedule in-place"),
    Pair("proxyless-w0.3", "148KB", "--schedule layers"),
)  # fmt: skip


def sources(pair: Pair, folder: Path) -> dict[str, str]:
    """File name -> text of the sources that this code generates for the pair."""
    project = folder / "project"
    solver = contextlib.nullcontext() if pair.solver else _without_ortools()
    with solver, contextlib.redirect_stdout(io.StringIO()):
        app(pair.arguments(ROOT, folder, project), standalone_mode=False)
    return _texts(project)


@contextlib.contextmanager
def _without_ortools() -> Iterator[None]:
    """As on a machine where it is not installed."""
    module = sys.modules.get("ortools")
    sys.modules["ortools"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["ortools"]
        if module is not None:
            sys.modules["ortools"] = module


def _texts(project: Path) -> dict[str, str]:
    """The generated files, without the number of the project, which changes with the runtime."""
    # With a prefix it stands before the files' names too.
    paths = {name: next((project / "model").glob(f"*{name}")) for name in FILES}
    texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
    return {name: _NUMBER.sub("", text) for name, text in texts.items()}


# -- fingerprints ---------------------------------------------------------------------------------


def fingerprint(texts: dict[str, str]) -> dict[str, str]:
    """Hashes of the files, and shorter ones of the parts of the source, to say what changed."""
    whole = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    parts: dict[str, list[str]] = {}
    for definition in texts["microtune_model.c"].split("\n\n"):
        parts.setdefault(_kind(definition), []).append(definition)
    return whole | {
        kind: hashlib.sha256("\n\n".join(text).encode()).hexdigest()[:16]
        for kind, text in sorted(parts.items())
    }


def _kind(definition: str) -> str:
    """Which part of the source a definition belongs to."""
    if function := re.match(r"static \w*mt_status (\w+)\(", definition):
        return f"function {function[1]}"
    if re.match(r"static const \w+ \w+\[[^]]*\] = \{\n +[-I\d]", definition):
        return "tables"
    return "structs" if re.match(r"static const \w*mt_\w+ \w+ = ", definition) else "the rest"


def changed(pair: Pair, found: dict[str, str]) -> list[str]:
    """What is not as recorded: names of files and of parts of the source."""
    recorded = recorded_sources().get(pair.name, {})
    return [key for key in recorded | found if recorded.get(key) != found.get(key)]


def recorded_sources() -> dict[str, dict[str, str]]:
    """Name of the pair -> fingerprint, as recorded."""
    golden: dict[str, dict[str, str]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return golden


# -- another commit -------------------------------------------------------------------------------


def recorded_at() -> str | None:
    """The commit that recorded the sources last; None without git."""
    command = ["git", "log", "-1", "--format=%h", "--", str(GOLDEN)]
    done = _quiet(command)
    return done.stdout.decode().strip() or None if done.returncode == 0 else None


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """The package as it is in a commit, in a temporary folder."""
    done = _quiet(["git", "archive", commit, "src"])
    if done.returncode:
        raise MicrotuneError(f"no such commit: {commit} ({done.stderr.decode().strip()})")
    with tempfile.TemporaryDirectory() as name:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(name, filter="data")
        yield Path(name)


def _quiet(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 127, b"", str(error).encode())


def sources_of(pair: Pair, source: Path, folder: Path) -> dict[str, str]:
    """What the code in `source` (a checkout) generates for the pair."""
    arguments = pair.arguments(source, folder, folder / "project")
    program = WITH_SOLVER if pair.solver else WITHOUT_SOLVER
    environment = os.environ | {"PYTHONPATH": str(source / "src")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise MicrotuneError(f"{pair.name}: that commit does not compile it: {done.stderr[-2000:]}")
    return _texts(folder / "project")


def difference(pair: Pair, commit: str, source: Path, folder: Path, lines: int) -> list[str]:
    """The first lines of the unified diff from that commit's sources to ours; long ones are cut."""
    (folder / "ours").mkdir()
    (folder / "theirs").mkdir()
    ours = sources(pair, folder / "ours")
    theirs = sources_of(pair, source, folder / "theirs")
    diff: list[str] = []
    for name in FILES:
        before, after = theirs[name].splitlines(), ours[name].splitlines()
        diff += difflib.unified_diff(before, after, f"{commit}/{name}", name, lineterm="", n=2)
    left = len(diff) - lines
    return [line[:160] for line in diff[:lines]] + ([f"… {left} more lines"] if left > 0 else [])


def hint(pair: Pair, folder: Path) -> str:
    """How the sources differ from those of the commit that recorded them, and what to do."""
    commit = recorded_at()
    advice = (
        "All of the difference:\n"
        f'    python benchmarks/replay.py --against {commit or "COMMIT"} --only "{pair.name}"\n'
        "If it is meant, record the sources of all pairs anew:\n    make golden"
    )
    if commit is None:
        return advice
    try:
        with checkout(commit) as source:
            shown = difference(pair, commit, source, folder, 40)
    except MicrotuneError as error:
        shown = [str(error)]
    return "\n".join([*(shown or [f"(nothing differs from {commit})"]), advice])


# -- command --------------------------------------------------------------------------------------


def _against(pairs: list[Pair], commit: str, lines: int) -> bool:
    differs = False
    with checkout(commit) as source:
        for pair in pairs:
            with tempfile.TemporaryDirectory() as folder:
                shown = difference(pair, commit, source, Path(folder), lines)
            print("\n".join([f"{pair.name}: {'differs' if shown else 'the same'}", *shown]))
            differs |= bool(shown)
    return differs


def _recorded(pairs: list[Pair]) -> bool:
    differs = False
    for pair in pairs:
        with tempfile.TemporaryDirectory() as folder:
            parts = changed(pair, fingerprint(sources(pair, Path(folder))))
        print(f"{pair.name}: {'changed: ' + ', '.join(parts) if parts else 'as recorded'}")
        differs |= bool(parts)
    return differs


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--against", metavar="COMMIT", help="show the difference from its sources")
    parser.add_argument("--lines", type=int, default=60, help="of each diff (default: 60)")
    parser.add_argument("--only", metavar="TEXT", default="", help="pairs with this in their name")
    options = parser.parse_args()
    pairs = [pair for pair in PAIRS if options.only in pair.name]
    if not pairs:
        names = "\n".join(f"  {pair.name}" for pair in PAIRS)
        raise MicrotuneError(f"no pair has {options.only!r} in its name; there are\n{names}")
    if options.against:
        sys.exit(_against(pairs, options.against, options.lines))
    sys.exit(_recorded(pairs))


if __name__ == "__main__":
    run(main)
