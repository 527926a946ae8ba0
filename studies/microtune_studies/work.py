"""Run what is missing of a study, on all cores; choose learning rates by successive halving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from microtune.errors import MicrotuneError
from microtune.parallel.tasks import Backend, run_tasks
from microtune.train.trainer import Progress
from microtune_studies.execute import execute
from microtune_studies.runs import Result, Run, Store
from microtune_studies.sources import Sources

# Seed of the runs that choose a learning rate: none of those that are reported.
CHOICE_SEED = 1000
_ROUNDS = 2


@dataclass
class Work:
    """Runs trainings and stores their results.

    A finished run is stored at once, so that Ctrl-C loses only those under way. `seconds` has the
    processor time of each run that was asked for, stored ones too.
    """

    sources: Sources
    store: Store
    workers: int
    progress: Progress
    seconds: dict[Run, float] = field(default_factory=dict)

    def results(self, runs: Sequence[Run]) -> list[Result]:
        """The results of all runs, in order; stored runs are not repeated."""
        missing = list(self.store.missing(list(runs)))
        total = len(dict.fromkeys(runs))
        self.progress(total - len(missing), total, "")
        if missing:
            self._execute(missing, total)
        results = [self._kept(run) for run in runs]
        self.seconds |= {result.run: result.seconds for result in results}
        return results

    def _kept(self, run: Run) -> Result:
        found = self.store.get(run)
        if found is None:
            raise MicrotuneError(f"the result of {run} has gone from {self.store.folder}")
        return found

    def _execute(self, runs: list[Run], total: int) -> None:
        done = total - len(runs)

        def keep(run: Run, result: Result) -> None:
            nonlocal done
            self.store.put(result)
            done += 1
            self.progress(done, total, str(run))

        run_tasks(execute, runs, self.sources, Backend(workers=self.workers), keep)

    def seeded(self, runs: Sequence[Run], seeds: int) -> list[list[Result]]:
        """The results of each run, one for each seed."""
        asked = [[replace(run, seed=seed) for seed in range(seeds)] for run in runs]
        self.results([run for own in asked for run in own])
        return [self.results(own) for own in asked]

    def best_rates(
        self, asked: Sequence[tuple[Run, Sequence[float]]], rounds: int = _ROUNDS
    ) -> list[Run]:
        """Each run with the best of its learning rates by validation accuracy.

        All rates are run for a third of the epochs, the better half of them for all; with one
        round, all for a third only. Ties go to the lower mean loss.
        """
        left = [list(rates) for _, rates in asked]
        for step in range(rounds):
            full, last = step > 0, step == rounds - 1
            trials = [
                _trials(run, rates, full) if len(rates) > 1 else []
                for (run, _), rates in zip(asked, left, strict=True)
            ]
            self.results([run for own in trials for run in own])
            for number, own in enumerate(trials):
                if own:
                    ranked = sorted(self.results(own), key=_rank)
                    kept = ranked[: 1 if last else (len(own) + 1) // 2]
                    left[number] = [result.run.lr for result in kept]
        return [replace(run, lr=rates[0]) for (run, _), rates in zip(asked, left, strict=True)]


def _trials(run: Run, rates: Sequence[float], full: bool) -> list[Run]:
    epochs = run.epochs if full else max(1, run.epochs // 3)
    trial = replace(run, split="val", seed=CHOICE_SEED, epochs=epochs)
    return [replace(trial, lr=rate) for rate in rates]


def _rank(result: Result) -> tuple[float, float]:
    loss = result.train_loss if np.isfinite(result.train_loss) else np.inf
    return -result.accuracy, loss


def at_edge(rate: float, candidates: Sequence[float]) -> str:
    """The rate in words, marked if it is the lowest or highest candidate: a better one may lie
    beyond."""
    edge = len(candidates) > 1 and rate in (min(candidates), max(candidates))
    return f"{rate:g}{' (edge)' if edge else ''}"
