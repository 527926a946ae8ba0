"""Builtin operators, one file a family: each entry translates one operator into the graph."""

from microtune.importers.tflite.operators import (
    batches,
    elementwise,
    ends,
    layers,
    moves,
    pairs,
    pools,
    resizes,
)
from microtune.importers.tflite.operators.registry import SEVERAL, TRANSLATIONS, Translate

__all__ = [
    "SEVERAL",
    "TRANSLATIONS",
    "Translate",
    "batches",
    "elementwise",
    "ends",
    "layers",
    "moves",
    "pairs",
    "pools",
    "resizes",
]
