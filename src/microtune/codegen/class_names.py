"""The names of the classes in C and in the project's README."""

from __future__ import annotations

import re
from collections.abc import Sequence

from microtune.tools.names import printable

_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\?')
_DECLARATION = """
/* What the classes are called, by label: UTF-8, or the bytes of the folders' names. */
#ifdef __cplusplus
extern "C" {
#endif
extern const char *const mt_class_names[MT_CLASSES];
#ifdef __cplusplus
}
#endif
"""


def c_string(name: str) -> str:
    """The literal of a name, byte by byte as UTF-8 (surrogates: the byte that they stand for).

    What is not plain ASCII is three octal digits: no more can follow, and no ? begins a trigraph.
    """
    plain = _PLAIN
    if re.search(r"(?i)mt_|microtune", name):
        plain = frozenset()  # looks like one of the C's own names, which a prefix would change
    content = name.encode("utf-8", "surrogateescape")
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in content) + '"'


def declaration(names: Sequence[str]) -> str:
    """For the model's header; empty without names."""
    return _DECLARATION if names else ""


def definition(names: Sequence[str]) -> list[str]:
    """For the model's source; nothing without names."""
    if not names:
        return []
    body = "".join(f"    {c_string(name)},\n" for name in names)
    return [f"const char *const mt_class_names[MT_CLASSES] = {{\n{body}}};"]


def flash_bytes(names: Sequence[str]) -> int:
    """Bytes of the strings and of the pointers to them."""
    return sum(len(name.encode("utf-8", "surrogateescape")) + 1 + 4 for name in names)


def classes_text(names: Sequence[str], count: int) -> str:
    """The labels that `mt_train_class` takes and `predicted_class` gives, in Markdown."""
    if not names:
        return f"{count}, numbered from 0; their names were not given (`compile --data`)."
    rows = (f"| {label} | {_code(printable(name))} |" for label, name in enumerate(names))
    return "\n".join(["| label | class |", "|---:|---|", *rows])


def _code(text: str) -> str:
    """As Markdown code in a table, whatever it holds."""
    text = text.replace("|", "\\|")
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"
