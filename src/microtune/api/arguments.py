"""Arguments as users give them, checked: every error of a public function is a MicrotuneError."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar, get_args

from microtune.errors import MicrotuneError, in_words

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Place = str | os.PathLike[str]
SplitName = Literal["train", "val", "test"]


def public(function: Callable[P, R]) -> Callable[P, R]:
    """The function, with what the machine refuses (a full disk, no memory) as MicrotuneError."""

    @functools.wraps(function)
    def guarded(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return function(*arguments, **options)
        except (MicrotuneError, BrokenPipeError):
            raise
        except (OSError, MemoryError, UnicodeError) as error:
            raise MicrotuneError(in_words(error) or str(error)) from error

    return guarded


def as_path(name: str, value: Place) -> Path:
    """A path from text or a path object. Raises MicrotuneError for anything else."""
    if isinstance(value, str | os.PathLike):
        path = os.fspath(value)
        if isinstance(path, str) and path and "\0" not in path:
            return Path(path)
    raise MicrotuneError(f"{name}: {value!r} is no path")


def maybe_path(name: str, value: Place | None) -> Path | None:
    """`as_path`, or None for None."""
    return None if value is None else as_path(name, value)


def as_paths(name: str, value: Place | Sequence[Place]) -> list[Path]:
    """One or more paths; MicrotuneError for none."""
    many = [value] if isinstance(value, str | os.PathLike) else list(value)
    if not many:
        raise MicrotuneError(f"{name}: give at least one")
    return [as_path(name, one) for one in many]


def choice(name: str, value: T, kind: object) -> T:
    """The value, if it is one of a Literal's. Raises MicrotuneError that lists them."""
    known = get_args(kind)
    if value not in known:
        raise MicrotuneError(f"{name} {value!r}: there are {', '.join(map(str, known))}")
    return value


def whole(name: str, value: int, least: int, most: int | None = None) -> int:
    """An integer of at least `least` (and at most `most`). Raises MicrotuneError."""
    try:
        number = operator.index(value)
    except TypeError:
        raise MicrotuneError(f"{name} {value!r}: give a whole number") from None
    if number < least or (most is not None and number > most):
        limit = f"at least {least}" if most is None else f"from {least} to {most}"
        raise MicrotuneError(f"{name} {number}: give a number {limit}")
    return number


def real(name: str, value: float) -> float:
    """A number. Raises MicrotuneError."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise MicrotuneError(f"{name} {value!r}: give a number") from None
