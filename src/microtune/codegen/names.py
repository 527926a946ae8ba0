"""Names of the project's C: a prefix for all of them, and link names of this project alone.

Two networks in one firmware need different names in C: a prefix stands before every identifier
mt_… and MT_… and before every file's name. And objects of two projects must never be linked into
one another unnoticed (an archive of yesterday, two networks without a prefix): the header
`mt_names.h` gives every external name the number of the project, a hash of all its C, as a suffix.
Built with -DMT_PLAIN_NAMES, the linker sees the names of the runtime, whatever the prefix.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from microtune.errors import MicrotuneError
from microtune.tools.flags import NAMES_HEADER

# Empty, or the start of an identifier (names that begin with _ belong to the compiler).
PREFIX = r"(?:[A-Za-z][A-Za-z0-9_]{0,31})?"
# What a build chooses with -D, for all networks of a firmware alike.
SETTINGS = frozenset({"MT_DEBUG", "MT_PORTABLE", "MT_PLAIN_NAMES"})
PUBLIC = ("include/microtune.h", "include/microtune_image.h", "model/microtune_model.h")
_NAMES = f"include/{NAMES_HEADER}"
_LONG = 1 << 16
_WORD = re.compile(r"\b(?:mt|MT|MICROTUNE)_\w+|\bmicrotune(?:_image|_model)?(?=\.[ch]\b)")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_FILE = re.compile(r"\w+\.[ch]\b")
# A definition or declaration begins in the first column; what is static, or no object, is excluded.
_EXTERNAL = re.compile(
    r"^(?!static\b|typedef\b|struct\b|enum\b|union\b|extern\b|MT_INLINE\b|[/#* }])"
    r"[\w *]+?[ *](mt_\w+)(?:\[\w*\])*(?:\(| =|;)",
    re.MULTILINE,
)
_IN_ASSEMBLER = re.compile(r"\bMT_LINK_NAME\((mt_\w+)\)")
_ONE_NETWORK = """\
#if !defined({macro})
#define {macro} 0x{number}
#elif {macro} != 0x{number}
#error "headers of two networks in one file: compile one of them with another --prefix"
#endif
"""

Texts = dict[str, str]


def check_prefix(prefix: str) -> str:
    """The prefix. Raises MicrotuneError if it cannot begin a name in C."""
    if re.fullmatch(PREFIX, prefix) is None:
        raise MicrotuneError(
            f"--prefix {prefix!r}: a prefix is at most 32 letters, digits and underscores and "
            "begins with a letter, for instance faces_"
        )
    return prefix


@dataclass(frozen=True)
class _Names:
    """What the renaming knows of a C text: its words without comments, and what it defines."""

    words: frozenset[str]
    external: frozenset[str]


def _find_names(text: str) -> _Names:
    words = frozenset(_WORD.findall(_COMMENT.sub("", text)))
    return _Names(words, frozenset((*_EXTERNAL.findall(text), *_IN_ASSEMBLER.findall(text))))


_find_names_once = lru_cache(maxsize=256)(_find_names)


def _names(text: str) -> _Names:
    """The files of the runtime are the same in every project; a model's C is long and its own."""
    return _find_names_once(text) if len(text) < _LONG else _find_names(text)


def external_names(sources: Mapping[str, str]) -> list[str]:
    """Functions and objects with external linkage that the C files define, in order."""
    found = {
        name for path, text in sources.items() if path.endswith(".c")
        for name in _names(text).external
    }  # fmt: skip
    return sorted(found)


@dataclass(frozen=True)
class Renaming:
    """The prefix before the identifiers and files of a project's own C."""

    prefix: str
    words: frozenset[str]
    files: frozenset[str]

    def text(self, text: str) -> str:
        """A text about the project (C, make, prose) with the names that it has there."""
        return _WORD.sub(lambda match: self._word(match, text), text) if self.prefix else text

    def _word(self, match: re.Match[str], text: str) -> str:
        name = _FILE.match(text, match.start())
        known = match[0] in self.words or (name is not None and name[0] in self.files)
        return self.prefix + match[0] if known else match[0]

    def path(self, path: str) -> str:
        """Where a file of the project lies."""
        folder, _, name = path.rpartition("/")
        return f"{folder}/{self.prefix}{name}"


def named(sources: Texts, prefix: str) -> tuple[Texts, Renaming]:
    """The C of include/, src/ and model/ by path, as the project gets it; and how it was renamed.

    A prefixed project keeps the headers of its interface under their plain names too: they include
    the prefixed ones.
    """
    number = hashlib.sha256("\0".join([*sources, *sources.values()]).encode()).hexdigest()[:8]
    words = set[str]().union(*(_names(text).words for text in sources.values())) - SETTINGS
    macro = "MT_NETWORK"
    renaming = Renaming(
        prefix, frozenset(words | {macro}), frozenset(path.rpartition("/")[2] for path in sources)
    )
    guard = _ONE_NETWORK.format(macro=macro, number=number)
    texts = dict(sources)
    for path in PUBLIC:
        comment, start, rest = texts[path].partition("#ifndef ")
        texts[path] = f"{comment}{guard}{start}{rest}"
    result = {renaming.path(path): renaming.text(text) for path, text in texts.items()}
    names = external_names(sources)
    result[renaming.path(_NAMES)] = _names_header(prefix, names, words, number)
    if prefix:
        for path in PUBLIC:
            name = renaming.path(path).rpartition("/")[2]
            result[path] = f'/* {name} under its plain name. */\n#include "{name}"\n'
    return result, renaming


def _names_header(prefix: str, names: list[str], words: set[str], number: str) -> str:
    """mt_names.h; see the module. Plain names of a prefixed project undo the prefix."""
    own = [f"#define {prefix}{name} {prefix}{name}_{number}" for name in names]
    plain = [f"#define {prefix}{word} {word}" for word in sorted(words) if word.startswith("mt_")]
    return "\n".join([
        "/* What the linker sees: names of this network alone, so that objects and archives of two",
        " * networks, or an old archive and a new header, never answer for one another. With",
        " * -DMT_PLAIN_NAMES it sees them without prefix and number. Generated by microtune. */",
        f"#ifndef {prefix}MT_NAMES_H", f"#define {prefix}MT_NAMES_H", "",
        "#ifndef MT_PLAIN_NAMES", *own, *(["#else", *plain] if prefix else []), "#endif", "",
        "#endif", "",
    ])  # fmt: skip
