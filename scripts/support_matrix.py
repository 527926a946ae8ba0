"""What each op supports, from the op table, the kernel table and the C of the instruction sets.

python scripts/support_matrix.py         # writes the table of the page; a test holds it equal
"""

from __future__ import annotations

import re
from pathlib import Path

from microtune.codegen.kernels import KERNELS
from microtune.ir.ops import OPS, Op, Trait
from microtune.runtime.files import RUNTIME

PAGE = Path(__file__).resolve().parents[1] / "docs/develop/add-an-op.md"
BEGIN, END = "<!-- support -->\n", "<!-- end of support -->"
SETS = {"dsp": "DSP", "mve": "Helium", "avx2": "AVX2"}
HEAD = ["op", "infer", "dx", "dW", "db", "rows", "trained"]


def _defined() -> dict[str, set[str]]:
    """Instruction set -> the functions that its C defines."""
    found = {}
    for folder in SETS:
        text = "\n".join(f.read_text("utf-8") for f in (RUNTIME / "isa" / folder).glob("*.c"))
        found[folder] = set(re.findall(r"^[a-z][\w ]*[ *](mt_\w+)\(", text, re.M))
    return found


def _kernels(op: str, defined: dict[str, set[str]]) -> str:
    """The versions of an op's kernel, in words."""
    if op not in KERNELS:
        return ""
    faster = {name for function in KERNELS[op].faster for name in (function, f"{function}_isa")}
    sets = [SETS[name] for name, functions in defined.items() if functions & faster]
    return ", ".join(["portable", *sets])


def _cell(op: str, defined: dict[str, set[str]]) -> str:
    """What runs for an op: versions of its kernel, or nothing for a view."""
    if not op:
        return ""
    return "a view" if Trait.VIEW in OPS[op].traits else _kernels(op, defined)


def _row(op: Op, defined: dict[str, set[str]]) -> list[str]:
    back = [op.back.get(what, "") for what in ("dx", "dW", "db")]
    return [
        f"`{op.name}`", _cell(op.name, defined), *(_cell(name, defined) for name in back),
        "yes" if Trait.STREAMED in op.traits else "", "yes" if op.gradient else "",
    ]  # fmt: skip


def forward_ops() -> list[Op]:
    """The ops that a model file may have, and the head that training puts in its place."""
    return [op for op in OPS.values() if op.gradient is not None]


def table() -> str:
    """The table in Markdown, one row a forward op."""
    defined = _defined()
    rows = [HEAD, ["---"] * len(HEAD), *(_row(op, defined) for op in forward_ops())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def page_with_table(text: str) -> str:
    """The page with today's table between its marks."""
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:start] + table() + text[end:]


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
