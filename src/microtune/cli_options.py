"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum


class InputKind(StrEnum):
    """Where the frame is."""

    resident = "resident"
    rows = "rows"


class BiasKind(StrEnum):
    """Format of trained biases."""

    int32 = "int32"
    int16 = "int16"


class HeadKind(StrEnum):
    """Format of the head."""

    int16 = "int16"
    float32 = "float32"
