"""A tensor's name is for people: nothing looks a tensor up by a name of its own, or parses one.

Forbidden in `src/microtune`: `graph.tensors["logits"]` and its kin (ask `graph.signature`), a name
that is put together anywhere but in a call that makes a new one (`fresh`, `emit`), and asking a
text for an ending that such calls give (`name.endswith(".frozen")`).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src/microtune"
# The tables of a graph, by tensor name.
TABLES = {"tensors", "data", "updates"}
# Endings of the names that the compiler gives to what it adds to a graph.
ENDINGS = {
    "frozen", "trained", "order", "delta", "effective", "offset", "next", "exponent", "mask",
    "masked", "saved", "ring", "live_scale", "grad", "dx",
}  # fmt: skip
MAKERS = {"fresh", "emit"}
PARSERS = {
    "startswith", "endswith", "removesuffix", "removeprefix", "split", "rsplit", "partition",
    "rpartition", "replace", "find", "index",
}  # fmt: skip


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _is_ending(node: ast.expr) -> bool:
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, str) and value.startswith(".") and value[1:] in ENDINGS


def _is_put_together(node: ast.AST) -> bool:
    """An f-string `{name}.ending`."""
    return isinstance(node, ast.JoinedStr) and len(node.values) > 1 and _is_ending(node.values[-1])


def _made(tree: ast.AST) -> set[ast.AST]:
    """Everything within a call that makes a name."""
    makers = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and _called(n) in MAKERS)
    return {inner for call in makers for inner in ast.walk(call)}


def broken(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what is wrong) of a module."""
    made = _made(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and getattr(node.value, "attr", "") in TABLES:
            fixed = isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
            if fixed or isinstance(node.slice, ast.JoinedStr):
                yield node.lineno, "looks a tensor up by a name of its own: ask graph.signature"
        elif isinstance(node, ast.Call) and _called(node) in PARSERS:
            if any(_is_ending(argument) for argument in node.args):
                yield node.lineno, "parses a tensor's name: ask its kind, part_of or its node"
        elif isinstance(node, ast.Compare) and _is_ending(node.left):
            yield node.lineno, "looks for a word in a tensor's name"
        elif isinstance(node, ast.Call) and _called(node) == "evaluate":
            if any(isinstance(a, ast.Dict) and _has_fixed_key(a) for a in node.args):
                yield node.lineno, "feeds a tensor by a name of its own: use ir.signature.feed"
        elif _is_put_together(node) and node not in made:
            yield node.lineno, "puts a tensor's name together: graph.fresh makes one"


def _has_fixed_key(node: ast.Dict) -> bool:
    return any(isinstance(key, ast.Constant) for key in node.keys)


def main() -> int:
    """Print every place that reads something from a tensor's name; exit code 1 if there is one."""
    problems = [
        f"{path.relative_to(SOURCE.parents[1])}:{line}: {what}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, what in broken(ast.parse(path.read_text(encoding="utf-8")))
    ]
    print("\n".join(problems) or "names: no tensor's name is parsed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
