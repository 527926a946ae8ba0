"""Programs that tests interrupt, and what of them lives on."""

from __future__ import annotations

import os
import sys
import time

# `microtune` that Ctrl-C ends: a shell gives its background jobs an ignored SIGINT.
INTERRUPTIBLE = [
    sys.executable, "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from microtune.cli import main; main()",
]  # fmt: skip


def gone(group: int, seconds: float) -> bool:
    """Whether no process of the group is left within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
