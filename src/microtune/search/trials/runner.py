"""Outcomes of trials: from the cache, or run where the backend says and kept at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from microtune.parallel.tasks import Session
from microtune.search.cache import Cache
from microtune.search.trials.trial import Materials, Outcome, Trial, run_trial
from microtune.train.trainer import Progress


@dataclass
class Laboratory:
    """Trials with the same materials, run by `session`. `expected` is how many trials the search
    will ask for, as far as is known; `done` how many it has; `known` are their outcomes."""

    materials: Materials
    cache: Cache
    session: Session
    progress: Progress
    expected: int = 0
    done: int = 0
    ran: int = 0
    known: dict[Trial, Outcome] = field(default_factory=dict)

    def outcomes(self, trials: Sequence[Trial]) -> list[Outcome]:
        """Of all trials, in order. Those that are known are not repeated; one that has finished is
        in the cache before the next is waited for."""
        missing: list[Trial] = []
        for trial in dict.fromkeys(trials):
            if trial not in self.known:
                kept = self.cache.get(self.materials.key(trial))
                if kept is None:
                    missing.append(trial)
                else:
                    self._finish(trial, Outcome.from_json(kept))
        self.expected = max(self.expected, self.done + len(missing))
        if missing:
            self.session.run(run_trial, missing, self.materials, self._keep, self._say)
        return [self.known[trial] for trial in trials]

    def _keep(self, trial: Trial, outcome: Outcome) -> None:
        self.cache.put(self.materials.key(trial), outcome.to_json())
        self.ran += 1
        self._finish(trial, outcome)

    def _finish(self, trial: Trial, outcome: Outcome) -> None:
        self.known[trial] = outcome
        self.done += 1
        self._say(str(trial))

    def _say(self, note: str) -> None:
        self.progress(self.done, max(self.expected, self.done), note)
