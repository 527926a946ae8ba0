"""Only an op's own files know its name: elsewhere nothing compares it or lists it.

Forbidden outside `ir/ops` and `codegen/kernels`: comparing or matching `node.op`, asking it for a
prefix, looking it up in a table other than the op table and the kernel table, and a collection of
op names. Making a node of a certain op is allowed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from microtune.ir.ops import OPS

SOURCE = Path(__file__).resolve().parents[1] / "src/microtune"
OWN = ("ir/ops/", "codegen/kernels/")
# `op` of the float graph, and of a graph of PyTorch, are other things.
FLOATS = ("floats/", "quantization/", "importers/pytorch/")
INSTRUCTIONS = ("measure/codemap.py", "measure/listing.py")  # `op` of a machine's instruction
TABLES = {"OPS", "KERNELS"}
# Names that are no everyday words: a collection of these is a list of ops.
TELLING = {name for name in OPS if "_" in name or any(c.isdigit() for c in name)}


def _is_op(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "op"


def _names(items: list[ast.expr]) -> list[str]:
    values = [item.value for item in items if isinstance(item, ast.Constant)]
    return [value for value in values if isinstance(value, str) and value in TELLING]


def _table(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def broken(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what is wrong) of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(_is_op(s) for s in (node.left, *node.comparators)):
            if not any(_table(side) in TABLES for side in node.comparators):
                yield node.lineno, "compares an op's name: ask a trait (ir/ops/registry.py)"
        elif isinstance(node, ast.Match) and _is_op(node.subject):
            yield node.lineno, "matches an op's name: ask a trait"
        elif isinstance(node, ast.Attribute) and _is_op(node.value):
            yield node.lineno, f"asks an op's name for .{node.attr}: ask a trait"
        elif isinstance(node, ast.Subscript) and _is_op(node.slice):
            if _table(node.value) not in TABLES:
                yield node.lineno, "looks an op up in a table of its own: make it a field of Op"
        elif isinstance(node, ast.Set | ast.List | ast.Tuple) and _names(node.elts):
            yield node.lineno, f"lists ops ({', '.join(_names(node.elts))}): make it a trait"
        elif isinstance(node, ast.Dict) and _names([key for key in node.keys if key]):
            yield node.lineno, "is a table by op: make it a field of Op or Kernel"


def main() -> int:
    """Print every place that knows an op's name; exit code 1 if there is one."""
    problems = [
        f"{path.relative_to(SOURCE.parents[1])}:{line}: {what}"
        for path in sorted(SOURCE.rglob("*.py"))
        if not path.relative_to(SOURCE).as_posix().startswith((*OWN, *FLOATS, *INSTRUCTIONS))
        for line, what in broken(ast.parse(path.read_text(encoding="utf-8")))
    ]
    print("\n".join(problems) or f"ops: no name of {len(OPS)} ops is compared outside their files")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
