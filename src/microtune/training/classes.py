"""Which classes a network learns: how many, and what they are called, in label order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile
from microtune.tools.names import listed
from microtune.training.head import find_classifier
from microtune.training.head_origin import HeadOrigin
from microtune.training.tasks import BINARY, CLASSIFY, Task


@dataclass(frozen=True)
class Classes:
    """How many there are, and their names in label order (empty: not known)."""

    count: int
    names: tuple[str, ...] = ()


def own_classes(model: ModelFile, task: Task = CLASSIFY) -> Classes:
    """What the model's own classifier tells apart, as a head of this task; a task without classes
    has its outputs counted."""
    graph = model.graph
    outputs = graph.tensors[find_classifier(graph).outputs[0]].elements
    count = task.classes(outputs) if task is BINARY and outputs <= 2 else outputs
    named = task.classes(outputs) and len(model.classes) == count
    return Classes(count, tuple(model.classes) if named else ())


def names_of(own: Classes, head: HeadOrigin) -> tuple[str, ...]:
    """The names of a head that keeps the model's own classes; new ones are numbered. Empty where
    the own ones are not known."""
    if not own.names:
        return ()
    numbers, names = iter(range(1, own.count + head.more + 1)), list(own.names)
    while len(names) < own.count + head.more:
        if (name := f"new {next(numbers)}") not in own.names:
            names.append(name)
    return tuple(names)


def head_note(
    own: Classes, head: HeadOrigin, names: Sequence[str], count: int, task: Task = CLASSIFY
) -> str:
    """What a head of `count` classes or values that is not new, or is frozen, knows before it
    learns."""
    known = listed(own.names) or f"{own.count} outputs"
    if not task.classes(count):
        return f"the head {'starts as' if head.own else 'is'} the model's own output layer: {known}"
    if head.more:
        more = listed(names[own.count :]) or head.more
        return f"the head starts as the model's own classifier ({known}), with room for {more}"
    if head.own:
        return f"the head starts as the model's own classifier: {known}"
    if own.count == count:
        return f"the head is the model's own classifier: {listed(own.names) or own.count}"
    return (
        "the head is empty and cannot learn: every frame will be class 0. The model's own "
        f"classifier knows {own.count} classes, not {count}"
    )


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
        raise MicrotuneError(
            f"--classes {text}, but {where} has {len(found)} classes, in this order: "
            f"{listed(found)}. "
            "Leave --classes out"
        )
    return Classes(len(found), tuple(found))


def resolve_kept_classes(
    head: HeadOrigin,
    own: Classes,
    text: int | str | Sequence[str] | None = None,
    found: Sequence[str] | None = None,
    where: str = "data",
) -> Classes:
    """The classes of a head that keeps the model's `own` ones.

    `text` is their number, all their names, or the names of those that `head` adds. `found` are a
    data set's names: each class that is not the model's own is a new one, in the set's order. A
    data set may lack own classes; a model that does not know its names takes all from the set.
    Raises MicrotuneError.
    """
    total = Classes(own.count + head.more, names_of(own, head))
    if text is not None:
        total = _kept_as_asked(head, own, total, _parse(text, 1), text)
    if found is None:
        return total
    if not own.names:
        if len(found) != total.count or (total.names and total.names != tuple(found)):
            raise MicrotuneError(
                f"{where} has {len(found)} classes ({listed(found)}), and --head {head} "
                f"{total.count}: the model does not say what its {own.count} classes are called, "
                "so that the data must have all of them, the model's own first"
            )
        return Classes(total.count, tuple(found))
    named = own.names if text is None else total.names
    new = [name for name in found if name not in named]
    if len(new) != (head.more if text is None else 0):
        raise MicrotuneError(
            f"{where} has {len(new)} classes beside those of --head {head}, not "
            f"{head.more if text is None else 0}.\n  the head's own: {listed(named)}\n"
            f"  only in the data: {listed(new) or 'none'}"
        )
    return total if text is not None else Classes(total.count, (*own.names, *new))


def _kept_as_asked(
    head: HeadOrigin, own: Classes, total: Classes, asked: Classes, text: object
) -> Classes:
    """The classes of --classes TEXT: a number, all names, or those of the new classes."""
    if not asked.names:
        if asked.count == total.count:
            return total
        raise MicrotuneError(
            f"--classes {text}: --head {head} has {total.count} classes, {own.count} of them the "
            "model's own. Leave --classes out"
        )
    if head.more and asked.count == head.more and own.names:
        return Classes(total.count, _distinct((*own.names, *asked.names), text).names)
    own_first = not own.names or asked.names[: own.count] == own.names
    if asked.count == total.count and own_first:
        return asked
    known = (
        f"the model's own are {listed(own.names)}"
        if own.names
        else (
            f"the model does not say what its {own.count} classes are called: give all "
            f"{total.count} names, its own first"
        )
    )
    raise MicrotuneError(
        f"--classes {text}: with --head {head} these must be "
        + (f"the {head.more} new ones, or " if head.more and own.names else "")
        + f"all {total.count} classes; {known}"
    )


def _parse(text: int | str | Sequence[str], least: int = 2) -> Classes:
    """A number, or at least so many names."""
    if isinstance(text, int) and not isinstance(text, bool):
        return Classes(text)
    wanted = "at least two names" if least > 1 else "names"
    if not isinstance(text, str):
        names = tuple(text) if isinstance(text, Sequence) else ()
        if len(names) < least or not all(isinstance(name, str) and name.strip() for name in names):
            raise MicrotuneError(f"--classes {text!r}: give a number, or {wanted}")
        return _distinct(tuple(name.strip() for name in names), text)
    stripped = text.strip()
    if stripped.removeprefix("-").isdecimal() and stripped.isascii():
        return Classes(int(stripped))
    names = tuple(name.strip() for name in text.split(","))
    if len(names) < least or not all(names):
        raise MicrotuneError(
            f"--classes {text!r} is neither a number nor a list of names; write 3, or cat,dog,none"
        )
    return _distinct(names, text)


def _distinct(names: tuple[str, ...], text: object) -> Classes:
    if len(set(names)) < len(names):
        raise MicrotuneError(f"--classes {text}: one name is there twice")
    return Classes(len(names), names)
