"""Labelled samples from the files of a folder or an archive, and what was left out.

A file is SPLIT/CLASS/…/NAME below the root. The root is the first folder, going down through single
folders, that has a training split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol

from microtune.data.image.formats import begins_like_a_picture, suffixes, why_not
from microtune.errors import MicrotuneError
from microtune.tools.names import SPLITS, is_hidden, natural, printable, split_of

Parts = tuple[str, ...]
_SHOWN = 3


@dataclass(frozen=True)
class File:
    """A file of a folder or archive.

    `parts` are the parts of its path; `head` reads its first bytes, `content` all of them.
    """

    parts: Parts
    head: Callable[[], bytes]
    content: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The path of the file, with slashes."""
        return "/".join(self.parts)


@dataclass
class LeftOut:
    """Names of files that are not read, by reason."""

    names: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, reason: str, name: str) -> None:
        """Record that a file is left out for this reason."""
        self.names[reason].append(name)

    def notes(self) -> list[str]:
        """One line for each reason: how many files, why, and the first names."""
        return [f"{len(n)} {reason}: {some(n)}" for reason, n in sorted(self.names.items())]


def some(names: list[str]) -> str:
    """The first names of a list, and how many more there are, in words."""
    shown = ", ".join(printable(name) for name in sorted(names)[:_SHOWN])
    return f"{shown}, …" if len(names) > _SHOWN else shown


class Tree(Protocol):
    """What is read of a folder or an archive."""

    def folders(self, parts: Parts) -> list[str]:
        """The names of the folders directly in a folder."""

    def loose(self, parts: Parts) -> list[str]:
        """The names of the files directly in a folder."""

    def files(self, parts: Parts, left_out: LeftOut) -> Iterator[File]:
        """All files below a folder that are not hidden; links that lead nowhere are counted."""


@dataclass(frozen=True)
class FoundPicture:
    """A picture: its split and class, and its file."""

    split: str
    label: str
    file: File


def find_pictures(tree: Tree, where: str, left_out: LeftOut) -> list[FoundPicture]:
    """All pictures in order: by split, class in natural order, and name."""
    root = _root(tree)
    found: list[FoundPicture] = []
    for split, folder in _splits(tree, root, where, left_out).items():
        here = (*root, folder)
        classes = {name for name in tree.folders(here) if not is_hidden(name)}
        own = list(_pictures(tree, here, split, left_out))
        found += own
        _check_empty(where, split, here, classes - {item.label for item in own}, left_out)
    return sorted(found, key=lambda f: (SPLITS.index(f.split), natural(f.label), f.file.name))


def _root(tree: Tree) -> Parts:
    """The folder that has the splits, found by going down through single folders."""
    here: Parts = ()
    while True:
        folders = [name for name in tree.folders(here) if not is_hidden(name)]
        if len(folders) != 1:
            return here
        inside = [n for n in tree.folders((*here, folders[0])) if not is_hidden(n)]
        means = [split_of(name) for name in inside]
        # A lone train/ is the training split, unless it holds nothing but splits.
        split = split_of(folders[0])
        if split == "train" and not ("train" in means and all(means)):
            return here
        # So is a lone test/ or val/, to be evaluated, unless there is something to train on in it.
        if split is not None and "train" not in means:
            return here
        here = (*here, folders[0])


def _splits(tree: Tree, root: Parts, where: str, left_out: LeftOut) -> dict[str, str]:
    """Split -> its folder. Raises MicrotuneError if two folders mean the same split."""
    splits: dict[str, str] = {}
    for name in sorted(tree.folders(root), key=natural):
        split = split_of(name)
        if is_hidden(name):
            continue
        if split is None:
            left_out.add("folder(s) beside the splits", "/".join((*root, name)) + "/")
        elif split in splits:
            raise MicrotuneError(
                f"{where}: {splits[split]}/ and {name}/ both mean {split}; put their classes "
                "together or rename one"
            )
        else:
            splits[split] = name
    for name in tree.loose(root):
        if not is_hidden(name) and _suffix(name) in suffixes():
            left_out.add("picture(s) beside the splits", "/".join((*root, name)))
    return {split: splits[split] for split in SPLITS if split in splits}


def _pictures(tree: Tree, here: Parts, split: str, left_out: LeftOut) -> Iterator[FoundPicture]:
    for file in pictures_below(tree, here, left_out):
        if len(file.parts) < len(here) + 2:
            left_out.add(f"picture(s) in {split} without a class", file.name)
        else:
            yield FoundPicture(split, file.parts[len(here)], file)


def pictures_below(tree: Tree, here: Parts, left_out: LeftOut) -> Iterator[File]:
    """The pictures among the files below a folder; other files are counted."""
    for file in tree.files(here, left_out):
        reason = _why_left_out(file)
        if reason:
            left_out.add(reason, file.name)
        else:
            yield file


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _why_left_out(file: File) -> str:
    """Why a file is not read; empty for a picture."""
    suffix = _suffix(file.parts[-1])
    if suffix in suffixes() or (not suffix and begins_like_a_picture(file.head())):
        return ""
    return f"{printable(suffix)}{why_not(suffix)}" if suffix else "without suffix, no pictures"


def _check_empty(
    where: str, split: str, here: Parts, empty: Iterable[str], left_out: LeftOut
) -> None:
    for name in sorted(empty, key=natural):
        folder = "/".join((*here, name))
        if split != "train":
            left_out.add(f"class folder(s) in {split} without a picture", folder)
            continue
        inside = [line for line in _inside(left_out, folder)]
        said = f"; left out there: {', '.join(inside)}" if inside else ""
        raise MicrotuneError(
            f"{where}/{printable(folder)}: the class has no images{said}. Fill or remove the folder"
        )


def _inside(left_out: LeftOut, folder: str) -> Iterator[str]:
    for reason, names in left_out.names.items():
        count = sum(name.startswith(f"{folder}/") for name in names)
        if count:
            yield f"{count} {reason}"
