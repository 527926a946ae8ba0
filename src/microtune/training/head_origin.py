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


def parse_head(text: str) -> HeadOrigin:
    """What `--head` says: "new", "keep" or "extend:K". Raises MicrotuneError for anything else."""
    if text in ("new", "keep"):
        return KEEP if text == "keep" else NEW
    if text in get_args(HeadFormat):
        raise MicrotuneError(f"--head {text}: a number format is chosen by --head-format {text}")
    match = re.fullmatch(r"extend:([0-9]{1,9})", str(text))
    if match is None:
        raise MicrotuneError(
            f"--head {text!r}: there are new, keep and extend:K (K more classes, such as extend:3)"
        )
    if int(match[1]) == 0:
        raise MicrotuneError(f"--head {text}: extend needs at least one class; or take --head keep")
    return HeadOrigin("extend", int(match[1]))
