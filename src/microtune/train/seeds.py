"""Independent runs of one plan with several seeds, in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import TracebackType

from microtune.errors import MicrotuneError
from microtune.run.runners import HostRunner, Runner, cores
from microtune.train.trainer import Progress, TrainingPlan, TrainingReport

Train = Callable[[Runner, TrainingPlan, Progress], TrainingReport]

# Steps between two messages of progress.
_EVERY = 10


@dataclass
class _Worker:
    """A process, its end of a pipe, and the seeds that it runs."""

    process: ForkProcess
    messages: Connection
    seeds: list[int]


@dataclass(frozen=True)
class _Message:
    """A message from a run: steps done and in total; at the end its report or its error."""

    seed: int
    steps: int = 0
    total: int = 0
    report: TrainingReport | None = None
    error: str = ""


class SeedRuns:
    """Runs of one plan with several seeds, on all cores; no process outlives this context.

    The processes are forked when the context is entered and share code and data with the caller,
    who should have no threads then.
    """

    def __init__(
        self, runner: HostRunner, plan: TrainingPlan, seeds: Sequence[int], train: Train
    ) -> None:
        self._runner, self._plan, self._seeds, self._train = runner, plan, list(seeds), train
        self._workers: list[_Worker] = []

    def __enter__(self) -> SeedRuns:
        count = min(cores(), len(self._seeds))
        self._runner.threads = max(1, cores() // count)
        try:
            for number in range(count):
                self._workers.append(self._start(self._seeds[number::count]))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._end()

    def _end(self) -> None:
        # A worker holds nothing that it must put away. SIGTERM would meet what this process does on
        # it, which a worker inherits, and could be lost.
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()

    def _start(self, seeds: list[int]) -> _Worker:
        try:
            context = multiprocessing.get_context("fork")
        except ValueError as error:
            raise MicrotuneError(
                "this system cannot run seeds side by side; run them one by one with --seed"
            ) from error
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=self._work, args=(sender, os.getpid(), seeds))
        process.start()
        sender.close()
        return _Worker(process, receiver, seeds)

    def _work(self, sender: Connection, parent: int, seeds: list[int]) -> None:
        """Run the seeds of one process. Ctrl-C reaches the parent too, which then ends this
        process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for seed in seeds:

            def on_progress(done: int, total: int, note: str, seed: int = seed) -> None:
                if done % _EVERY == 0 or done == total:
                    if os.getppid() != parent:
                        raise SystemExit(1)
                    sender.send(_Message(seed, done, total))

            try:
                self._runner.library.reset(seed)
                report = self._train(self._runner, replace(self._plan, seed=seed), on_progress)
                sender.send(_Message(seed, report=report))
            except MicrotuneError as error:
                sender.send(_Message(seed, error=str(error)))
                return

    def reports(self, progress: Progress) -> list[TrainingReport]:
        """The reports in the order of the seeds, once all runs have ended.

        Raises MicrotuneError if a run failed.
        """
        steps = dict.fromkeys(self._seeds, 0)
        done: dict[int, TrainingReport] = {}
        while len(done) < len(self._seeds):
            busy = [w for w in self._workers if not done.keys() >= set(w.seeds)]
            ready = wait([worker.messages for worker in busy])
            for worker in [worker for worker in busy if worker.messages in ready]:
                message = _receive(worker)
                if message.error:
                    raise MicrotuneError(f"seed {message.seed}: {message.error}")
                if message.report is not None:
                    done[message.seed] = message.report
                    continue
                steps[message.seed] = message.steps
                note = f"{len(done)} of {len(steps)} runs done"
                progress(sum(steps.values()), message.total * len(steps), note)
        return [done[seed] for seed in self._seeds]


def _receive(worker: _Worker) -> _Message:
    try:
        message: _Message = worker.messages.recv()
    except EOFError as error:
        worker.process.join()
        raise MicrotuneError(
            f"a process that ran seeds {worker.seeds} ended early (exit code "
            f"{worker.process.exitcode}); run one with --seed to see why"
        ) from error
    return message
