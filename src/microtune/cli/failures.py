"""What a failure looks like to the user: one message and an exit code, never a traceback."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import TextIO

from microtune.errors import MicrotuneError, MicrotuneWarning, in_words
from microtune.report.console import errors

# Set to anything, the traceback of what went wrong is shown.
TRACEBACK = "MICROTUNE_TRACEBACK"
BAD_INPUT, BUG, INTERRUPTED = 2, 1, 130


class _Ending:
    """Handlers of SIGINT and SIGTERM that end the command and remember that they did."""

    def __init__(self) -> None:
        self.code = 0
        # Ctrl-C that is ignored (a shell's background job) stays so.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._terminate)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.code = INTERRUPTED
        signal.default_int_handler(number, frame)

    def _terminate(self, number: int, _: FrameType | None) -> None:
        self.code = 128 + number
        sys.exit(self.code)


def run(command: Callable[[], None]) -> int:
    """The exit code of a command: 0; 2 where the input or the machine is at fault; 1 for a fault of
    ours; 130 after Ctrl-C, 143 after SIGTERM, which ends what is under way, worker processes
    included, as Ctrl-C does. What went wrong is said on standard error."""
    ending = _Ending()
    _say_warnings()
    try:
        command()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            errors.print("interrupted")
        return _flushed(end.code if isinstance(end.code, int) else int(end.code is not None))
    except KeyboardInterrupt:
        errors.print("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return _flushed(BUG)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        if ending.code:  # an extension module that is interrupted while it loads is an ImportError
            errors.print("interrupted")
            return ending.code
        code, message = explain(error)
        errors.print("error:", style="bold red", end=" ")
        errors.print(message, soft_wrap=True)
        return code
    return _flushed(0)


def _say_warnings() -> None:
    """Print the library's own warnings as notes; others as Python does."""
    python_shows = warnings.showwarning

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        if issubclass(category, MicrotuneWarning):
            errors.print(f"note: {message}", soft_wrap=True)
        else:
            python_shows(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    warnings.simplefilter("always", MicrotuneWarning)


def explain(error: BaseException) -> tuple[int, str]:
    """(exit code, message) of an error."""
    if isinstance(error, MicrotuneError):
        return BAD_INPUT, str(error)
    if (text := in_words(error)) is not None:
        return BAD_INPUT, text
    return BUG, (
        f"internal error: {type(error).__name__}: {error}\nThis is a fault of microtune's; please "
        f"report it. With {TRACEBACK}=1 in the environment it shows where it happened"
    )


def _flushed(code: int) -> int:
    """The code, unless nobody reads standard output any more: quiet then."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        errors.print(f"error: standard output: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BAD_INPUT
    return code
