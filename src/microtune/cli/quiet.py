"""Imported before everything that takes time: Ctrl-C while the command starts is one word, not the
traceback of an import; a stream that the shell has closed (`>&-`) swallows what is printed; and a
library says nothing of its own."""

from __future__ import annotations

import logging
import os
import sys
from types import TracebackType


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        sys.__excepthook__(kind, error, trace)


def _open_closed_streams() -> None:
    """As files 0, 1 and 2, so that no other file gets such a number and is printed into."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


sys.excepthook = _say
# Where it keeps its fonts is nothing that a user of ours asked about.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
_open_closed_streams()
