"""What the head starts from: nothing, the model's own classifier, or that with room for more."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from microtune.errors import MicrotuneError

HeadFormat = Literal["int16", "float32"]
HeadKind = Literal["new", "keep", "extend"]


@dataclass(frozen=True)
class HeadOrigin:
    """What the head is when it starts to learn.

    "new": empty, for the user's classes. "keep": the model's own classifier. "extend": that, and
    `more` further classes behind its own.
    """

    kind: HeadKind = "new"
    more: int = 0

    @property
    def own(self) -> bool:
        """Whether the model's own classifier is in it."""
        return self.kind != "new"

    def __str__(self) -> str:
        return f"extend:{self.more}" if self.kind == "extend" else self.kind


NEW, KEEP = HeadOrigin(), HeadOrigin("keep")


def parse_head(head: str, head_format: str | None = None) -> tuple[HeadOrigin, HeadFormat]:
    """What `--head` and `--head-format` say: (origin, number format).

    `head` is "new", "keep" or "extend:K", or in the old spelling a number format; the format is
    int16 if neither names one. Raises MicrotuneError.
    """
    formats = get_args(HeadFormat)
    if head_format is not None and head_format not in formats:
        raise MicrotuneError(f"--head-format {head_format!r}: there are {', '.join(formats)}")
    if head not in formats:
        return _origin(head), "float32" if head_format == "float32" else "int16"
    if head_format not in (None, head):
        raise MicrotuneError(
            f"--head {head} is the old spelling of --head-format {head}, and --head-format is "
            f"{head_format}: leave one of them out"
        )
    return NEW, "float32" if head == "float32" else "int16"


def _origin(text: str) -> HeadOrigin:
    if text in ("new", "keep"):
        return KEEP if text == "keep" else NEW
    match = re.fullmatch(r"extend:([0-9]{1,9})", str(text))
    if match is None:
        raise MicrotuneError(
            f"--head {text!r}: there are new, keep and extend:K (K more classes, such as extend:3)"
        )
    if int(match[1]) == 0:
        raise MicrotuneError(f"--head {text}: extend needs at least one class; or take --head keep")
    return HeadOrigin("extend", int(match[1]))
