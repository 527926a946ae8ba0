"""The kernel tests once more under AddressSanitizer and UndefinedBehaviorSanitizer.

Python loads the instrumented library, so the run needs a process of its own with libasan preloaded;
numpy's buffers come from its malloc, so a kernel that leaves them is found.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_kernels_under_sanitizers() -> None:
    found = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    if not Path(found).is_absolute():
        pytest.skip("gcc has no AddressSanitizer here")
    folder = Path(__file__).parent
    tests = sorted(str(p) for p in folder.glob("test_*_kernels.py") if "chip" not in p.name)
    environment = {
        **os.environ, "LD_PRELOAD": found, "ASAN_OPTIONS": "detect_leaks=0",
        "MICROTUNE_TEST_BUILDS": "sanitize sanitize-native",
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
