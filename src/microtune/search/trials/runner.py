"""Results of trials: from the cache, or run by a session's workers and cached at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from microtune.parallel.tasks import TaskSession
from microtune.search.cache import Cache
from microtune.search.trials.trial import Trial, TrialResult, TrialSetup, run_trial
from microtune.train.trainer import Progress


@dataclass
class TrialRunner:
    """Runs trials that share one setup, each at most once.

    `session` has the workers: local processes or a cluster. `expected` is the number of trials that
    the search will ask for, as far as is known; it is used for progress alone. `finished` counts
    the trials whose results are known, `trained` those of them that were not in the cache.
    """

    setup: TrialSetup
    cache: Cache
    session: TaskSession
    progress: Progress
    expected: int = 0
    finished: int = 0
    trained: int = 0
    known_results: dict[Trial, TrialResult] = field(default_factory=dict)

    def results(self, trials: Sequence[Trial]) -> list[TrialResult]:
        """The results of all trials, in their order; those that are not cached are run.

        Each result is written to the cache as soon as it arrives. Raises what `run_trial` raises.
        """
        missing: list[Trial] = []
        for trial in dict.fromkeys(trials):
            if trial not in self.known_results:
                cached = self.cache.get(self.setup.key(trial))
                if cached is None:
                    missing.append(trial)
                else:
                    self._finish(trial, TrialResult.from_json(cached))
        self.expected = max(self.expected, self.finished + len(missing))
        if missing:
            self.session.run(run_trial, missing, self.setup, self._store, self._report_progress)
        return [self.known_results[trial] for trial in trials]

    def _store(self, trial: Trial, result: TrialResult) -> None:
        """Cache the result of a trial that was run."""
        self.cache.put(self.setup.key(trial), result.to_json())
        self.trained += 1
        self._finish(trial, result)

    def _finish(self, trial: Trial, result: TrialResult) -> None:
        """Remember a result that is cached, and report progress."""
        self.known_results[trial] = result
        self.finished += 1
        self._report_progress(str(trial))

    def _report_progress(self, note: str) -> None:
        """Report the number of finished trials, with a note."""
        self.progress(self.finished, max(self.expected, self.finished), note)
