"""The schemes of a report, trained: accuracies of all of them on the same images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile
from microtune.parallel.tasks import Session
from microtune.search.budgets.fronts import Mark
from microtune.search.budgets.report import Survey
from microtune.search.cache import Cache
from microtune.search.contributions.ablation import Training
from microtune.search.costs.planned import Limits
from microtune.search.search import LEAST_SEEDS, Options, materials_of
from microtune.search.trials.runner import Laboratory
from microtune.search.trials.trial import describe
from microtune.search.verification import trained
from microtune.train.trainer import Progress


def check_marks(folder: Path | None, seeds: int) -> None:
    """Refuse before a long search what cannot be trained after it (MicrotuneError)."""
    if folder is None:
        raise MicrotuneError("--train-marks trains the schemes of a report: add --pareto DIR")
    if seeds < LEAST_SEEDS:
        raise MicrotuneError(f"--seeds {seeds}: --train-marks needs {LEAST_SEEDS} at least")


def train_marks(
    survey: Survey, model: ModelFile, data: Path, options: Options, progress: Progress
) -> Survey:
    """The report with the val accuracy of every scheme that keeps the limits of the search, trained
    as in the verification; what is in the cache is not trained again."""
    selections = [m.selection for m in survey.marks if _fits(m, survey.limits)]
    schemes = {describe(selection): selection for selection in selections}
    materials = materials_of(model, data, options, "val")
    training = Training(options.lr, options.epochs, options.seeds)
    with Session(options.backend) as session:
        laboratory = Laboratory(materials, Cache(options.cache), session, progress)
        laboratory.expected = len(schemes) * options.seeds
        rows = trained(laboratory, schemes, "val", training)
    return replace(survey, verified={row.selection: [row] for row in rows})


def _fits(mark: Mark, limits: Limits) -> bool:
    """By the plan that the report has."""
    most = limits.step_instructions
    return (
        mark.sram_bytes <= limits.sram_bytes
        and mark.flash_bytes <= limits.flash_bytes
        and (most is None or mark.instructions <= most)
    )
