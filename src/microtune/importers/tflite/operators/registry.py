"""The table of translations: the name of a builtin operator -> the function that takes it."""

from __future__ import annotations

from collections.abc import Callable

from microtune.importers.tflite.reader import Operator
from microtune.importers.tflite.translation import Translation

# Appends nodes to the graph and says what the result is. Raises CannotError.
Translate = Callable[[Translation, Operator], None]
TRANSLATIONS: dict[str, Translate] = {}


def takes(*kinds: str) -> Callable[[Translate], Translate]:
    """Register the decorated function for these operators."""

    def register(translate: Translate) -> Translate:
        TRANSLATIONS.update(dict.fromkeys(kinds, translate))
        return translate

    return register
