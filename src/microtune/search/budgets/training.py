"""`search --train-marks`: train all schemes of a report, for accuracies on the same images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile
from microtune.parallel.tasks import TaskSession
from microtune.search.budgets.fronts import CostedScheme
from microtune.search.budgets.report import BudgetReport
from microtune.search.cache import Cache
from microtune.search.costs.planned import Limits
from microtune.search.search import LEAST_SEEDS, SearchOptions, trial_setup
from microtune.search.trials.runner import TrialRunner
from microtune.search.trials.trial import TrialSettings, describe
from microtune.search.verification import train_and_evaluate
from microtune.train.trainer import Progress


def check_training_options(folder: Path | None, seeds: int) -> None:
    """Raise MicrotuneError, before a long search, if its schemes could not be trained after it."""
    if folder is None:
        raise MicrotuneError("--train-marks trains the schemes of a report: add --pareto DIR")
    if seeds < LEAST_SEEDS:
        raise MicrotuneError(f"--seeds {seeds}: --train-marks needs {LEAST_SEEDS} at least")


def train_schemes(
    report: BudgetReport, model: ModelFile, data: Path, options: SearchOptions, progress: Progress
) -> BudgetReport:
    """The report with the accuracy on val of every scheme that is within the search's limits.

    Schemes are trained as in the verification; cached results are not trained again. Raises
    MicrotuneError for data that cannot be used.
    """
    selections = [s.selection for s in report.schemes if _fits(s, report.limits)]
    schemes = {describe(selection): selection for selection in selections}
    setup = trial_setup(model, data, options, "val")
    training = TrialSettings(options.lr, options.epochs, options.seeds)
    with TaskSession(options.backend) as session:
        runner = TrialRunner(setup, Cache(options.cache), session, progress)
        runner.expected = len(schemes) * options.seeds
        rows = train_and_evaluate(runner, schemes, "val", training)
    return replace(report, verified={row.selection: [row] for row in rows})


def _fits(scheme: CostedScheme, limits: Limits) -> bool:
    """Whether the costs in the report are within all limits."""
    most = limits.step_instructions
    return (
        scheme.sram_bytes <= limits.sram_bytes
        and scheme.flash_bytes <= limits.flash_bytes
        and (most is None or scheme.instructions <= most)
    )
