"""Named operands: a dataclass of names for each op, and how it lies in a node's tuple of inputs.

A field is one operand, a group of operands (a nested dataclass), or either of these or None. The
tuple holds them in order and leaves out what is None. `T` is `str` (tensor names) or an array.
"""

from __future__ import annotations

import itertools
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, Self, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True)
class _Field:
    """One field: its name, the class of its group (None: a single operand), whether it may be
    None, and how many operands it has."""

    name: str
    group: type[Operands[Any]] | None
    optional: bool
    size: int


@dataclass(frozen=True)
class Operands(Generic[T]):
    """Base class of every op's operands."""

    @classmethod
    def of(cls, items: Sequence[T]) -> Self:
        """The operands by name from a node's inputs, or from their arrays.

        Raises ValueError where the op has no such number of operands.
        """
        if not isinstance(items, tuple):
            return _of(cls, items)
        # A node's names are asked for again and again.
        found = _NAMED.get((cls, items))
        if found is None:
            found = _NAMED[cls, items] = _of(cls, items)
        return cast(Self, found)

    def flat(self) -> tuple[T, ...]:
        """The tuple of a node's inputs: every operand that is not None, in order."""
        found: list[T] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Operands):
                found += value.flat()
            elif value is not None:
                found.append(value)
        return tuple(found)

    def names(self) -> Iterator[tuple[str, T]]:
        """(path of the field, operand) of every operand that is not None, in order."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Operands):
                yield from ((f"{field.name}.{path}", item) for path, item in value.names())
            elif value is not None:
                yield field.name, value


Kind = TypeVar("Kind", bound=Operands[Any])


def _of(kind: type[Kind], items: Sequence[Any]) -> Kind:
    values: list[Any] = []
    for group, start, end in _places(kind, len(items)):
        if start == end:
            values.append(None)
        else:
            values.append(group.of(items[start:end]) if group else items[start])
    return kind(*values)


def _places(kind: type[Operands[Any]], count: int) -> tuple[_Place, ...]:
    """(group, first, end) of each field among so many items; empty for what is None."""
    if (kind, count) in _PLACES:
        return _PLACES[kind, count]
    present = _layouts(kind).get(count)
    if present is None:
        raise ValueError(f"{count} inputs, not {_counts_text(kind)}")
    sizes = [f.size * there for f, there in zip(_fields(kind), present, strict=True)]
    ends = list(itertools.accumulate(sizes))
    groups = [field.group for field in _fields(kind)]
    return _PLACES.setdefault((kind, count), tuple(zip(groups, [0, *ends], ends, strict=False)))


_Place = tuple[type[Operands[Any]] | None, int, int]
_NAMED: dict[tuple[type, tuple[Any, ...]], Operands[Any]] = {}
_PLACES: dict[tuple[type, int], tuple[_Place, ...]] = {}
_FIELDS: dict[type, tuple[_Field, ...]] = {}
_LAYOUTS: dict[type, dict[int, tuple[bool, ...]]] = {}


def _fields(kind: type[Operands[Any]]) -> tuple[_Field, ...]:
    if kind in _FIELDS:
        return _FIELDS[kind]
    hints = typing.get_type_hints(kind)
    found = []
    for field in fields(kind):
        hint = hints[field.name]
        choices = [c for c in typing.get_args(hint) if c is not type(None)]
        optional = type(None) in typing.get_args(hint)
        base = typing.get_origin(choices[0] if optional else hint) or hint
        group = base if isinstance(base, type) and issubclass(base, Operands) else None
        size = sum(f.size for f in _fields(group)) if group else 1
        found.append(_Field(field.name, group, optional, size))
    return _FIELDS.setdefault(kind, tuple(found))


def _layouts(kind: type[Operands[Any]]) -> dict[int, tuple[bool, ...]]:
    """Number of inputs -> which fields are there. No two choices may have the same number."""
    if kind in _LAYOUTS:
        return _LAYOUTS[kind]
    parts = _fields(kind)
    found: dict[int, tuple[bool, ...]] = {}
    for present in itertools.product(*([True, False] if p.optional else [True] for p in parts)):
        size = sum(p.size * there for p, there in zip(parts, present, strict=True))
        if size in found:
            raise TypeError(f"{kind.__name__}: {size} inputs could be two sets of operands")
        found[size] = present
    return _LAYOUTS.setdefault(kind, found)


def _counts_text(kind: type[Operands[Any]]) -> str:
    """The allowed numbers of inputs, for people."""
    *most, last = sorted(_layouts(kind))
    return f"{', '.join(map(str, most))} or {last}" if most else str(last)


@dataclass(frozen=True)
class Single(Operands[T]):
    """The one operand of a unary op."""

    x: T


@dataclass(frozen=True)
class Many(Operands[T]):
    """Operands of one kind, one or more."""

    x: tuple[T, ...]

    @classmethod
    def of(cls, items: Sequence[T]) -> Self:
        """All of a node's inputs. Raises ValueError if there are none."""
        if not items:
            raise ValueError("0 inputs, not 1 or more")
        return cls(tuple(items))

    def flat(self) -> tuple[T, ...]:
        """The tuple of a node's inputs."""
        return self.x

    def names(self) -> Iterator[tuple[str, T]]:
        """("x0", the first operand), and so on."""
        yield from ((f"x{number}", item) for number, item in enumerate(self.x))
