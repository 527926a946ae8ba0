"""The debug build (runtime/portable/mt_debug.h): products counted, accumulators checked."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass

from microtune.errors import MicrotuneError

OVERFLOW_EXIT_CODE = 98
_MACS = re.compile(r"macs (\d+) (\d+) (\d+)\s*")
_OVERFLOW = re.compile(r"overflow at (\S+)")


@dataclass(frozen=True)
class MacCounts:
    """Multiply-accumulates of one call, counted by a debug build.

    `performed` were computed. `skipped` were not, because a factor was padding or a gradient of 0.
    `repeated` were computed again to save memory.
    """

    performed: int
    skipped: int
    repeated: int

    @property
    def analytic(self) -> int:
        """The count of `ir.macs`: every product once, padding included."""
        return self.performed + self.skipped - self.repeated

    @staticmethod
    def parse(line: str) -> MacCounts | None:
        """The counts that the firmware's harness printed, or None for another line."""
        found = _MACS.fullmatch(line)
        return MacCounts(*map(int, found.groups())) if found else None


def overflow_error(where: str) -> MicrotuneError:
    """The error of an accumulator that overflowed at `where` (FILE:LINE)."""
    return MicrotuneError(
        f"an int32 accumulator overflowed at {where}: in a release build it would wrap. The biases"
        " or the fan-in of a layer are too large for its scales; quantise the model again"
    )


def reported_overflow(console: str) -> MicrotuneError:
    """The error of an overflow, with the place that the firmware printed on its console."""
    found = _OVERFLOW.search(console)
    return overflow_error(found[1] if found else "an unknown place")


class _Macs(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("performed", "skipped", "repeated"))


class DebugLibrary:
    """The debug functions of a shared library that was built with DEBUG_FLAG."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._c = library
        library.mt_debug_overflow.restype = ctypes.c_char_p
        library.mt_debug_counts.argtypes = [ctypes.POINTER(_Macs)]

    def reset(self) -> None:
        """Set all counters to zero, before a call."""
        self._c.mt_debug_reset()

    def macs(self) -> MacCounts:
        """The multiply-accumulates counted since the last `reset`."""
        macs = _Macs()
        self._c.mt_debug_counts(ctypes.byref(macs))
        return MacCounts(macs.performed, macs.skipped, macs.repeated)

    def check(self) -> None:
        """Raise MicrotuneError if an accumulator has overflowed since the last `reset`."""
        where = self._c.mt_debug_overflow()
        if where is not None:
            raise overflow_error(where.decode())
