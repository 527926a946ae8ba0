"""The random codes of kernel_cases.c, as constants: a core would take long to draw them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BYTES = 8192  # POOL_BYTES
LOWEST = (-127, -128)


def write_pools(folder: Path) -> Path:
    """The C file with the pools that kernel_cases.h declares."""
    rng = np.random.default_rng(1)
    extreme = [rng.choice((low, 127, 0), BYTES) for low in LOWEST]
    any_code = [rng.integers(low, 128, BYTES) for low in LOWEST]
    path = folder / "pools.c"
    path.write_text(
        '#include "kernel_cases.h"\n'
        f"const int8_t pool_extreme[2][POOL_BYTES] = {{{', '.join(map(_row, extreme))}}};\n"
        f"const int8_t pool_any[2][POOL_BYTES] = {{{', '.join(map(_row, any_code))}}};\n"
        f"const int8_t pool_small[POOL_BYTES] = {_row(rng.integers(-3, 4, BYTES))};\n"
    )
    return path


def _row(codes: npt.NDArray[Any]) -> str:
    return f"{{{', '.join(map(str, codes.tolist()))}}}"
