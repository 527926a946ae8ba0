"""What this machine has of the tools that the emulated chip needs."""

from __future__ import annotations

from microtune.errors import MicrotuneError
from microtune.run.emulator import find_qemu
from microtune.tools.toolchain import find_arm_gcc


def missing_tools() -> list[str]:
    """What keeps `train(on="qemu")` and `measure` from running here, a sentence for each tool.

    Empty where the Arm compiler and QEMU are installed.
    """
    problems = []
    for find in (find_arm_gcc, find_qemu):
        try:
            find()
        except MicrotuneError as error:
            problems.append(str(error))
    return problems
