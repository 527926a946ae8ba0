"""The table of translations: the name of a builtin operator -> the function that takes it."""

from __future__ import annotations

from collections.abc import Callable

from microtune.importers.tflite.reader import Operator
from microtune.importers.tflite.translation import Translation

# Appends nodes to the graph and says what the result is. Raises CannotError.
Translate = Callable[[Translation, Operator], None]
TRANSLATIONS: dict[str, Translate] = {}
# Operators that may have several results.
SEVERAL: set[str] = set()


def takes(*kinds: str, several: bool = False) -> Callable[[Translate], Translate]:
    """Register the decorated function for these operators; `several`: of more than one result."""

    def register(translate: Translate) -> Translate:
        SEVERAL.update(kinds if several else ())
        TRANSLATIONS.update(dict.fromkeys(kinds, translate))
        return translate

    return register
