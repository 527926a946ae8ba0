"""The house's limits: lines per file and per function (docs/develop/architecture.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

PYTHON_FILE, C_FILE, FUNCTION, SHARE = 400, 250, 40, 0.9


def tracked(*patterns: str) -> list[Path]:
    """Files that git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", *patterns], capture_output=True, text=True, check=True
    )
    return [Path(line) for line in listed.stdout.splitlines() if Path(line).is_file()]


def function_lengths(path: Path) -> list[int]:
    """Lines of every function of a Python file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    ]


def main() -> int:
    """Print what is too long; exit code 1 if anything is."""
    problems: list[str] = []
    lengths: list[int] = []
    for pattern, limit in ((("*.py",), PYTHON_FILE), (("*.c", "*.h"), C_FILE)):
        for path in tracked(*pattern):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > limit:
                problems.append(f"{path}: {lines} lines, limit {limit}")
            if path.suffix == ".py":
                lengths += function_lengths(path)
    short = sum(length <= FUNCTION for length in lengths) / max(len(lengths), 1)
    if short < SHARE:
        problems.append(f"only {short:.1%} of functions have at most {FUNCTION} lines")
    print("\n".join(problems) or f"sizes: {short:.1%} of {len(lengths)} functions are short")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
