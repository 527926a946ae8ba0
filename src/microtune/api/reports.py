"""How the public functions tell what they do: progress and notes by callbacks, or `warnings`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from microtune.errors import warn


@dataclass(frozen=True)
class Progress:
    """How far a stage of the work is: `done` of `total` units (0: not known yet), with a remark.

    Each stage begins with one event of 0 units and ends with one that says `ended`.
    """

    stage: str
    done: int = 0
    total: int = 0
    note: str = ""
    ended: bool = False


OnProgress = Callable[[Progress], None]
OnNote = Callable[[str], None]
Update = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Reporter:
    """The callbacks of one call. Without `on_note`, notes are issued as MicrotuneWarning."""

    on_progress: OnProgress | None = None
    on_note: OnNote | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[Update]:
        """A stage of the work; what it yields is called with (done, total, note)."""
        last = Progress(name)

        def update(done: int, total: int, note: str = "") -> None:
            nonlocal last
            last = Progress(name, done, total, note)
            self._tell(last)

        self._tell(last)
        yield update
        self._tell(Progress(name, last.done, last.total, last.note, ended=True))

    def _tell(self, event: Progress) -> None:
        if self.on_progress is not None:
            self.on_progress(event)

    def note(self, line: str) -> None:
        """Pass one line on to the caller, if it asked for notes."""
        if self.on_note is not None:
            self.on_note(line)
        else:
            warn(line)

    def warn(self, lines: Iterable[str]) -> None:
        """Say what a result has to warn of, unless the caller gets lines and asks the result."""
        if self.on_note is None:
            for line in lines:
                warn(line)
