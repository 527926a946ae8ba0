"""What a user is meant to read: one type of error, one of warning, and a machine's refusal in
words."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
import warnings
from pathlib import Path

# Frames between a warning and the user's line: those of the package, decorators, contexts.
_OURS = (str(Path(__file__).parent), contextlib.__file__, functools.__file__)
_ADVICE = {
    errno.ENOSPC: "make room there, or point the output, TMPDIR or XDG_CACHE_HOME to another disk",
    errno.EDQUOT: "your quota is used up: make room, or write to another disk",
    errno.EFBIG: "the file would be larger than the system allows (ulimit -f)",
    errno.EROFS: "that file system is read-only: give another place (-o, TMPDIR, XDG_CACHE_HOME)",
    errno.EACCES: "you may not do that there: give another place, or change its permissions",
    errno.EPERM: "you may not do that there: give another place, or change its permissions",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "too many files are open: raise ulimit -n",
    errno.ELOOP: "symbolic links lead in a circle",
}


class MicrotuneError(Exception):
    """Bad input or an impossible request; the message says what, where and what to do.

    The command line prints it and exits with code 2.
    """


class MicrotuneWarning(UserWarning):
    """What a user should know of a result, or of what was done with files of theirs."""


def warn(line: str) -> None:
    """Issue a MicrotuneWarning that points to the caller of the package. The command line prints it
    as a note."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(line, MicrotuneWarning, stacklevel=level)


def in_words(error: BaseException) -> str | None:
    """What the machine refused (a file, memory, an encoding) and what helps; None for an error of
    another kind."""
    if isinstance(error, OSError):
        what = error.strerror or str(error) or type(error).__name__
        places = [os.fsdecode(name) for name in (error.filename, error.filename2)
                  if isinstance(name, str | bytes | os.PathLike)]  # fmt: skip
        text = ": ".join([*(" -> ".join(places),) * bool(places), what])
        if "temporary directory" in text:
            return f"{text}; set TMPDIR to a folder that you may write to"
        advice = _ADVICE.get(error.errno or 0)
        return f"{text}; {advice}" if advice else text
    if isinstance(error, MemoryError):
        return "not enough memory on this machine"
    if isinstance(error, UnicodeError):
        return f"a name or a file is not in the encoding that it should have: {error}"
    return None
