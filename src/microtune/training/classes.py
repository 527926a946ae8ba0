"""Which classes a network learns: how many, and what they are called, in label order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile
from microtune.training.head import find_classifier


@dataclass(frozen=True)
class Classes:
    """How many there are, and their names in label order (empty: not known)."""

    count: int
    names: tuple[str, ...] = ()


def own_classes(model: ModelFile) -> Classes:
    """What the model's own classifier tells apart."""
    graph = model.graph
    count = graph.tensors[find_classifier(graph).outputs[0]].elements
    return Classes(count, tuple(model.classes) if len(model.classes) == count else ())


def resolve_classes(
    text: int | str | Sequence[str] | None,
    found: Sequence[str] | None,
    where: str = "data",
    default: Classes | None = None,
) -> Classes:
    """The classes that `text` (a number, or names, also with commas between them) and a data set
    name.

    `found` are the data set's names in label order, `where` the set's name for messages. Both may
    be given and must then agree; with neither it is `default`. Raises MicrotuneError.
    """
    if text is None and found is None:
        if default is not None:
            return default
        raise MicrotuneError(
            "how many classes are there to learn? --classes N, --classes NAME,NAME,… or --data DATA"
        )
    if text is None:
        assert found is not None
        return Classes(len(found), tuple(found))
    asked = _parse(text)
    if found is None:
        return asked
    if asked.count != len(found) or (asked.names and asked.names != tuple(found)):
        listed = ", ".join(found[:12]) + (", …" if len(found) > 12 else "")
        raise MicrotuneError(
            f"--classes {text}, but {where} has {len(found)} classes, in this order: {listed}. "
            "Leave --classes out"
        )
    return Classes(len(found), tuple(found))


def _parse(text: int | str | Sequence[str]) -> Classes:
    if isinstance(text, int) and not isinstance(text, bool):
        return Classes(text)
    if not isinstance(text, str):
        names = tuple(text) if isinstance(text, Sequence) else ()
        if len(names) < 2 or not all(isinstance(name, str) and name.strip() for name in names):
            raise MicrotuneError(f"--classes {text!r}: give a number, or at least two names")
        return _distinct(tuple(name.strip() for name in names), text)
    stripped = text.strip()
    if stripped.removeprefix("-").isdecimal() and stripped.isascii():
        return Classes(int(stripped))
    names = tuple(name.strip() for name in text.split(","))
    if len(names) < 2 or not all(names):
        raise MicrotuneError(
            f"--classes {text!r} is neither a number nor a list of names; write 3, or cat,dog,none"
        )
    return _distinct(names, text)


def _distinct(names: tuple[str, ...], text: object) -> Classes:
    if len(set(names)) < len(names):
        raise MicrotuneError(f"--classes {text}: one name is there twice")
    return Classes(len(names), names)
