"""The table of ATen operators: the name of an operator -> the function that lowers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Takes the lowering, the operator's node and its arguments. Raises CannotError.
Lower = Callable[..., None]
OPERATORS: dict[str, Lower] = {}


def takes(*kinds: str) -> Callable[[Lower], Lower]:
    """Register the decorated function for these operators."""

    def register(lower: Lower) -> Lower:
        OPERATORS.update(dict.fromkeys(kinds, lower))
        return lower

    return register


def pair(value: Any) -> tuple[int, int]:  # noqa: ANN401
    """(height, width) of an argument that is a number, one in a list, or two."""
    if isinstance(value, int):
        return value, value
    numbers = [int(n) for n in value]
    return (numbers[0], numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def row(value: Any) -> tuple[int, int]:  # noqa: ANN401
    """(1, length) of an argument of an operator on signals."""
    return 1, value if isinstance(value, int) else int(value[0])
