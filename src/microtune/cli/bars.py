"""Progress of the public functions as bars in the terminal."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from microtune import Progress
from microtune.report.console import Update, errors, progress


def say(line: str) -> None:
    """Print a note of a public function."""
    errors.print(f"note: {line}", markup=False, soft_wrap=True)


class Bars:
    """Shows events of `microtune.Progress`: a bar for each stage, gone when that ends. As a
    context manager it removes the bar also where the work fails."""

    def __init__(self, *, resumable: bool = False) -> None:
        self._resumable = resumable
        self._bar: AbstractContextManager[Update] | None = None
        self._update: Update | None = None

    def __call__(self, event: Progress) -> None:
        """Take an event."""
        if event.ended:
            self.close()
            return
        if self._update is None:
            self._bar = progress(event.stage, resumable=self._resumable)
            self._update = self._bar.__enter__()
        if event.total:
            self._update(event.done, event.total, event.note)

    def close(self) -> None:
        """Remove the bar, before something else is printed."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        bar, self._bar, self._update = self._bar, None, None
        if bar is not None:
            bar.__exit__(kind, error, trace)
