"""Macros and files that the runtime's C and the compiler's front end both know by name."""

from __future__ import annotations

# Products are counted, accumulators checked (runtime/portable/mt_debug.h).
DEBUG_FLAG = "-DMT_DEBUG"
# External names without the number of the project behind them (codegen/names.py).
PLAIN_NAMES = "-DMT_PLAIN_NAMES"
NAMES_HEADER = "mt_names.h"
