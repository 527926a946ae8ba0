"""Numbers of the C that Python counts with, read from the C: the sources are their only home."""

from __future__ import annotations

import re
from functools import cache

from microtune.runtime.files import RUNTIME

_DEFINE = re.compile(
    r"^#define (\w+) (?:U?INT(?:32|64)_C\()?(0x[0-9a-fA-F]+|\d+)[uU]?\)?(?=\s|$)", re.MULTILINE
)


@cache
def constants(file: str) -> dict[str, int]:
    """Every macro that a file of the runtime defines as one integer, e.g. `#define MT_BLOCK 32`."""
    text = (RUNTIME / file).read_text(encoding="utf-8")
    return {name: int(value, 0) for name, value in _DEFINE.findall(text)}


# Elements that a kernel treats at once.
BLOCK = constants("portable/mt_numerics.h")["MT_BLOCK"]
# Inputs of an output up to which eight patches are widened, else four.
EIGHT_LANES = constants("portable/mt_conv2d_finish.h")["MT_EIGHT_LANES"]
# Scratch of a dense weight update, in bytes: int32 sums of some rows, and room for the kernel.
_SUMS = constants("portable/mt_weight_sums.h")
WEIGHT_SUM_BYTES = _SUMS["MT_SUM_ROWS"] * BLOCK * 4 + _SUMS["MT_SUM_ROOM"]
# The context without arenas: bytes of its numbers, and how many pointers.
_CONTEXT = constants("core/mt_context.h")
CONTEXT_NUMBER_BYTES = _CONTEXT["MT_CONTEXT_NUMBER_BYTES"]
CONTEXT_POINTERS = _CONTEXT["MT_CONTEXT_POINTERS"]
# What mt_save writes before and behind parameters and offsets.
_SAVE = constants("core/mt_save.c")
SAVE_FORMAT_VERSION = _SAVE["FORMAT_VERSION"]
SAVE_HEADER_BYTES, SAVE_STATE_BYTES = _SAVE["HEADER_BYTES"], _SAVE["STATE_BYTES"]
# The replay memory: its header, a label; sites of the random numbers that no tensor has.
_REPLAY = constants("core/mt_replay.c")
REPLAY_HEADER_BYTES = _REPLAY["REPLAY_HEADER_BYTES"]
REPLAY_LABEL_BYTES = _REPLAY["REPLAY_LABEL_BYTES"]
SITE_KEEP, SITE_REHEARSE = _REPLAY["SITE_KEEP"], _REPLAY["SITE_REHEARSE"]
SITE_AUGMENT = constants("core/mt_augment.c")["SITE_AUGMENT"]
