"""CP-SAT, reproducible and interruptible: one worker, a fixed seed, a limit in deterministic time.

CP-SAT's own handler of Ctrl-C answers as if the time were over, and leaves the process without
Python's: the next Ctrl-C would end it without a word, with its worker processes running on.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

SEED = 1


def solve(
    model: cp_model.CpModel, deterministic_seconds: float
) -> tuple[cp_model.CpSolver, cp_model.CpSolverStatus]:
    """(the solver with its answer, its status); both depend on nothing but the model. Whatever is
    raised in the main thread meanwhile (Ctrl-C, SIGTERM) ends the solver and goes on."""
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = SEED
    solver.parameters.max_deterministic_time = deterministic_seconds
    solver.parameters.catch_sigint_signal = False
    # The main thread waits where signals reach it.
    with ThreadPoolExecutor(max_workers=1) as thread:
        running = thread.submit(solver.solve, model)
        try:
            return solver, running.result()
        except BaseException:
            solver.stop_search()
            raise
