"""The house's English: docstrings of the public Python, and words that no reader would know.

Every public function, class and method of a module in src/ or studies/ has a docstring whose first
paragraph reads as a sentence: at least LEAST characters, a capital (or a number, a quote, a bracket
or a code word) at the beginning, a full stop at the end. Public is what no leading underscore
hides, neither its own nor that of a module, class or function around it. No name and no docstring
uses an INVENTED word.

Not checked: whether a docstring is true or complete (shapes, dtypes, units, errors), private names,
modules whose name begins with an underscore (`__init__`, `__main__`), overloads and setters, tests
and benchmarks, and the files of PENDING.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LEAST = 28
# Words of names and docstrings that the field does not know, with what it says instead.
INVENTED = {
    "laboratory": "runner", "twin": "instance, duplicate", "knock": "check that it is reachable",
    "luck": "noise, chance", "riddle": "what it says",
}  # fmt: skip
# Paths of files that are not checked yet.
PENDING = frozenset[str]()

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public_nodes(body: list[ast.stmt], place: str = "") -> Iterator[tuple[str, Documented]]:
    """(dotted name, node) of the public functions, classes and methods of a module's body."""
    for node in body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            name = f"{place}{node.name}"
            yield name, node
            if isinstance(node, ast.ClassDef):
                yield from public_nodes(node.body, f"{name}.")


def is_repeated(node: Documented) -> bool:
    """Whether the docstring stands elsewhere: an overload, an override, or a property's setter."""
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & {"overload", "override", "setter"})


def docstring_problem(node: Documented) -> str | None:
    """What is wrong with the docstring of a node, None if nothing is."""
    text = ast.get_docstring(node)
    if text is None:
        return "no docstring"
    first = " ".join(text.split("\n\n")[0].split())
    if len(first) < LEAST:
        return f"docstring of {len(first)} characters, at least {LEAST}: {first!r}"
    if not re.match(r"[A-Z0-9`\"'(\[<-]|[a-z_]+(\(|\.| ->)", first):
        return f"docstring begins without a capital: {first[:40]!r}"
    if not re.search(r"[.:!?][)\"'`]*$", first):
        return f"docstring ends without a full stop: {first[-40:]!r}"
    return None


def invented_words(text: str) -> list[str]:
    """The INVENTED words of a name or docstring, also as parts of names and in the plural."""
    parts = re.findall(r"[A-Z]?[a-z]+", text)
    return sorted({part.lower().removesuffix("s") for part in parts} & set(INVENTED))


def problems(path: Path) -> list[str]:
    """One line for each problem of a Python file, with its line number."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for name, node in public_nodes(tree.body):
        words = invented_words(f"{name} {ast.get_docstring(node) or ''}")
        said = [f"invented word {w!r}: {INVENTED[w]}" for w in words]
        problem = None if is_repeated(node) else docstring_problem(node)
        found += [f"{path}:{node.lineno}: {name}: {p}" for p in [problem, *said] if p]
    return found


def checked_files() -> list[Path]:
    """The public modules of src/ and studies/ that git tracks."""
    command = ["git", "ls-files", "src/*.py", "studies/*.py"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return [path for path in map(Path, listed) if path.is_file() and path.stem[0] != "_"]


def main() -> int:
    """Print all problems outside PENDING; exit code 1 if there are any."""
    files = checked_files()
    checked = [path for path in files if str(path) not in PENDING]
    lines = [line for path in checked for line in problems(path)]
    skipped = len(files) - len(checked)
    print("\n".join(lines) or f"docstrings: {len(checked)} files pass, {skipped} are not checked")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
