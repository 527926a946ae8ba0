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


@pytest.mark.parametrize(
    ("build", "words"), [("sanitize", ""), ("sanitize-native", "conv2d or grad")]
)
def test_kernels_under_sanitizers(build: str, words: str) -> None:
    """The portable kernels, and those that this machine has kernels of its own for."""
    found = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    if not Path(found).is_absolute():
        pytest.skip("gcc has no AddressSanitizer here")
    folder = Path(__file__).parent
    kinds = ("forward", "gradient", "update")
    tests = [str(folder / f"test_{kind}_kernels.py") for kind in kinds]
    environment = {
        **os.environ, "LD_PRELOAD": found, "ASAN_OPTIONS": "detect_leaks=0",
        "MICROTUNE_TEST_BUILDS": build,
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", words]
    done = subprocess.run([*command, *tests], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
