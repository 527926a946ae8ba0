"""scripts/check_c_walls.py, which `make lint` runs, notices what it is there for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from microtune.runtime.files import RUNTIME

SCRIPT = Path(__file__).parents[2] / "scripts/check_c_walls.py"
# (file of a copy of the runtime, what is put at its end, what is said of it)
FAULTS = {
    "circle": ("include/microtune.h", '#include "mt_stream.h"', "circle of includes: "),
    "the portable kernels look into the core": (
        "portable/mt_loss.c", '#include "mt_context.h"',
        "portable/mt_loss.c: includes core/mt_context.h, which portable/ must not know",
    ),
    "a set looks into another": (
        "isa/mve/mt_sums_mve.c", '#include "../dsp/mt_dsp.h"',
        "isa/mve/mt_sums_mve.c: includes isa/dsp/mt_dsp.h, which",
    ),
    "a portable kernel names a set": (
        "portable/mt_loss.c", "#if MT_ISA_DSP\n#endif",
        "portable/mt_loss.c: MT_ISA_DSP belongs to isa/dsp/ alone",
    ),
    "a set names another": (
        "isa/dsp/mt_dsp.h", "#if MT_ISA_MVE\n#endif",
        "isa/dsp/mt_dsp.h: MT_ISA_MVE belongs to isa/mve/ alone",
    ),
    "a study's switch": (
        "portable/mt_head.c", "#if MT_STUDY_HEAD_BITS\n#endif",
        "portable/mt_head.c: MT_STUDY_HEAD_BITS is a word of studies",
    ),
    "a static function's name that another file has": (
        "isa/dsp/mt_sums_dsp.c", "static int32_t forward_dense(void) { return 0; }",
        "portable/mt_conv2d.c: forward_dense is static in isa/dsp/mt_sums_dsp.c too",
    ),
    "a header that is nowhere": (
        "core/mt_save.c", '#include "mt_lost.h"',
        "core/mt_save.c: mt_lost.h is in no folder of the runtime",
    ),
}  # fmt: skip


def check(runtime: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(runtime)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_runtime_has_its_walls() -> None:
    done = check(RUNTIME)
    assert (done.returncode, done.stdout[:8]) == (0, "C walls:")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(tmp_path: Path, fault: str) -> None:
    file, line, said = FAULTS[fault]
    shutil.copytree(RUNTIME, tmp_path / "runtime", ignore=shutil.ignore_patterns("*.py*"))
    path = tmp_path / "runtime" / file
    path.write_text(f"{path.read_text()}{line}\n")
    done = check(tmp_path / "runtime")
    assert done.returncode == 1
    assert said in done.stdout
